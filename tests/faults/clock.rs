//! The wall clock of the host steps by an hour, for Pointsman and the servers alike. Nobody may step the clock of the machine that
//! runs the tests, so each process gets its own by a library that is loaded before libc (`clock.c`).

use crate::{
    common::{PATIENCE, redis_server::RedisServer, wait_for},
    scene::{self, HANG, a_server, changes, epoch, prepared, servers},
    table,
    writers::Writers,
};
use std::{
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

/// An hour, in seconds.
const HOUR: i64 = 3600;

/// Forward, back, back again, home.
pub fn steps() -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (library, offset) = (compiled(folder.path()), folder.path().join("offset"));
    // In place: a file that is emptied first ends who has it mapped.
    let step = |seconds: i64| {
        let file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(&offset);
        file.and_then(|file| file.write_all_at(&seconds.to_ne_bytes(), 0)).expect("writing the offset");
    };
    step(0);
    let environment = [("LD_PRELOAD", path(&library)), ("CLOCK_OFFSET", path(&offset))];
    let nodes = servers(
        || {
            let chatty = a_server().set("repl-ping-replica-period", "1");
            environment.iter().fold(chatty, |server, (name, value)| server.environment(name, value))
        },
        1,
    );
    let mut rig = prepared(&nodes, &format!("{HANG}\n[services.cart.failover]\nunfenced = \"promote\""));
    for (name, value) in &environment {
        rig.pointsman = rig.pointsman.environment(name, value);
    }
    rig.pointsman.launch();
    rig.wait_ready();
    let before = epoch(&rig);
    let writers = Writers::start(rig.port, 5);
    writers.progress(50);
    for hours in [1, 0, -1, 0] {
        step(hours * HOUR);
        wait_for("the server's clock has stepped", PATIENCE, || (ahead(&nodes[0]) - hours * HOUR).abs() < 60);
        // As long as it takes to find a hang, and once more.
        scene::pass(Duration::from_secs(4));
        writers.progress(50);
        rig.wait_ready();
        assert_eq!(epoch(&rig), before, "no flip");
    }
    let noted = writers.finish();
    noted.no_errors();
    assert_eq!((noted.unknown.len(), noted.missing(&nodes[0])), (0, 0));
    assert!(changes(&rig, "began").is_empty(), "not even tried");
    "stepped by +1 h, -1 h, -1 h, +1 h for Pointsman and both servers: no flip, no error".into()
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

/// How many seconds a server's wall clock is ahead of ours.
fn ahead(server: &RedisServer) -> i64 {
    let theirs: (i64, i64) =
        redis::cmd("TIME").query(&mut server.client().get_connection().expect("it runs")).expect("TIME");
    let ours = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    theirs.0 - i64::try_from(ours).expect("a date")
}

fn compiled(folder: &Path) -> PathBuf {
    let library = folder.join("clock.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/clock.c");
    let mut compiler = Command::new("cc");
    let Ok(output) = compiler.args(["-O2", "-shared", "-fPIC", "-o"]).arg(&library).arg(source).output() else {
        table::skip("a C compiler (cc)")
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    library
}
