//! The requests that lead to every answer that is described: one line each.

use super::common::{
    PATIENCE,
    instance::{Pointsman, program},
    ports::free_port,
    redis_server::RedisServer,
    wait_for,
};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;

/// Every word that the core takes as a command, whether a service's path has it or not.
pub const ACTIONS: [&str; 9] =
    ["switchover", "failover", "pause", "resume", "mode", "drain", "restore", "approve", "withdraw"];

/// Answers that no quick test on sound servers leads to: path (`*`: any), status, why.
pub const UNREACHED: &[(&str, u16, &str)] = &[
    ("*", 500, "a switch that fails half-way: tests/switchover_abort.rs"),
    ("*", 503, "control that doesn't answer"),
    ("/v1/events", 200, "a stream has no end: it has a test of its own"),
    (
        "/v1/services/{svc}/nodes/{node}/rebuild",
        200,
        "a node that came back with a history of its own: tests/failover_refused.rs",
    ),
    ("/v1/services/{svc}/pause", 409, "one answer stands for all actions; a pause waits for nothing"),
    ("/v1/services/{svc}/resume", 409, "as pause"),
    ("/v1/services/{svc}/mode", 409, "as pause"),
    ("/v1/services/{svc}/drain", 409, "as pause"),
    ("/v1/services/{svc}/restore", 409, "as pause"),
    ("/v1/services/{svc}/pause", 202, "it is done at once"),
    ("/v1/services/{svc}/resume", 202, "it is done at once"),
    ("/v1/services/{svc}/mode", 202, "it is done at once"),
    ("/v1/services/{svc}/drain", 202, "it is done at once"),
    ("/v1/services/{svc}/restore", 202, "it is done at once"),
    ("/v1/services/{svc}/failover", 202, "as switchover"),
    ("/v1/operations/{id}/approve", 202, "as switchover"),
    ("/v1/operations/{id}/withdraw", 202, "it is done at once"),
    ("/v1/operations/{id}/approve", 409, "the route moved meanwhile: tests/approval.rs"),
    ("/v1/operations/{id}/withdraw", 409, "as approve"),
    ("/v1/groups/{group}/switchover", 202, "as a service's"),
    ("/v1/groups/{group}/pause", 202, "it is done at once"),
    ("/v1/groups/{group}/resume", 202, "it is done at once"),
    ("/v1/groups/{group}/mode", 202, "it is done at once"),
    ("/v1/sites/{site}/evacuate", 202, "as a service's switchover"),
    ("/v1/groups/{group}/switchover", 409, "tests/groups.rs"),
    ("/v1/groups/{group}/pause", 409, "as a service's"),
    ("/v1/groups/{group}/resume", 409, "as a service's"),
    ("/v1/groups/{group}/mode", 409, "as a service's"),
    ("/v1/sites/{site}/evacuate", 409, "tests/groups.rs"),
    ("*", 403, "who may do what: tests/admin_people.rs"),
];

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Its Content-Type.
    pub kind: String,
    pub body: String,
}

/// A request that was made: the path as described and as asked, the body, the status that is right, and the answer.
pub struct Said {
    pub method: &'static str,
    pub path: &'static str,
    pub asked: String,
    pub body: Option<Value>,
    pub expected: u16,
    pub answer: Answer,
}

/// Services `cart` and `basket`, which the group `checkout` switches together.
pub struct Rig {
    pub pointsman: Pointsman,
    services: String,
    nodes: [String; 2],
    /// The header by which somebody is ann, who may approve.
    approver: String,
    servers: RefCell<(RedisServer, RedisServer)>,
    _others: (RedisServer, RedisServer),
}

/// A service over a primary in `main` and its replica in `spare`.
fn service(name: &str, nodes: &[String; 2]) -> String {
    format!(
        "[services.{name}]\nkind = \"redis\"\nlisten = [\"127.0.0.1:{}\"]\non_call = \"cache team\"\n\
         [[services.{name}.clusters]]\nname = \"main\"\nsite = \"east\"\nnodes = [\"{}\"]\n\
         [[services.{name}.clusters]]\nname = \"spare\"\nsite = \"west\"\nnodes = [\"{}\"]\n",
        free_port(),
        nodes[0],
        nodes[1]
    )
}

