//! Child processes and a folder that end with the demo, however it ends.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::Stdio,
};
use tokio::process::{Child, Command};

/// Ends a child when its parent dies without being able to end it (part of util-linux).
const SETPRIV: &str = "/usr/bin/setpriv";

/// A child in a process group of its own, so that Ctrl-C reaches the demo alone; killed when dropped.
pub(super) struct Process(Child);

impl Process {
    /// Starts `program`; what it says goes to `log`.
    pub(super) fn start(program: &Path, arguments: &[String], log: &Path) -> Result<Self, String> {
        let failed = |error: io::Error| format!("{}: {error}", program.display());
        let out = fs::File::create(log).map_err(failed)?;
        let mut command = if Path::new(SETPRIV).exists() {
            let mut command = Command::new(SETPRIV);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(out.try_clone().map_err(failed)?)
            .stderr(out)
            .process_group(0)
            .kill_on_drop(true);
        command.spawn().map(Self).map_err(failed)
    }

    /// How it ended, if it did.
    pub(super) fn ended(&mut self) -> Option<String> {
        self.0.try_wait().ok().flatten().map(|status| status.to_string())
    }

    /// Ends it and waits until it is gone.
    pub(super) async fn end(mut self) {
        // A child that is gone already is what is wanted.
        let _ = self.0.kill().await;
    }
}

/// A private folder, removed when dropped.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("pointsman-demo-{}", std::process::id()));
        // Not recursive: a folder that is there already belongs to somebody else.
        fs::DirBuilder::new().mode(0o700).create(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What can't be removed is in the system's folder for such things.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A port that is free now.
pub(super) fn free_port() -> Result<u16, String> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).map_err(|error| format!("no free port: {error}"))?;
    listener.local_addr().map(|address| address.port()).map_err(|error| format!("no free port: {error}"))
}
