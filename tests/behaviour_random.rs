//! Generated sessions, many at once: each connection's replies and the data that is left are those of a direct server.

mod behaviour;
mod common;

use behaviour::side::{Kind, Side};
use behaviour::wire::{Got, LIMIT, Wire, encode};
use std::io::Write;

/// Connections at once.
const CLIENTS: u64 = 8;
/// Batches that each of them sends.
const BATCHES: u64 = 25;

/// Numbers of a small generator: what a seed gives, it gives again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// One client's way through its own keys.
struct Author {
    dice: Dice,
    prefix: String,
    entry: u64,
}

impl Author {
    fn key(&mut self, kind: &str) -> String {
        format!("{}:{kind}:{}", self.prefix, self.dice.roll(4))
    }

    fn value(&mut self) -> String {
        let length = match self.dice.roll(40) {
            0 => 200_000,
            1..4 => 20_000,
            _ => self.dice.roll(40),
        };
        "v".repeat(usize::try_from(length).expect("a length"))
    }

    /// A command whose one reply depends on nothing but what this client did before.
    fn plain(&mut self) -> Vec<String> {
        let value = self.value();
        let number = self.dice.roll(10).to_string();
        self.entry += 1;
        let id = format!("{}-1", self.entry);
        let words: Vec<String> = match self.dice.roll(24) {
            0 | 1 => vec!["SET".into(), self.key("s"), value],
            2 | 3 => vec!["GET".into(), self.key("s")],
            4 => vec!["APPEND".into(), self.key("s"), number],
            5 => vec!["INCRBY".into(), self.key("n"), number],
            6 => vec!["INCR".into(), self.key("s")],
            7 => vec!["RPUSH".into(), self.key("l"), value, number],
            8 => vec!["LRANGE".into(), self.key("l"), "0".into(), "-1".into()],
            9 => vec!["LPOP".into(), self.key("l"), number],
            10 => vec!["HSET".into(), self.key("h"), number, "x".into()],
            11 => vec!["HGETALL".into(), self.key("h")],
            12 => vec!["SADD".into(), self.key("i"), number],
            13 => vec!["SMEMBERS".into(), self.key("i")],
            14 => vec!["ZADD".into(), self.key("z"), number.clone(), number],
            15 => vec!["ZRANGE".into(), self.key("z"), "0".into(), "-1".into(), "WITHSCORES".into()],
            16 => vec!["XADD".into(), self.key("x"), id, "f".into(), value],
            17 => vec!["XLEN".into(), self.key("x")],
            18 => vec!["DEL".into(), self.key("s"), self.key("l")],
            19 => vec![
                "EVAL".into(),
                "return redis.call('incrby', KEYS[1], ARGV[1])".into(),
                "1".into(),
                self.key("n"),
                number,
            ],
            20 => vec!["NOPE".into(), number],
            21 => vec!["MGET".into(), self.key("s"), self.key("n"), self.key("l")],
            22 => vec!["ECHO".into(), value],
            _ => vec!["GETRANGE".into(), self.key("s"), "0".into(), "5".into()],
        };
        words
    }

    /// Bytes of a batch of commands, and the number of their replies.
    fn batch(&mut self) -> (Vec<u8>, usize) {
        let mut bytes = Vec::new();
        let mut replies = 0;
        let mut say = |words: &[String], many: usize| {
            bytes.extend(encode(words));
            replies += many;
        };
        let line = |text: &str| text.split(' ').map(ToOwned::to_owned).collect::<Vec<_>>();
        for _ in 0..=self.dice.roll(60) {
            match self.dice.roll(30) {
                0 => {
                    say(&line("MULTI"), 1);
                    for _ in 0..self.dice.roll(5) {
                        say(&self.plain(), 1);
                    }
                    say(&line(if self.dice.roll(3) == 0 { "DISCARD" } else { "EXEC" }), 1);
                }
                1 => {
                    say(&[line("WATCH"), vec![self.key("s")]].concat(), 1);
                    say(&self.plain(), 1);
                    say(&line("MULTI"), 1);
                    say(&self.plain(), 1);
                    say(&line("EXEC"), 1);
                }
                2 => say(&line(&format!("SELECT {}", self.dice.roll(3))), 1),
                3 => say(&[line("BLPOP"), vec![self.key("l")], line("0.005")].concat(), 1),
                4 => {
                    say(&line(&format!("SUBSCRIBE {}:a {}:b", self.prefix, self.prefix)), 2);
                    say(&line(&format!("UNSUBSCRIBE {}:a {}:b", self.prefix, self.prefix)), 2);
                }
                5 => say(&line(&format!("CLIENT SETNAME {}", self.prefix)), 1),
                6 => say(&line("CLIENT GETNAME"), 1),
                7 => {
                    say(&line("CLIENT REPLY SKIP"), 0);
                    say(&self.plain(), 0);
                }
                8 => say(&line("CLIENT NO-EVICT ON"), 1),
                9 => say(&line("RESET"), 1),
                _ => say(&self.plain(), 1),
            }
        }
        (bytes, replies)
    }
}