impl Rig {
    #[track_caller]
    pub fn start() -> Self {
        let (primary, replica) = RedisServer::pair("redis7");
        let nodes = [primary.address(), replica.address()];
        let made =
            Command::new(program()).args(["token", "ann", "--json"]).output().expect("the binary under test starts");
        let made: Value = serde_json::from_slice(&made.stdout).expect("JSON");
        let approver = format!("Authorization: Bearer {}\r\n", made["token"].as_str().expect("a token"));
        let (other, its_replica) = RedisServer::pair("redis7");
        let head = format!(
            "[[admin.people]]\nname = \"ann\"\nrole = \"approver\"\ntoken_hash = \"{}\"\n\
             [groups.checkout]\nmembers = [\"cart\", \"basket\"]\n",
            made["token_hash"].as_str().expect("a hash")
        );
        let services = head + &service("cart", &nodes) + &service("basket", &[other.address(), its_replica.address()]);
        let pointsman = Pointsman::start(&services);
        let rig = Self {
            pointsman,
            services,
            nodes,
            approver,
            servers: RefCell::new((primary, replica)),
            _others: (other, its_replica),
        };
        rig.ready();
        rig
    }

    fn ready(&self) {
        let is = |name: &str| {
            self.pointsman.api(&format!("/v1/services/{name}"), None).1["switchover_ready"]["ready"] == true
        };
        wait_for("ready for a switch", PATIENCE, || is("cart") && is("basket"));
    }

    /// Every request, in an order in which each leads where it should.
    pub fn converse(&self) -> Vec<Said> {
        let mut talk = Talk { rig: self, said: Vec::new() };
        talk.reads();
        talk.switches();
        talk.other_orders();
        talk.groups();
        talk.reloads();
        talk.two_people();
        talk.a_primary_is_gone();
        talk.said
    }

    pub fn get(&self, path: &str) -> Answer {
        self.exchange("GET", path, "", "")
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.exchange("POST", path, "", &body.to_string())
    }

    fn socket(&self) -> UnixStream {
        let stream = UnixStream::connect(self.pointsman.folder().join("admin.sock")).expect("the admin socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a read limit");
        stream
    }

    fn exchange(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let mut stream = self.socket();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}");
        let entity = match body.len() {
            0 => "\r\n".to_owned(),
            length => format!("Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"),
        };
        stream.write_all(format!("{head}{entity}").as_bytes()).expect("sending the request");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("the whole answer");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP answer: {text:?}"));
        let kind = head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap_or_default().to_owned();
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        Answer { status, kind, body: body.to_owned() }
    }

    /// A stream of events from now on.
    pub fn events(&self) -> Stream {
        let mut stream = self.socket();
        stream.write_all(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sending");
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            assert_ne!(reader.read_line(&mut line).expect("a head"), 0, "a whole head");
        }
        Stream(reader)
    }
}

/// Server-sent events.
pub struct Stream(BufReader<UnixStream>);

impl Stream {
    /// The next event's name and data.
    #[track_caller]
    pub fn next_event(&mut self) -> (String, String) {
        let (mut name, mut data, mut line) = (String::new(), String::new(), String::new());
        loop {
            line.clear();
            assert_ne!(self.0.read_line(&mut line).expect("an event"), 0, "the stream goes on");
            let text = line.trim_end();
            if let Some(found) = text.strip_prefix("event: ") {
                found.clone_into(&mut name);
            } else if let Some(found) = text.strip_prefix("data: ") {
                data.push_str(found);
            } else if text.is_empty() && !data.is_empty() {
                return (name, data);
            }
        }
    }
}

/// A conversation with what was said so far.
struct Talk<'r> {
    rig: &'r Rig,
    said: Vec<Said>,
}

