//! `pointsman check`: everything that is wrong with a file, and with `--connect` with the nodes.

use super::{
    args::Check,
    exit::Exit,
    output::{say, show},
    status::colors,
};
use crate::{
    config::{self, Config, Options, Service},
    model::name::NodeAddress,
    store::{Finding, Inspection},
};
use serde_json::{Value, json};
use std::{collections::HashMap, io::IsTerminal, process::ExitCode, sync::Arc};

/// What one node said.
struct Asked {
    svc: String,
    node: NodeAddress,
    inspection: Inspection,
}

/// Checks. Code 2 on any error; warnings and advice alone are 0.
pub(super) fn run(options: &Check, no_color: bool) -> ExitCode {
    if options.schema {
        show(format_args!("{}", config::JSON_SCHEMA));
        return Exit::Done.into();
    }
    let path = options.file.as_ref().unwrap_or(&options.config);
    let loaded = config::load(path, Options { secrets: !options.no_secrets });
    if !options.json {
        eprint!("{}", loaded.render_all(colors(no_color) && std::io::stderr().is_terminal()));
    }
    let problems = loaded.config.as_ref().map(|config| crate::app::problems(path, config)).unwrap_or_default();
    let connected = loaded.config.as_ref().filter(|_| options.connect).map(connect);
    let (asked, broken) = connected.unwrap_or_default();
    let sound = loaded.config.is_some() && problems.is_empty();
    let well = sound && broken.is_empty() && !asked.iter().any(Asked::has_error);
    if options.json {
        say!("{}", as_json(&loaded.to_json(), &problems, options.connect.then_some((&asked, &broken)), well));
    } else {
        for problem in &problems {
            eprintln!("{problem}");
        }
        for line in &broken {
            eprintln!("error: {line}");
        }
        for (first, nodes) in alike(&asked) {
            first.print(&nodes);
        }
        if let Some(config) = &loaded.config
            && well
        {
            say!("{}: {} service(s), ok", path.display(), config.services.len());
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
    let (mut asked, mut broken) = (Vec::<Asked>::new(), Vec::new());
    for service in &config.services {
        match runtime.block_on(ask(config, service)) {
            Ok(answers) => asked.extend(answers),
            Err(error) => broken.push(format!("{}: {error}", service.name)),
        }
    }
    name_twins(&mut asked);
    (asked, broken)
}

/// Two addresses of one server: a switch between them would fence and promote the same process.
fn name_twins(asked: &mut [Asked]) {
    let mut first: HashMap<String, NodeAddress> = HashMap::new();
    for Asked { node, inspection, .. } in asked {
        let Some(identity) = inspection.identity.clone().filter(|identity| !identity.is_empty()) else { continue };
        if let Some(twin) = first.get(&identity) {
            inspection.findings.push(Finding {
                error: true,
                message: format!("is the same server as {twin}"),
                mend: format!("take {twin} or {node} out of the configuration, or mend its address"),
            });
        } else {
            first.insert(identity, node.clone());
        }
    }
}

/// Nodes of one service at which the same was found, so that it is said once.
fn alike(asked: &[Asked]) -> Vec<(&Asked, Vec<&NodeAddress>)> {
    let mut groups: Vec<(&Asked, Vec<&NodeAddress>)> = Vec::new();
    for one in asked {
        let same = |(first, _): &&mut (&Asked, Vec<&NodeAddress>)| {
            let (a, b) = (&first.inspection, &one.inspection);
            first.svc == one.svc && a.version == b.version && a.findings == b.findings
        };
        match groups.iter_mut().find(same) {
            Some((_, nodes)) => nodes.push(&one.node),
            None => groups.push((one, vec![&one.node])),
        }
    }
    groups
}

async fn ask(config: &Config, service: &Service) -> Result<Vec<Asked>, String> {
    let store = crate::app::visiting_store(config, &Arc::new(service.clone()))?;
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

    /// `nodes`: all at which this was found.
    fn print(&self, nodes: &[&NodeAddress]) {
        let version = self.inspection.version.as_deref().unwrap_or("no answer");
        let nodes: Vec<_> = nodes.iter().map(ToString::to_string).collect();
        say!("{} {}: {version}", self.svc, nodes.join(", "));
        for finding in &self.inspection.findings {
            let sort = if finding.error { "error" } else { "advice" };
            say!("  {sort}: {}", finding.message);
            if !finding.mend.is_empty() {
                say!("    mend: {}", finding.mend);
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

/// The loader's JSON with the problems that only the wiring knows, and with `--connect` the nodes beside them.
fn as_json(loaded: &str, problems: &[String], asked: Option<(&Vec<Asked>, &Vec<String>)>, well: bool) -> String {
    let mut value: Value = serde_json::from_str(loaded).unwrap_or_else(|_| json!({ "problems": [] }));
    value["ok"] = well.into();
    if let Some(all) = value["problems"].as_array_mut() {
        all.extend(problems.iter().map(|line| placed(line)));
    }
    if let Some((asked, broken)) = asked {
        value["nodes"] = asked.iter().map(Asked::json).collect();
        value["unasked"] = json!(broken);
    }
    value.to_string()
}

/// A line `file:line:col: error: message` as the loader's JSON has it.
fn placed(line: &str) -> Value {
    let (place, message) = line.split_once(": error: ").unwrap_or(("", line));
    let mut parts = place.rsplitn(3, ':');
    let mut number = || parts.next().and_then(|part| part.parse::<usize>().ok());
    let (column, row) = (number(), number());
    let file = parts.next().unwrap_or_default();
    json!({
        "severity": "error", "file": file, "line": row, "column": column, "code": "unknown_command", "message": message,
        "help": null,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Finding;

    fn asked(version: Option<&str>, error: bool) -> Asked {
        let finding = Finding { error, message: "m".into(), mend: "CONFIG SET x".into() };
        let inspection = Inspection { version: version.map(Into::into), identity: None, findings: vec![finding] };
        Asked { svc: "cart".into(), node: "n:1".into(), inspection }
    }

    #[test]
    fn what_was_found_at_several_nodes_is_said_once() {
        let nodes = [asked(Some("7.0.15"), false), asked(Some("7.0.15"), true), asked(Some("7.0.15"), false)];
        let counts: Vec<_> = alike(&nodes).iter().map(|(_, nodes)| nodes.len()).collect();
        assert_eq!(counts, [2, 1]);
    }

    #[test]
    fn silence_and_errors_fail_and_advice_does_not() {
        assert!(asked(None, false).has_error());
        assert!(asked(Some("7.0.15"), true).has_error());
        assert!(!asked(Some("7.0.15"), false).has_error());
    }

    #[test]
    fn nodes_stand_beside_problems() {
        let nodes = vec![asked(Some("7.0.15"), true)];
        let problems = ["a:b.toml:3:9: error: services.cart.deny: \"X\" is no command".to_owned()];
        let json = as_json(r#"{"ok":true,"problems":[]}"#, &problems, Some((&nodes, &Vec::new())), false);
        let value: Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!((&value["ok"], &value["nodes"][0]["version"]), (&json!(false), &json!("7.0.15")));
        assert_eq!(value["nodes"][0]["findings"][0]["severity"], "error");
        let problem = &value["problems"][0];
        assert_eq!(
            (&problem["file"], &problem["line"], &problem["column"]),
            (&json!("a:b.toml"), &json!(3), &json!(9))
        );
        let sound = r#"{"ok":true,"problems":[]}"#;
        assert_eq!(as_json(sound, &[], None, true), sound);
    }
}
