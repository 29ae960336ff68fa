//! A Pointsman whose admin API is what is tested: people, tokens, a TCP listener. Its one service has nodes that answer nobody, so that
//! no server is needed.

use super::{PATIENCE, instance::Pointsman, instance::program, ports::free_port, wait_for};
use serde_json::Value;
use std::{
    io::{Read, Write},
    net::TcpStream,
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::PathBuf,
    process::{Command, Output},
    time::Duration,
};

/// What `pointsman token` made.
#[derive(Clone, Debug)]
pub struct Token {
    /// For `Authorization: Bearer`.
    pub text: String,
    /// For the configuration.
    pub hash: String,
}

impl Token {
    /// A fresh one, by the binary under test.
    #[track_caller]
    pub fn fresh() -> Self {
        let output = Command::new(program()).args(["token", "somebody", "--json"]).output().expect("the binary starts");
        let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let text = |key: &str| json[key].as_str().expect("a text").to_owned();
        Self { text: text("token"), hash: text("token_hash") }
    }
}

/// A table `[[admin.people]]`; `rest` are its further lines.
pub fn person(name: &str, role: &str, rest: &str) -> String {
    format!("[[admin.people]]\nname = \"{name}\"\nrole = \"{role}\"\n{rest}\n")
}

/// The same for somebody with a token.
pub fn bearer(name: &str, role: &str, token: &Token) -> String {
    person(name, role, &format!("token_hash = \"{}\"", token.hash))
}

/// An answer as it came.
#[derive(Clone, Debug)]
pub struct Answer {
    /// 0 if the other side closed without one.
    pub status: u16,
    /// The head in lower case.
    pub head: String,
    /// As text; chunks aren't joined.
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        Self { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }
}

/// Says these bytes and gives the answer, whole once the other side closes.
#[track_caller]
pub fn say(mut stream: impl Read + Write, bytes: &[u8]) -> Answer {
    // One that was refused before it said all can't say the rest.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let end = stream.read_to_end(&mut answer);
    assert!(end.is_ok() || !answer.is_empty(), "no answer: {end:?}");
    Answer::read(&answer)
}

/// Asks who one is a thousand times at once; gives every answer.
#[track_caller]
pub fn all_at_once(mut reader: impl Read + Send, mut writer: impl Write, token: Option<&Token>) -> String {
    let last = request("GET", "/v1/whoami", token, &[], "");
    let all = last.replace("Connection: close\r\n", "").repeat(999) + &last;
    std::thread::scope(|scope| {
        let reading = scope.spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).expect("every answer");
            text
        });
        writer.write_all(all.as_bytes()).expect("sent");
        reading.join().expect("the answers")
    })
}

/// The bytes of a request that closes the connection behind it. A body is said to be JSON unless `headers` says otherwise.
pub fn request(method: &str, path: &str, token: Option<&Token>, headers: &[(&str, &str)], body: &str) -> String {
    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    let has = |name: &str| headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
    if !has("host") {
        head += "Host: localhost\r\n";
    }
    if !body.is_empty() {
        head = format!("{head}Content-Length: {}\r\n", body.len());
    }
    if !body.is_empty() && !has("content-type") {
        head += "Content-Type: application/json\r\n";
    }
    if let Some(token) = token {
        head = format!("{head}Authorization: Bearer {}\r\n", token.text);
    }
    for (name, value) in headers {
        head = format!("{head}{name}: {value}\r\n");
    }
    format!("{head}\r\n{body}")
}

/// The instance, its admin port and its service's.
pub struct AdminRig {
    /// The instance.
    pub pointsman: Pointsman,
    /// `admin.listen`.
    pub port: u16,
    services: String,
}

impl AdminRig {
    /// With these people; `admin.listen` too if one has a token.
    #[track_caller]
    pub fn start(people: &str) -> Self {
        Self::with("", people)
    }