impl Talk<'_> {
    /// `path` as described, `asked` as asked.
    fn get(&mut self, path: &'static str, asked: &str, expected: u16) -> Value {
        let answer = self.rig.get(asked);
        let json = serde_json::from_str(&answer.body).unwrap_or_default();
        self.said.push(Said { method: "GET", path, asked: asked.to_owned(), body: None, expected, answer });
        json
    }

    /// An order to what `name` names in the path, with more headers.
    fn order(&mut self, path: &'static str, name: &str, headers: &str, body: Value, expected: u16) -> Value {
        let asked =
            ["{svc}", "{id}", "{group}", "{site}"].iter().fold(path.to_owned(), |p, place| p.replace(place, name));
        let answer = self.rig.exchange("POST", &asked, headers, &body.to_string());
        let json = serde_json::from_str(&answer.body).unwrap_or_default();
        self.said.push(Said { method: "POST", path, asked, body: Some(body), expected, answer });
        json
    }

    fn reads(&mut self) {
        self.get("/openapi.json", "/openapi.json", 200);
        self.get("/schema.json", "/schema.json", 200);
        self.get("/v1/config", "/v1/config", 200);
        self.get("/v1/whoami", "/v1/whoami", 200);
        self.get("/v1/people", "/v1/people", 200);
        self.get("/v1/services", "/v1/services", 200);
        self.get("/v1/services/{svc}", "/v1/services/cart", 200);
        self.get("/v1/services/{svc}", "/v1/services/nobody", 404);
        let rebuild = "/v1/services/{svc}/nodes/{node}/rebuild";
        let node = self.rig.nodes[1].replace(':', "%3A");
        self.get(rebuild, &format!("/v1/services/cart/nodes/{node}/rebuild"), 422);
        self.get(rebuild, "/v1/services/cart/nodes/nowhere%3A1/rebuild", 404);
        self.get("/v1/journal", "/v1/journal", 200);
        self.get("/v1/journal", "/v1/journal?svc=cart&kind=decision&after=1&limit=2", 200);
        self.get("/v1/journal", "/v1/journal?limit=many", 400);
        self.get("/v1/journal", "/v1/journal?sevice=cart", 400);
        self.get("/v1/journal", "/v1/journal?order=newest&actor=pointsman&text=route&limit=3", 200);
        self.get("/v1/operations/{id}", "/v1/operations/cart-999", 404);
        self.get("/v1/operations", "/v1/operations", 200);
        self.get("/v1/operations", "/v1/operations?svc=nobody", 404);
        self.get("/v1/operations", "/v1/operations?limit=many", 400);
        let timeline = "/v1/services/{svc}/timeline";
        self.get(timeline, "/v1/services/cart/timeline", 200);
        self.get(timeline, "/v1/services/cart/timeline?operation=cart-999", 404);
        self.get(timeline, "/v1/services/cart/timeline?operatio=cart-1", 400);
    }

    fn switches(&mut self) {
        let switchover = "/v1/services/{svc}/switchover";
        self.order(switchover, "cart", "", json!({ "dry_run": true }), 200);
        self.order(switchover, "cart", "", json!({ "too": "spare" }), 400);
        self.order(switchover, "cart", "", json!({ "to": "nowhere" }), 404);
        self.order(switchover, "nobody", "", json!({}), 404);
        self.order(switchover, "cart", "", json!({ "if_epoch": 999 }), 409);
        let all = json!({ "to": "spare", "reason": "all fields", "dry_run": false, "timeout": "20s", "cut_sessions": true,
            "override": ["fit"], "accept_difference": true });
        let key = "Idempotency-Key: one\r\n";
        let done = self.order(switchover, "cart", key, all, 200);
        self.order(switchover, "cart", key, json!({ "to": "main" }), 422);
        let id = done["id"].as_str().unwrap_or_default();
        self.get("/v1/operations/{id}", &format!("/v1/operations/{id}"), 200);
        self.get("/v1/services/{svc}/timeline", &format!("/v1/services/cart/timeline?operation={id}"), 200);
        self.rig.ready();
        let runs = self.order(switchover, "cart", "", json!({ "to": "main", "wait": "0s" }), 202);
        let id = runs["id"].as_str().unwrap_or_default().to_owned();
        let ended = || self.rig.pointsman.api(&format!("/v1/operations/{id}"), None).1["outcome"] == "done";
        wait_for("the operation ended", PATIENCE, ended);
        self.rig.ready();
        let failover = "/v1/services/{svc}/failover";
        self.order(failover, "cart", "", json!({}), 400);
        self.order(failover, "cart", "", json!({ "dry_run": true, "if_epoch": 999 }), 409);
        self.order(failover, "nobody", "", json!({ "accept_loss": true }), 404);
        // The primary lives: only a planned switch loses nothing.
        self.order(failover, "cart", "", json!({ "dry_run": true, "override": ["evidence"], "reason": "x" }), 422);
        self.order(failover, "cart", key, json!({ "dry_run": true }), 422);
    }

    fn other_orders(&mut self) {
        let key = "Idempotency-Key: one\r\n";
        for (path, good) in [
            ("/v1/services/{svc}/pause", json!({ "for": "1m", "reason": "test" })),
            ("/v1/services/{svc}/resume", json!({ "reason": "test" })),
            ("/v1/services/{svc}/mode", json!({ "mode": "open", "reason": "test" })),
            ("/v1/services/{svc}/drain", json!({ "cluster": "spare", "reason": "test" })),
            ("/v1/services/{svc}/restore", json!({ "cluster": "spare" })),
        ] {
            self.order(path, "cart", "", good.clone(), 200);
            self.order(path, "nobody", "", good.clone(), 404);
            self.order(path, "cart", key, good, 422);
            self.order(path, "cart", "", json!({ "reason": 5 }), 400);
        }
    }

    /// A switch that waits for a second person: given up by the one who asked, then agreed to by another.
    fn two_people(&mut self) {
        self.rig.pointsman.write_services(&self.rig.services.replace("kind =", "require_approval = true\nkind ="));
        self.reload(200);
        let (switchover, approve) = ("/v1/services/{svc}/switchover", "/v1/operations/{id}/approve");
        let withdraw = "/v1/operations/{id}/withdraw";
        let (rig, none) = (self.rig, json!({}));
        let id = |waits: &Value| waits["id"].as_str().unwrap_or_default().to_owned();
        let first = id(&self.order(switchover, "cart", "", json!({ "to": "spare" }), 202));
        self.get("/v1/services/{svc}", "/v1/services/cart", 200);
        self.get("/v1/operations", "/v1/operations?svc=cart&limit=5", 200);
        self.order(approve, &first, "", none.clone(), 403);
        self.order(withdraw, &first, "", json!({ "reason": "not now" }), 200);
        for path in [approve, withdraw] {
            self.order(path, &first, &rig.approver, none.clone(), 422);
            self.order(path, "cart-999", &rig.approver, none.clone(), 404);
            self.order(path, &first, &rig.approver, json!({ "reason": 5 }), 400);
        }
        let second = id(&self.order(switchover, "cart", "", json!({ "to": "spare" }), 202));
        self.order(approve, &second, &rig.approver, json!({ "reason": "agreed" }), 200);
        rig.ready();
        self.order(switchover, "cart", "", json!({ "to": "main", "override": ["approval"], "reason": "urgent" }), 200);
        rig.ready();
    }

    /// The end of the conversation, since nothing is as before.
    fn a_primary_is_gone(&mut self) {
        self.order("/v1/services/{svc}/pause", "cart", "", json!({ "for": "1h" }), 200);
        self.rig.servers.borrow_mut().0.kill();
        let body = json!({ "accept_loss": true, "override": ["evidence", "approval"], "reason": "killed" });
        wait_for("the primary is missed", PATIENCE, || {
            self.rig.pointsman.api("/v1/services/cart", None).1["clusters"][0]["health"] == "down"
        });
        self.order("/v1/services/{svc}/failover", "cart", "", body, 200);
        self.get("/v1/services", "/v1/services", 200);
        self.get("/v1/journal", "/v1/journal?svc=cart", 200);
    }

    fn groups(&mut self) {
        self.rig.ready();
        self.get("/v1/groups", "/v1/groups", 200);
        self.get("/v1/sites", "/v1/sites", 200);
        let orders = [
            ("/v1/groups/{group}/switchover", "checkout", json!({ "dry_run": true })),
            ("/v1/groups/{group}/switchover", "checkout", json!({ "to": "spare", "reason": "test" })),
            ("/v1/groups/{group}/pause", "checkout", json!({ "for": "1m" })),
            ("/v1/groups/{group}/resume", "checkout", json!({})),
            ("/v1/groups/{group}/mode", "checkout", json!({ "mode": "open" })),
            ("/v1/sites/{site}/evacuate", "west", json!({ "dry_run": true })),
            ("/v1/sites/{site}/evacuate", "west", json!({ "reason": "test" })),
        ];
        for (number, (path, name, good)) in orders.into_iter().enumerate() {
            let key = format!("Idempotency-Key: group-{number}\r\n");
            let done = self.order(path, name, &key, good.clone(), 200);
            if let Some(id) = done["id"].as_str().filter(|id| !id.ends_with("dry-run")) {
                self.get("/v1/operations/{id}", &format!("/v1/operations/{id}"), 200);
            }
            self.order(path, "nobody", "", good.clone(), 404);
            // A dry run's key is not kept: it did nothing that could be done twice.
            if good["dry_run"] != true {
                let mut other = good;
                other["reason"] = "another".into();
                self.order(path, name, &key, other, 422);
            }
            self.order(path, name, "", json!({ "reason": 5 }), 400);
            self.rig.ready();
        }
    }

    fn reloads(&mut self) {
        self.rig.pointsman.write_services(&self.rig.services.replace("cache team", "night shift"));
        self.reload(200);
        self.rig.pointsman.write_services(&self.rig.services.replace("kind", "kinds"));
        self.reload(422);
    }

    fn reload(&mut self, expected: u16) {
        let path = "/v1/reload";
        let answer = self.rig.exchange("POST", path, "", "");
        self.said.push(Said { method: "POST", path, asked: path.into(), body: None, expected, answer });
    }
}
