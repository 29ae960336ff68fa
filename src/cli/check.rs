//! `pointsman check`: everything that is wrong with a file, and with `--connect` with the nodes.

use super::{args::Check, exit::Exit, status::colors};
use crate::{
    config::{self, Config, Options, Service},
    model::name::NodeAddress,
    store::Inspection,
};
use serde_json::{Value, json};
use std::{io::IsTerminal, process::ExitCode, sync::Arc};

/// What one node said.
struct Asked {
    svc: String,
    node: NodeAddress,
    inspection: Inspection,
}

/// Checks. Code 2 on any error; warnings and advice alone are 0.
pub(super) fn run(options: &Check, no_color: bool) -> ExitCode {
    let path = options.file.as_ref().unwrap_or(&options.config);
    let loaded = config::load(path, Options { secrets: !options.no_secrets });
    if !options.json {
        eprint!("{}", loaded.render_all(colors(no_color) && std::io::stderr().is_terminal()));
    }
    let connected = loaded.config.as_ref().filter(|_| options.connect).map(connect);
    let (asked, broken) = connected.unwrap_or_default();
    let well = loaded.config.is_some() && broken.is_empty() && !asked.iter().any(Asked::has_error);
    if options.json {
        println!("{}", as_json(&loaded.to_json(), options.connect, &asked, &broken, well));
    } else {
        for line in &broken {
            eprintln!("error: {line}");
        }
        for asked in &asked {
            asked.print();
        }
        if let Some(config) = &loaded.config
            && well
        {
            println!("{}: {} service(s), ok", path.display(), config.services.len());
        }
    }
    if well { Exit::Done.into() } else { Exit::Usage.into() }
}

/// Asks every node of every service. The second list says which services could not be asked at all.
fn connect(config: &Config) -> (Vec<Asked>, Vec<String>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return (Vec::new(), vec![format!("the system gives no event loop: {error}")]),
    };
    let (mut asked, mut broken) = (Vec::new(), Vec::new());
    for service in &config.services {
        match runtime.block_on(ask(config, service)) {
            Ok(answers) => asked.extend(answers),
            Err(error) => broken.push(format!("{}: {error}", service.name)),
        }
    }
    (asked, broken)
}

async fn ask(config: &Config, service: &Service) -> Result<Vec<Asked>, String> {
    let store = crate::app::store(config, &Arc::new(service.clone()))?;
    let nodes: Vec<NodeAddress> = service.nodes().map(|(_, node)| node.address.clone()).collect();
    let inspections = futures_util::future::join_all(nodes.iter().map(|node| store.inspect(node))).await;
    let svc = service.name.to_string();
    let answers = nodes.iter().cloned().zip(inspections);
    Ok(answers.map(|(node, inspection)| Asked { svc: svc.clone(), node, inspection }).collect())
}

impl Asked {
    /// A node that doesn't answer is an error too: whoever asks for `--connect` wants to know.
    fn has_error(&self) -> bool {
        self.inspection.version.is_none() || self.inspection.findings.iter().any(|finding| finding.error)
    }

    fn print(&self) {
        let version = self.inspection.version.as_deref().unwrap_or("no answer");
        println!("{} {}: {version}", self.svc, self.node);
        for finding in &self.inspection.findings {
            let sort = if finding.error { "error" } else { "advice" };
            println!("  {sort}: {}", finding.message);
            if !finding.mend.is_empty() {
                println!("    mend: {}", finding.mend);
            }
        }
    }

    fn json(&self) -> Value {
        let findings = self.inspection.findings.iter().map(|finding| {
            let severity = if finding.error { "error" } else { "advice" };
            json!({ "severity": severity, "message": finding.message, "mend": finding.mend })
        });
        json!({
            "svc": self.svc,
            "node": self.node,
            "version": self.inspection.version,
            "findings": findings.collect::<Vec<_>>(),
        })
    }
}

/// The loader's JSON, and with `--connect` the nodes beside it.
fn as_json(loaded: &str, connect: bool, asked: &[Asked], broken: &[String], well: bool) -> String {
    if !connect {
        return loaded.to_owned();
    }
    let mut value: Value = serde_json::from_str(loaded).unwrap_or_else(|_| json!({ "problems": [] }));
    value["ok"] = well.into();
    value["nodes"] = asked.iter().map(Asked::json).collect();
    value["unasked"] = json!(broken);
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Finding;

    fn asked(version: Option<&str>, error: bool) -> Asked {
        let finding = Finding { error, message: "m".into(), mend: "CONFIG SET x".into() };
        let inspection = Inspection { version: version.map(Into::into), findings: vec![finding] };
        Asked { svc: "cart".into(), node: "n:1".into(), inspection }
    }

    #[test]
    fn silence_and_errors_fail_and_advice_does_not() {
        assert!(asked(None, false).has_error());
        assert!(asked(Some("7.0.15"), true).has_error());
        assert!(!asked(Some("7.0.15"), false).has_error());
    }

    #[test]
    fn nodes_stand_beside_problems() {
        let json = as_json(r#"{"ok":true,"problems":[]}"#, true, &[asked(Some("7.0.15"), true)], &[], false);
        let value: Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!((&value["ok"], &value["nodes"][0]["version"]), (&json!(false), &json!("7.0.15")));
        assert_eq!(value["nodes"][0]["findings"][0]["severity"], "error");
        assert_eq!(as_json("{}", false, &[], &[], true), "{}");
    }
}
