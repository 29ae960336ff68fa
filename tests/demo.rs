//! `pointsman demo` without a terminal: it ends by itself, leaves nothing, and its exit code is true.

mod common;

use common::{PATIENCE, instance::program, servers_folder, wait_for};
use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// A demo of six seconds and a crash: a switch after two, one back after four.
fn demo() -> Child {
    let mut command = Command::new(program());
    command.args(["demo", "--seconds", "6", "--redis-server"]).arg(servers_folder().join("redis7/redis-server"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the demo starts")
}

fn folder(demo: &Child) -> PathBuf {
    std::env::temp_dir().join(format!("pointsman-demo-{}", demo.id()))
}

/// The working directory of a process.
fn place(id: u32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{id}/cwd")).ok()
}

/// Processes that were started in the demo's folder: servers by their working directory, Pointsman by its file.
fn left_in(folder: &Path) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").expect("/proc");
    let all = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let name = folder.to_str().expect("UTF-8").to_owned();
    all.filter(|id: &u32| {
        let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        place(*id).is_some_and(|at| at.starts_with(folder)) || String::from_utf8_lossy(&line).contains(&name)
    })
    .collect()
}

#[test]
fn it_keeps_its_promises_and_leaves_nothing() {
    require_server!("redis7");
    let demo = demo();
    let folder = folder(&demo);
    let output = demo.wait_with_output().expect("its end");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let mut last = said.lines().rev();
    let crash = last.next().unwrap_or_default();
    assert!(crash.starts_with("demo store=redis operation=crash errors=0 stall_ms="), "{said}");
    for line in last.take(2) {
        let stall = line.strip_prefix("demo store=redis operation=planned errors=0 stall_ms=");
        let stall = stall.and_then(|rest| rest.strip_suffix(" lost=0")).and_then(|ms| ms.parse::<f64>().ok());
        assert!(stall.is_some(), "{line}\n{said}");
    }
    assert!(!folder.exists());
    assert_eq!(left_in(&folder), Vec::<u32>::new());
}

#[test]
fn a_server_that_dies_in_the_middle_is_a_failure() {
    require_server!("redis7");
    let mut demo = demo();
    let folder = folder(&demo);
    let mut out = BufReader::new(demo.stdout.take().expect("its output")).lines();
    assert!(out.any(|line| line.expect("a line").contains("1 s ")), "the load runs");
    let main = folder.join("main");
    let server = left_in(&folder).into_iter().find(|id| place(*id).as_ref() == Some(&main));
    let server = server.and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?)).expect("the server");
    rustix::process::kill_process(server, rustix::process::Signal::KILL).expect("its end");
    let rest: Vec<String> = out.map_while(Result::ok).collect();
    let status = demo.wait().expect("its end");
    let mut complaint = String::new();
    demo.stderr.take().expect("its complaints").read_to_string(&mut complaint).expect("text");
    assert_eq!(status.code(), Some(1), "{rest:?} {complaint}");
    assert!(complaint.contains("main ended (signal: 9"), "{complaint}");
    assert!(!rest.iter().any(|line| line.contains("promises held")), "{rest:?}");
    wait_for("everything is gone", PATIENCE, || !folder.exists() && left_in(&folder).is_empty());
}

#[test]
fn the_demo_of_mysql_keeps_its_promises() {
    for (component, program_name) in [("mysql9", "mysqld"), ("mariadb", "mariadbd")] {
        require_server!(component);
        let mut command = Command::new(program());
        command.args(["demo", "--stores", "mysql", "--seconds", "6", "--mysql-server"]);
        command.arg(servers_folder().join(component).join(program_name));
        let output = command.stdin(Stdio::null()).output().expect("its end");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{component}: {said}\n{}", String::from_utf8_lossy(&output.stderr));
        let planned = said.lines().filter(|line| {
            line.starts_with("demo store=mysql operation=planned errors=0 stall_ms=") && line.ends_with(" lost=0")
        });
        assert_eq!(planned.count(), 2, "{component}: {said}");
        let crash = said.lines().next_back().unwrap_or_default();
        assert!(crash.starts_with("demo store=mysql operation=crash errors=0 stall_ms="), "{component}: {said}");
    }
}

#[test]
fn the_demo_of_search_keeps_its_promises() {
    require_server!("opensearch2");
    let mut command = Command::new(program());
    command.args(["demo", "--stores", "elasticsearch", "--seconds", "6", "--search-node"]);
    command.arg(servers_folder().join("opensearch2/node"));
    let output = command.stdin(Stdio::null()).output().expect("its end");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let planned = "demo store=elasticsearch operation=planned errors=0 stall_ms=";
    assert_eq!(said.lines().filter(|line| line.starts_with(planned) && line.ends_with(" lost=0")).count(), 2, "{said}");
    let crash = said.lines().next_back().unwrap_or_default();
    assert!(crash.starts_with("demo store=elasticsearch operation=crash errors=0 stall_ms="), "{said}");
    assert!(crash.contains(" lost=0 "), "{said}");
}
