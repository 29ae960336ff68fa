//! Hosts of their own for servers and Pointsmans: network namespaces on one bridge, with paths that can be broken.
//!
//! Nothing has a name in the system: a namespace lives as long as this program holds its file or a process runs in it, so nothing
//! is left behind however the program ends. Tests look at a server from within its own host, by its loopback, which no broken
//! path touches.
#![expect(clippy::disallowed_types, reason = "tests, far from the data path")]

use std::{
    fs::File,
    io::{BufRead, BufReader},
    os::fd::{AsFd, AsRawFd},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

/// What the addresses of all hosts begin with: a range for tests of networks, which is no real one's.
const PREFIX: &str = "198.18.0";

/// One host, as long as any of its handles lives.
#[derive(Clone, Debug)]
pub struct Host {
    name: String,
    address: String,
    space: Arc<File>,
}

/// A network of hosts.
pub struct Network {
    middle: Host,
    hosts: Mutex<u8>,
}

impl Network {
    /// An empty network; none where this process may not make namespaces.
    pub fn new() -> Option<Self> {
        let middle = Host { name: "bridge".into(), address: String::new(), space: Arc::new(new_space()?) };
        let made = middle.try_do("ip link add bridge type bridge") && middle.try_do("ip link set bridge up");
        // A kernel without the filter's modules can't break a path.
        let filters =
            middle.try_do("iptables -w -A INPUT -s 198.18.0.99 -m statistic --mode random --probability 0.5 -j DROP");
        (made && filters).then_some(Self { middle, hosts: Mutex::new(0) })
    }

    /// One more host.
    pub fn host(&self, name: &str) -> Host {
        let number = {
            let mut hosts = self.hosts.lock().expect("no thread panicked");
            *hosts += 1;
            *hosts
        };
        let space = new_space().expect("one could be made before");
        let host = Host { name: name.to_owned(), address: format!("{PREFIX}.{number}"), space: Arc::new(space) };
        self.middle.order(&format!("ip link add port{number} type veth peer name eth0 netns {}", host.place()));
        self.middle.order(&format!("ip link set port{number} master bridge up"));
        host.order(&format!("ip address add {}/24 dev eth0", host.address));
        host.order("ip link set lo up");
        host.order("ip link set eth0 up");
        host
    }
}

impl Host {
    /// Its address in the network.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Runs `act` on a thread of this host: sockets that are opened there, and threads that are started there, belong to it.
    pub fn run<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            let kind = Some(rustix::thread::LinkNameSpaceType::Network);
            rustix::thread::move_into_link_name_space(self.space.as_fd(), kind).expect("entering the namespace");
            act()
        };
        let outcome = std::thread::scope(|scope| scope.spawn(inside).join());
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// The words before a command that is to run on this host; the process keeps its id.
    pub fn prefix(&self) -> [String; 2] {
        ["nsenter".into(), format!("--net={}", self.place())]
    }

    /// From now on nothing that `from` sends arrives here.
    pub fn lose_from(&self, from: &Host) {
        self.order(&format!("iptables -w -A INPUT -s {} -j DROP", from.address));
    }

    /// From now on what `from` sends is answered by a refusal: `tcp-reset`, or `icmp-host-unreachable`.
    pub fn reject_from(&self, from: &Host, with: &str) {
        self.order(&format!("iptables -w -A INPUT -s {} -p tcp -j REJECT --reject-with {with}", from.address));
    }

    /// From now on this share of what arrives from others is lost, by chance.
    pub fn lose_share(&self, share: f64) {
        self.order(&format!("iptables -w -A INPUT ! -i lo -m statistic --mode random --probability {share} -j DROP"));
    }

    /// From now on nothing arrives here and nothing leaves.
    pub fn isolate(&self) {
        self.order("iptables -w -A INPUT ! -i lo -j DROP");
        self.order("iptables -w -A OUTPUT ! -o lo -j DROP");
    }

    /// As if its cable were pulled: others get no answer to the question where it is.
    pub fn unplug(&self) {
        self.order("ip link set eth0 down");
    }

    /// Everything passes again.
    pub fn heal(&self) {
        self.order("iptables -w -F");
        self.order("ip link set eth0 up");
    }

    /// The path between the two is broken, silently, in both directions.
    pub fn cut(&self, other: &Host) {
        self.lose_from(other);
        other.lose_from(self);
    }

    fn place(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.space.as_raw_fd())
    }

    #[track_caller]
    fn order(&self, words: &str) {
        assert!(self.try_do(words), "on {}: {words}", self.name);
    }

    fn try_do(&self, words: &str) -> bool {
        let [program, place] = self.prefix();
        let mut command = Command::new(program);
        command.arg(place).args(words.split(' ')).stdin(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }
}

/// A namespace, held open by its file.
fn new_space() -> Option<File> {
    let mut command = Command::new("unshare");
    command
        .args(["--net", "sh", "-c", "echo up; read _"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let mut line = String::new();
    let _ = BufReader::new(child.stdout.take()?).read_line(&mut line);
    let space = (line == "up\n").then(|| File::open(format!("/proc/{}/ns/net", child.id())).ok()).flatten();
    // The end of its input ends it.
    drop(child.stdin.take());
    let _ = child.wait();
    space
}
