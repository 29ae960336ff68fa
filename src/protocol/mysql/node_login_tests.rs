//! Logins towards a node that the test plays.

use mysql_common::packets::AuthSwitchRequest;
use mysql_common::proto::MySerialize;

use crate::model::secret::Secret;

use super::auth::{self, SEED};
use super::capability::{Capabilities, status};
use super::greeting::{Greeting, NONCE};
use super::login::{AuthSwitch, First, LOGIN_MAX, auth_more};
use super::login_tests::PEM;
use super::node_login::{Ask, Channel, NodeLogin, NodeLoginError, Progress};
use super::{error, packet};

/// A node: greets, and answers each packet of the login with the next of its packets.
struct Play {
    greeting: Vec<u8>,
    answers: Vec<Vec<u8>>,
}

const OFFERED: Capabilities = Capabilities(
    Capabilities::OWN.0 | Capabilities::SHARED.0 & 0xffff_ffff | Capabilities::LONG_PASSWORD.0 | Capabilities::SSL.0,
);

fn play(plugin: &[u8], answers: &[&[u8]]) -> Play {
    let mut greeting = Vec::new();
    let nonce = [3; NONCE];
    Greeting { version: b"9.7.4", connection_id: 77, nonce, capabilities: OFFERED, collation: 255, status: 2, plugin }
        .write(&mut greeting);
    Play { greeting, answers: answers.iter().map(|answer| answer.to_vec()).collect() }
}

/// Runs a login, the node's bytes arriving one by one. Returns what was sent, packet by packet, and how it ended.
fn run(play: &Play, channel: Channel, password: &str) -> (Vec<Vec<u8>>, Result<Progress, NodeLoginError>) {
    let password = Secret::new(password.as_bytes());
    let ask = Ask {
        user: b"app",
        password: &password,
        schema: Some(b"shop"),
        capabilities: Capabilities::PROTOCOL_41 | Capabilities::DEPRECATE_EOF,
        optional: Capabilities::default(),
        collation: 45,
        attributes: b"",
        channel,
        seed: [7; SEED],
    };
    let (mut login, mut sent, mut sequence) = (NodeLogin::new(ask), Vec::new(), 0);
    for payload in std::iter::once(&play.greeting).chain(&play.answers) {
        let (mut bytes, mut out) = (Vec::new(), Vec::new());
        packet::write(&mut bytes, sequence, payload);
        let mut progress = Progress::More;
        for end in 0..=bytes.len() {
            match login.read(&bytes[..end], &mut out) {
                Ok((0, Progress::More)) => assert!(end < bytes.len()),
                Ok((used, now)) => {
                    assert_eq!((used, end), (bytes.len(), bytes.len()));
                    progress = now;
                }
                Err(error) => return (sent, Err(error)),
            }
        }
        if progress == Progress::NeedsTls {
            let (header, payload) = packet::read(&out).expect("a request for TLS");
            assert_eq!((header.sequence, payload.len()), (1, super::login::SSL_REQUEST));
            sequence = 1;
            out.clear();
            login.tls_ready(&mut out);
        }
        if let Some((header, payload)) = packet::read(&out) {
            assert_eq!(header.sequence, sequence + 1);
            sequence += 2;
            sent.push(payload.to_vec());
        } else {
            sequence += 1;
        }
        if let Progress::Done(_) = progress {
            return (sent, Ok(progress));
        }
    }
    (sent, Ok(Progress::More))
}

const OK: &[u8] = b"\0\0\0\x02\0\0\0";

fn ended(result: &Result<Progress, NodeLoginError>) -> bool {
    matches!(result, Ok(Progress::Done(node)) if node.connection_id == 77 && node.status == status::AUTOCOMMIT)
}

fn proof(plugin: &[u8], nonce: u8) -> Vec<u8> {
    auth::prove(plugin, b"pw", &[nonce; NONCE]).expect("a proof").bytes().to_vec()
}

#[test]
fn the_fast_way_in() {
    for (plugin, answers) in [(auth::NATIVE, vec![OK]), (auth::CACHING_SHA2, vec![&[1, auth::FAST_OK][..], OK])] {
        let (sent, result) = run(&play(plugin, &answers), Channel::Plain, "pw");
        assert!(ended(&result), "{result:?}");
        let Ok(First::Login(login)) = First::read(&sent[0]) else { panic!("no login") };
        assert_eq!((login.user, login.schema, login.plugin), (&b"app"[..], Some(&b"shop"[..]), plugin));
        assert_eq!(login.auth, proof(plugin, 3));
        assert_eq!(sent.len(), 1);
        assert!(login.head.capabilities.has(Capabilities::SESSION_TRACK | Capabilities::DEPRECATE_EOF));
        assert!(
            !login.head.capabilities.has(Capabilities::MULTI_STATEMENTS)
                && !login.head.capabilities.has(Capabilities::SSL)
        );
    }
}

#[test]
fn the_password_itself_goes_out_only_where_nobody_reads_it() {
    let full = [1, auth::FULL];
    for channel in [Channel::Tls, Channel::Unix] {
        let (sent, result) = run(&play(auth::CACHING_SHA2, &[&full, OK]), channel, "pw");
        assert!(ended(&result), "{result:?}");
        assert_eq!(sent[1], b"pw\0");
        assert!(matches!(result, Ok(Progress::Done(node)) if node.full));
    }
    let key = [&[1][..], PEM.as_bytes()].concat();
    let (sent, result) = run(&play(auth::CACHING_SHA2, &[&full, &key, OK]), Channel::Plain, "pw");
    assert!(ended(&result), "{result:?}");
    assert_eq!(sent[1], [auth::REQUEST_KEY]);
    assert_eq!(Some(sent[2].clone()), auth::encrypt(b"pw", &[3; NONCE], PEM.as_bytes(), [7; SEED]));
    let (sent, result) = run(&play(auth::CACHING_SHA2, &[&full, b"\x01no key", OK]), Channel::Plain, "pw");
    assert_eq!((sent.len(), result), (2, Err(NodeLoginError::Readable)));
    let mut clear = Vec::new();
    AuthSwitch::write(&mut clear, auth::CLEAR, &[0; NONCE]);
    let (_, result) = run(&play(auth::CACHING_SHA2, &[&clear, OK]), Channel::Plain, "pw");
    assert_eq!(result, Err(NodeLoginError::Readable));
}