/// Everything one client is answered.
fn live(side: &Side, seed: u64, client: u64) -> Vec<String> {
    let dice = Dice(seed * 1000 + client);
    let mut author = Author { dice, prefix: format!("c{client}"), entry: 0 };
    let mut wire = side.connect();
    let mut said = Vec::new();
    for number in 0..BATCHES {
        let (bytes, replies) = author.batch();
        let mut sender = wire.sender();
        std::thread::scope(|scope| {
            scope.spawn(move || sender.write_all(&bytes).expect("the other side takes a batch"));
            for index in 0..replies {
                match wire.frame(LIMIT) {
                    Got::Frame(frame) => said.push(behaviour::mask::Mask::None.apply(&frame)),
                    other => {
                        panic!("seed {seed}, client {client}, batch {number}, reply {index} of {replies}: {other:?}")
                    }
                }
            }
        });
        // Some come back with a new connection.
        if author.dice.roll(8) == 0 {
            wire = side.connect();
        }
    }
    said
}

fn all(side: &Side, seed: u64) -> Vec<Vec<String>> {
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|client| scope.spawn(move || live(side, seed, client))).collect();
        clients.into_iter().map(|client| client.join().expect("a client that lives to its end")).collect()
    })
}

fn interleave(component: &str, seeds: std::ops::Range<u64>) {
    let sides = Kind::plain(component).both();
    for seed in seeds {
        let [direct, through] = sides.each_ref().map(|side| all(side, seed));
        for (client, (left, right)) in direct.iter().zip(&through).enumerate() {
            let differs = left.iter().zip(right).position(|(one, other)| one != other);
            if let Some(index) = differs {
                panic!("seed {seed}, client {client}, reply {index}:\n  {}\n  {}", left[index], right[index]);
            }
            assert_eq!(left.len(), right.len());
        }
        let [left, right] = sides.each_ref().map(|side| {
            let mut wire = Wire::connect(side.server.port());
            let digest = wire.ask(&["DEBUG", "DIGEST"]);
            wire.ask(&["FLUSHALL"]);
            digest.escape_ascii().to_string()
        });
        assert_eq!(left, right, "seed {seed}: the data differs");
    }
}

#[test]
fn many_clients_on_redis7() {
    require_server!("redis7");
    interleave("redis7", 0..6);
}

#[test]
fn many_clients_on_redis8() {
    require_server!("redis8");
    interleave("redis8", 6..10);
}

#[test]
fn many_clients_on_valkey() {
    require_server!("valkey");
    interleave("valkey", 10..14);
}

#[test]
fn pipelines_of_any_depth_keep_their_order() {
    require_server!("redis7");
    let side = Kind::plain("redis7").through();
    let mut wire = side.connect();
    let (mut bytes, mut expected) = (Vec::new(), Vec::new());
    let mut say = |words: &[&str], reply: String| {
        bytes.extend(encode(words));
        expected.push(reply);
    };
    for index in 0..10_000_u64 {
        let text = index.to_string();
        match index % 100 {
            // What needs a connection of its own, amid what does not.
            50 => {
                say(&["MULTI"], "+OK\r\n".into());
                say(&["ECHO", &text], "+QUEUED\r\n".into());
                say(&["EXEC"], format!("*1\r\n${}\r\n{text}\r\n", text.len()));
            }
            75 => {
                say(&["RPUSH", "list", &text], ":1\r\n".into());
                say(&["BLPOP", "list", "0"], format!("*2\r\n$4\r\nlist\r\n${}\r\n{text}\r\n", text.len()));
            }
            90 => say(&["SELECT", if index % 200 == 90 { "1" } else { "0" }], "+OK\r\n".into()),
            _ => say(&["ECHO", &text], format!("${}\r\n{text}\r\n", text.len())),
        }
    }
    let mut sender = wire.sender();
    std::thread::scope(|scope| {
        scope.spawn(move || sender.write_all(&bytes).expect("a deep pipeline is taken"));
        for (index, expected) in expected.iter().enumerate() {
            match wire.frame(LIMIT) {
                Got::Frame(frame) => assert_eq!(String::from_utf8_lossy(&frame), *expected, "reply {index}"),
                other => panic!("reply {index}: {other:?}"),
            }
        }
    });
}
