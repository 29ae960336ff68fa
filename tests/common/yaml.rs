//! YAML files as JSON, by a Python of the installed component `yaml`.

use super::servers_folder;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Every document of the file.
#[track_caller]
pub fn documents(file: &Path) -> Vec<Value> {
    let script =
        "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1], encoding='utf-8')))))";
    let mut python = Command::new(servers_folder().join("yaml/bin/python"));
    let output = python.args(["-c", script]).arg(file).output().expect("its Python");
    assert!(output.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}
