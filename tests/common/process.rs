//! A child process that never outlives its handle, nor the test program.

use super::{PATIENCE, holds_within, netns::Host};
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};

/// A running program; killed on drop. Its output is in [`Process::log`].
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program` with `arguments` and `environment`, output appended to `log`.
    pub fn start(program: &Path, arguments: &[String], environment: &[(String, String)], log: &Path) -> Self {
        Self::start_on(None, program, arguments, environment, log)
    }

    /// As [`Process::start`], on a host of its own.
    pub fn start_on(
        host: Option<&Host>,
        program: &Path,
        arguments: &[String],
        environment: &[(String, String)],
        log: &Path,
    ) -> Self {
        let output = std::fs::OpenOptions::new().create(true).append(true).open(log).expect("a log file");
        // The kernel kills the child when the test program is gone, however it went.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).args(host.map(Host::prefix).into_iter().flatten());
        command.arg(program).args(arguments);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(output.try_clone().expect("a second handle")).stderr(output);
        Self { child: spawn(command), log: log.to_owned() }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has written so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends a signal; a process that has ended already is no error.
    pub fn signal(&self, signal: Signal) {
        let id = Pid::from_child(&self.child);
        let _ = kill_process(id, signal);
    }

    /// Its exit status, when it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the status of a child")
    }

    /// Waits for the end; panics with the log when it does not come.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        if !holds_within(PATIENCE, || {
            status = self.ended();
            status.is_some()
        }) {
            panic!("process {} does not end; its log:\n{}", self.id(), self.log());
        }
        status.expect("just seen")
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Spawns on a thread that lives as long as the program: the kernel counts the end of the spawning *thread* as the parent's
/// death, and a server may be kept longer than the test thread that asked for it.
fn spawn(command: Command) -> Child {
    type Request = (Command, Sender<std::io::Result<Child>>);
    static SPAWNER: OnceLock<Sender<Request>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (requests, inbox) = channel::<Request>();
        std::thread::spawn(move || {
            for (mut command, answer) in inbox {
                let _ = answer.send(command.spawn());
            }
        });
        requests
    });
    let (answer, result) = channel();
    spawner.send((command, answer)).expect("the spawner lives as long as the program");
    result.recv().expect("an answer of the spawner").expect("setpriv (util-linux) starts")
}
