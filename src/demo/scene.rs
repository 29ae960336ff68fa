//! The scene: two servers of a kind, one the standby of the other, and a Pointsman in front of them.

use super::{
    Options,
    process::{Folder, Process, free_port},
    store::Show,
};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio::process::Command;

/// How long each thing may take to come up.
const PATIENCE: Duration = Duration::from_mins(1);
/// From one look to the next.
const LOOK: Duration = Duration::from_millis(20);

/// Everything that was started.
pub(super) struct Scene {
    processes: Vec<(&'static str, Process)>,
    program: PathBuf,
    folder: Folder,
    /// Where applications connect.
    pub(super) port: u16,
    /// The servers.
    pub(super) servers: [u16; 2],
}

impl Scene {
    /// Starts it and waits until a planned switch would be let through.
    pub(super) async fn start<S: Show>(options: &Options) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|error| format!("the own binary isn't known: {error}"))?;
        let folder = Folder::new()?;
        let (port, servers) = (free_port()?, [free_port()?, free_port()?]);
        let mut scene = Self { processes: Vec::new(), program, folder, port, servers };
        let service = S::set_up(&mut scene, options).await?;
        scene.pointsman(S::STORE, &service)?;
        scene.wait_ready().await?;
        Ok(scene)
    }

    /// Makes a folder for a server, and gives its path.
    pub(super) fn folder_for(&self, name: &str) -> Result<String, String> {
        let data = self.path(name);
        std::fs::create_dir(&data).map_err(|error| format!("{}: {error}", data.display()))?;
        Ok(data.display().to_string())
    }

    /// A place in the folder of this scene.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `service` is what the service's table says before its clusters, and tables that belong to it.
    fn pointsman(&mut self, kind: &str, service: &str) -> Result<(), String> {
        let folder = self.folder.path().display().to_string();
        let [main, spare] = self.servers;
        let text = format!(
            "state_dir = \"{folder}/state\"\ngrace = \"1s\"\n[admin]\nsocket = \"{folder}/admin.sock\"\n\
             [telemetry]\nlisten = \"127.0.0.1:{}\"\n\
             [services.demo]\nkind = \"{kind}\"\nlisten = [\"127.0.0.1:{}\"]\n{service}\
             [[services.demo.clusters]]\nname = \"main\"\nsite = \"east\"\nnodes = [\"127.0.0.1:{main}\"]\n\
             [[services.demo.clusters]]\nname = \"spare\"\nsite = \"west\"\nnodes = [\"127.0.0.1:{spare}\"]\n",
            free_port()?,
            self.port
        );
        let file = self.path("pointsman.toml");
        std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
        let arguments = ["run".to_owned(), "--config".to_owned(), file.display().to_string()];
        let program = self.program.clone();
        self.spawn("pointsman", &program, &arguments)
    }

    /// Starts one of the processes; what it says goes to its log.
    pub(super) fn spawn(&mut self, name: &'static str, program: &Path, arguments: &[String]) -> Result<(), String> {
        let process = Process::start(program, arguments, &self.log(name))?;
        self.processes.push((name, process));
        Ok(())
    }

    fn log(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}.log"))
    }

    /// Kills one of the processes as `kill -9` does.
    pub(super) async fn kill(&mut self, name: &str) {
        if let Some(at) = self.processes.iter().position(|(other, _)| *other == name) {
            self.processes.remove(at).1.end().await;
        }
    }

    /// Waits for a condition, or says why it can't come true.
    pub(super) async fn wait(&mut self, what: &str, holds: impl AsyncFn(&Self) -> bool) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if holds(self).await {
                return Ok(());
            }
            self.alive()?;
            if Instant::now() > deadline {
                return Err(format!(
                    "waited {} s in vain until {what}\n{}",
                    PATIENCE.as_secs(),
                    self.tail("pointsman")
                ));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// An error that names the process which ended, with the end of its log.
    pub(super) fn alive(&mut self) -> Result<(), String> {
        let ended = self.processes.iter_mut().find_map(|(name, process)| Some((*name, process.ended()?)));
        ended.map_or(Ok(()), |(name, status)| Err(format!("{name} ended ({status})\n{}", self.tail(name))))
    }

    fn tail(&self, name: &str) -> String {
        let log = std::fs::read_to_string(self.log(name)).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    async fn ready(&self) -> bool {
        let Ok((_, status)) = self.ask(&["status", "demo", "--json"]).await else { return false };
        ["switchover_ready", "failover_ready"].iter().all(|purpose| status["services"][0][purpose]["ready"] == true)
    }

    /// Waits until every switch would be let through again.
    pub(super) async fn wait_ready(&mut self) -> Result<(), String> {
        self.wait("Pointsman is ready for a switch", async |scene: &Self| scene.ready().await).await
    }

    /// Runs the own binary as an operator would; gives its exit code and its JSON.
    pub(super) async fn ask(&self, arguments: &[&str]) -> Result<(i32, Value), String> {
        let output = Command::new(&self.program)
            .args(["--admin", &self.admin()])
            .args(arguments)
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| format!("{}: {error}", self.program.display()))?;
        let value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        let code = output.status.code().unwrap_or(-1);
        if value.is_null() {
            return Err(format!("code {code}: {}", String::from_utf8_lossy(&output.stderr).trim_end()));
        }
        Ok((code, value))
    }

    /// Where the admin API is.
    pub(super) fn admin(&self) -> String {
        format!("unix:{}", self.path("admin.sock").display())
    }

    /// Ends everything, Pointsman first.
    pub(super) async fn end(mut self) {
        while let Some((_, process)) = self.processes.pop() {
            process.end().await;
        }
    }
}