    /// With further keys of `[admin]`.
    #[track_caller]
    pub fn with(keys: &str, people: &str) -> Self {
        let services = format!(
            "[services.cart]\nkind = \"redis\"\nlisten = \"127.0.0.1:{}\"\nreplication = \"none\"\n\
             [[services.cart.clusters]]\nname = \"main\"\nnodes = \"127.0.0.1:{}\"\n\
             [[services.cart.clusters]]\nname = \"spare\"\nnodes = \"127.0.0.1:{}\"\n",
            free_port(),
            free_port(),
            free_port()
        );
        let mut rig = Self { pointsman: Pointsman::prepare(&services), port: free_port(), services };
        rig.write(keys, people);
        // Other users must reach the socket and a binary.
        let folder = rig.pointsman.folder();
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o711)).expect("a mode");
        rig.pointsman.launch_only();
        let socket = rig.socket();
        wait_for("its listeners", PATIENCE, || {
            UnixStream::connect(&socket).is_ok() && TcpStream::connect(("127.0.0.1", rig.pointsman.telemetry)).is_ok()
        });
        rig
    }

    /// Replaces its file; [`Pointsman::cli_expect`] of `reload` puts it in force.
    pub fn write(&self, keys: &str, people: &str) {
        let listens = people.contains("token_hash");
        let listen = if listens { format!("listen = \"127.0.0.1:{}\"\n", self.port) } else { String::new() };
        self.pointsman.write_admin(&format!("{listen}{keys}\n{people}"), &self.services);
    }

    /// Puts other people in force.
    #[track_caller]
    pub fn reload(&self, keys: &str, people: &str) {
        self.write(keys, people);
        self.pointsman.cli_expect(&["reload"], 0);
    }

    /// The path of the admin socket.
    pub fn socket(&self) -> PathBuf {
        self.pointsman.folder().join("admin.sock")
    }

    /// A connection to `admin.listen`.
    #[track_caller]
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("admin.listen");
        stream.set_read_timeout(Some(PATIENCE)).expect("a read limit");
        stream.set_write_timeout(Some(PATIENCE)).expect("a write limit");
        stream
    }

    /// A request over TCP.
    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, token: Option<&Token>, headers: &[(&str, &str)], body: &str) -> Answer {
        say(self.connect(), request(method, path, token, headers, body).as_bytes())
    }

    /// A GET over TCP.
    #[track_caller]
    pub fn get(&self, path: &str, token: &Token) -> Answer {
        self.ask("GET", path, Some(token), &[], "")
    }

    /// The number of the journal's last record.
    #[track_caller]
    pub fn head(&self) -> u64 {
        self.pointsman.api("/v1/journal?limit=1", None).1["head"]["seq"].as_u64().expect("a number")
    }

    /// The journal's last records.
    #[track_caller]
    pub fn last_record(&self, kind: &str) -> Value {
        let (_, journal) = self.pointsman.api(&format!("/v1/journal?kind={kind}"), None);
        journal["records"].as_array().and_then(|records| records.last()).cloned().expect("a record")
    }

    /// Runs a subcommand as another user of this machine, on the socket.
    #[track_caller]
    pub fn cli_as(&self, uid: u32, gid: u32, arguments: &[&str]) -> Output {
        let binary = self.pointsman.folder().join("cli");
        if !binary.exists() {
            // The build folder may be closed to others.
            std::fs::copy(program(), &binary).expect("a copy of the binary");
        }
        let (uid, gid) = (uid.to_string(), gid.to_string());
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &uid, "--regid", &gid, "--clear-groups"]).arg(binary).args(arguments);
        command.env("POINTSMAN_ADMIN", format!("unix:{}", self.socket().display()));
        command.output().expect("setpriv starts")
    }
}

/// Whether other users can be tried: it takes root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Reads until `found` is in what came; gives all of it.
#[track_caller]
pub fn until(stream: &mut impl Read, found: &str) -> String {
    let (mut text, mut bytes) = (String::new(), [0; 8192]);
    // The stream's signs of life would keep a limit of one read from ever passing.
    let end = std::time::Instant::now() + PATIENCE;
    while !text.contains(found) {
        assert!(std::time::Instant::now() < end, "no {found:?}: {text}");
        match stream.read(&mut bytes) {
            Ok(0) => panic!("closed before {found:?}: {text}"),
            Ok(read) => text += &String::from_utf8_lossy(&bytes[..read]),
            Err(error) => panic!("{error} before {found:?}: {text}"),
        }
    }
    text
}

/// How long an answer takes.
pub fn timed<T>(act: impl FnOnce() -> T) -> (T, Duration) {
    let begin = std::time::Instant::now();
    (act(), begin.elapsed())
}