#[test]
fn another_plugin_is_answered_with_its_own_challenge() {
    let mut switch = Vec::new();
    AuthSwitchRequest::new(auth::NATIVE, [&[5; NONCE][..], &[0]].concat()).serialize(&mut switch);
    for first in [auth::CACHING_SHA2, b"auth_socket"] {
        let (sent, result) = run(&play(first, &[&switch, OK]), Channel::Plain, "pw");
        assert!(ended(&result), "{result:?}");
        assert_eq!(sent[1], proof(auth::NATIVE, 5));
    }
    let mut unknown = Vec::new();
    AuthSwitch::write(&mut unknown, b"client_ed25519", &[5; NONCE]);
    let (_, result) = run(&play(auth::NATIVE, &[&unknown, OK]), Channel::Plain, "pw");
    assert_eq!(result, Err(NodeLoginError::Plugin("client_ed25519".to_owned())));
    let (_, result) = run(&play(auth::NATIVE, &[b"\xfe"]), Channel::Plain, "pw");
    assert_eq!(result, Err(NodeLoginError::Malformed), "the plugin of before 4.1");
}

#[test]
fn an_error_at_any_point_is_told_in_the_nodes_words() {
    let mut denied = Vec::new();
    error::write(&mut denied, error::ACCESS_DENIED, true, "Access denied");
    let refused = NodeLoginError::Refused { number: 1045, state: *b"28000", text: "Access denied".to_owned() };
    let (_, result) = run(&play(auth::NATIVE, &[&denied]), Channel::Plain, "pw");
    assert_eq!(result, Err(refused.clone()));
    let (_, result) = run(&play(auth::CACHING_SHA2, &[&[1, auth::FULL], &denied]), Channel::Tls, "pw");
    assert_eq!(result, Err(refused));
    let mut full = Vec::new();
    error::write(&mut full, error::TOO_MANY_CONNECTIONS, false, "Too many connections");
    let (_, result) = run(&Play { greeting: full, answers: vec![] }, Channel::Plain, "pw");
    assert!(matches!(result, Err(NodeLoginError::Refused { number: 1040, .. })), "{result:?}");
}

#[test]
fn a_node_that_lacks_what_was_promised_is_refused() {
    let password = Secret::new(*b"pw");
    let ask = Ask {
        user: b"app",
        password: &password,
        schema: None,
        capabilities: Capabilities::PROTOCOL_41 | Capabilities::MARIADB_CACHE_METADATA,
        optional: Capabilities::default(),
        collation: 45,
        attributes: b"",
        channel: Channel::Plain,
        seed: [0; SEED],
    };
    let mut bytes = Vec::new();
    packet::write(&mut bytes, 0, &play(auth::NATIVE, &[]).greeting);
    let lacks = Err(NodeLoginError::Lacks(Capabilities::MARIADB_CACHE_METADATA));
    assert_eq!(NodeLogin::new(ask).read(&bytes, &mut Vec::new()), lacks);
    let ask = Ask { optional: Capabilities::MARIADB_CACHE_METADATA, ..ask };
    assert_eq!(NodeLogin::new(ask).read(&bytes, &mut Vec::new()), Ok((bytes.len(), Progress::More)));
    let ask = Ask { channel: Channel::Tls, ..ask };
    let mut greeting = Vec::new();
    let (version, capabilities) = (b"9.7.4", OFFERED - Capabilities::SSL);
    Greeting {
        version,
        connection_id: 1,
        nonce: [1; NONCE],
        capabilities,
        collation: 1,
        status: 2,
        plugin: auth::NATIVE,
    }
    .write(&mut greeting);
    let mut bytes = Vec::new();
    packet::write(&mut bytes, 0, &greeting);
    assert_eq!(NodeLogin::new(ask).read(&bytes, &mut Vec::new()), Err(NodeLoginError::NoTls));
}

#[test]
fn hostile_nodes_end_the_login() {
    for answer in [&b""[..], b"\0", b"\x01", b"\x01\x09", b"\xfe", b"\xff", b"\x02", b"\xfemysql_native_password"] {
        for plugin in [auth::NATIVE, auth::CACHING_SHA2] {
            let (_, result) = run(&play(plugin, &[answer, answer]), Channel::Plain, "pw");
            assert_eq!(result, Err(NodeLoginError::Malformed), "{answer:x?}");
        }
    }
    let long = packet::Header { len: LOGIN_MAX + 1, sequence: 0 }.bytes();
    let password = Secret::default();
    let ask = Ask {
        user: b"",
        password: &password,
        schema: None,
        capabilities: Capabilities::default(),
        optional: Capabilities::default(),
        collation: 0,
        attributes: b"",
        channel: Channel::Plain,
        seed: [0; SEED],
    };
    assert_eq!(NodeLogin::new(ask).read(&long, &mut Vec::new()), Err(NodeLoginError::Malformed));
    let mut more = Vec::new();
    auth_more(&mut more, &[auth::FAST_OK]);
    let (_, result) = run(&play(auth::CACHING_SHA2, &[&more, &more]), Channel::Plain, "pw");
    assert_eq!(result, Err(NodeLoginError::Malformed));
}
