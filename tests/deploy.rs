//! What `deploy/` and `docker/` promise: units and manifests are valid, and say what the binary does.

mod common;

use common::{
    PATIENCE,
    instance::{Pointsman, program},
    ports::free_port,
    wait_for, yaml,
};
use pointsman::config::{Options, load_bytes};
use serde_json::Value;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn text_of(name: &str) -> String {
    std::fs::read_to_string(file(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The value of a key of the unit.
fn setting(key: &str) -> String {
    let unit = text_of("deploy/pointsman.service");
    let found = unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    found.unwrap_or_else(|| panic!("no {key}")).to_owned()
}

/// `systemd-analyze` on the unit, whose program is the one under test.
fn analyze(arguments: &[&str]) -> Option<Output> {
    let folder = tempfile::tempdir().expect("a folder");
    let unit = folder.path().join("pointsman.service");
    let text = text_of("deploy/pointsman.service").replace("/usr/bin/pointsman", &program().display().to_string());
    std::fs::write(&unit, text).expect("written");
    let output = Command::new("systemd-analyze").args(arguments).arg(&unit).output();
    if output.is_err() {
        common::skip::note("systemd-analyze");
    }
    output.ok()
}

#[test]
fn the_unit_is_valid_and_hardened() {
    let Some(verified) = analyze(&["verify"]) else { return };
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    assert!(verified.status.success() && !said.contains("pointsman.service"), "{said}");
    // At most 2.0 on its scale of ten.
    let Some(secure) = analyze(&["security", "--offline=true", "--threshold=20"]) else { return };
    let said = String::from_utf8_lossy(&secure.stdout).into_owned();
    assert!(secure.status.success(), "{said}");
}

#[test]
fn the_unit_says_what_the_binary_does() {
    let start = setting("ExecStart");
    let arguments: Vec<&str> = start.split(' ').skip(1).collect();
    assert_eq!(arguments, ["run", "--config", "/etc/pointsman/pointsman.toml"]);
    let defaults =
        load_bytes("x", SERVICE.as_bytes(), Path::new("/"), Options { secrets: false }).config.expect("valid");
    assert_eq!(defaults.state_dir, Path::new("/var/lib").join(setting("StateDirectory")));
    assert_eq!(defaults.admin.socket, Path::new("/run").join(setting("RuntimeDirectory")).join("admin.sock"));
    let seconds = |key| setting(key).trim_end_matches('s').parse().map(Duration::from_secs).expect("seconds");
    assert!(seconds("TimeoutStopSec") > defaults.grace, "it is killed before its grace is over");
    let bad = Command::new(program()).args(["run", "--config", "/nowhere/pointsman.toml"]).output().expect("it starts");
    assert_eq!(bad.status.code(), setting("RestartPreventExitStatus").parse().ok());
    assert!(text_of("deploy/pointsman.sysusers").contains(&format!("\nu {} ", setting("User"))));
}

const SERVICE: &str = "[services.cart]\nkind = \"redis\"\nlisten = [\"127.0.0.1:6379\"]\n\
    [[services.cart.clusters]]\nname = \"main\"\nnodes = [\"127.0.0.1:7\"]\n\
    [[services.cart.clusters]]\nname = \"spare\"\nnodes = [\"127.0.0.1:8\"]\n";

/// systemd's side of the watchdog: told again and again while the control loop runs, and no more when it doesn't.
#[test]
fn the_watchdog_is_told_that_control_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a limit");
    let services = SERVICE.replace("6379", &free_port().to_string());
    let mut pointsman = Pointsman::prepare(&services)
        .environment("NOTIFY_SOCKET", &path.display().to_string())
        .environment("WATCHDOG_USEC", "900000");
    pointsman.launch();
    let mut heard = String::new();
    let mut hear = || {
        let mut bytes = [0; 256];
        let count = socket.recv(&mut bytes).expect("told in time");
        heard.push_str(&String::from_utf8_lossy(&bytes[..count]));
        heard.push('\n');
        heard.clone()
    };
    wait_for("told three times", PATIENCE, || {
        let heard = hear();
        heard.contains("READY=1") && heard.matches("WATCHDOG=1").count() >= 3
    });
    pointsman.freeze();
    socket.set_read_timeout(Some(Duration::from_secs(2))).expect("a limit");
    let mut bytes = [0; 256];
    wait_for("silence", PATIENCE, || socket.recv(&mut bytes).is_err());
    pointsman.thaw();
    pointsman.terminate();
    assert!(pointsman.wait().success());
}

/// Every container of the manifest with Pointsman in it, with its pod.
fn containers(documents: &[Value]) -> Vec<(Value, Value)> {
    let mut found = Vec::new();
    for document in documents {
        let pod = &document["spec"]["template"]["spec"];
        for list in ["containers", "initContainers"] {
            for container in pod[list].as_array().into_iter().flatten().filter(|one| one["name"] == "pointsman") {
                found.push((pod.clone(), container.clone()));
            }
        }
    }
    found
}

fn words(value: &Value) -> Vec<String> {
    let all = value.as_array().unwrap_or_else(|| panic!("no list: {value}"));
    all.iter().map(|word| word.as_str().expect("a word").to_owned()).collect()
}

#[test]
fn the_manifest_is_valid_and_says_what_the_binary_does() {
    require_server!("yaml");
    let documents = yaml::documents(&file("deploy/kubernetes.yaml"));
    for map in documents.iter().filter(|document| document["kind"] == "ConfigMap") {
        let text = map["data"]["pointsman.toml"].as_str().expect("a configuration");
        let loaded = load_bytes("manifest.toml", text.as_bytes(), Path::new("/"), Options { secrets: false });
        assert_eq!(loaded.render_all(false), "", "{}", map["metadata"]["name"]);
        let config = loaded.config.expect("valid");
        assert_eq!(config.telemetry.listen.port(), 9321, "healthcheck asks there");
        assert!(config.telemetry.listen.ip().is_unspecified(), "Prometheus comes from elsewhere");
        for (pod, container) in containers(&documents) {
            assert!(pod["terminationGracePeriodSeconds"].as_u64() > Some(config.grace.as_secs()), "{pod}");
            let mounted = |path: &Path| {
                let mounts = container["volumeMounts"].as_array().expect("mounts");
                mounts
                    .iter()
                    .any(|mount| mount["mountPath"] == path.to_str().expect("a path") && mount["readOnly"] != true)
            };
            assert!(mounted(&config.state_dir) && mounted(config.admin.socket.parent().expect("a folder")));
        }
    }
    let all = containers(&documents);
    assert_eq!(all.len(), 2);
    for (pod, container) in &all {
        assert_eq!(words(&container["args"])[..2], ["run", "--config"]);
        assert_eq!(container["ports"][0]["containerPort"], 9321);
        for (probe, rest) in [
            ("startupProbe", &["healthcheck"][..]),
            ("readinessProbe", &["healthcheck"]),
            ("livenessProbe", &["healthcheck", "--live"]),
        ] {
            let command = words(&container[probe]["exec"]["command"]);
            assert_eq!(
                (command[0].as_str(), &command[1..]),
                ("/usr/bin/pointsman", &rest.iter().map(ToString::to_string).collect::<Vec<_>>()[..])
            );
            runs(&command[1..]);
        }
        let locked = &container["securityContext"];
        assert_eq!(
            (&locked["readOnlyRootFilesystem"], &locked["allowPrivilegeEscalation"]),
            (&true.into(), &false.into())
        );
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        let volumes: Vec<&Value> =
            pod["volumes"].as_array().expect("volumes").iter().map(|volume| &volume["name"]).collect();
        for mount in container["volumeMounts"].as_array().expect("mounts") {
            assert!(mount["name"] == "state" || volumes.contains(&&mount["name"]), "{mount}");
        }
    }
    let sidecars = all.iter().filter(|(_, container)| container["restartPolicy"] == "Always").count();
    assert_eq!(sidecars, 1, "a native sidecar restarts always, as an init container");
}

/// The binary has that command: where nobody listens it says so, with the code for it.
fn runs(arguments: &[String]) {
    let port = free_port();
    let output = Command::new(program()).args(arguments).args(["--listen", &format!("127.0.0.1:{port}")]).output();
    assert_eq!(output.expect("it starts").status.code(), Some(69), "{arguments:?}");
}

#[test]
fn the_image_starts_and_looks_after_itself_as_the_binary_can() {
    let image = text_of("docker/Dockerfile");
    for line in [
        r#"HEALTHCHECK --interval=5s --timeout=2s CMD ["/usr/bin/pointsman", "healthcheck"]"#,
        r#"ENTRYPOINT ["/usr/bin/pointsman"]"#,
        r#"CMD ["run", "--config", "/etc/pointsman/pointsman.toml"]"#,
        "USER 65532:65532",
    ] {
        assert!(image.lines().any(|found| found == line), "{line}");
    }
    let manifest = text_of("Cargo.toml");
    let version = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = \""))
        .expect("a version")
        .trim_end_matches('"');
    assert!(image.contains(&format!("FROM rust:{version}-")), "it is built by a compiler that is old enough to fail");
    runs(&["healthcheck".to_owned()]);
}
