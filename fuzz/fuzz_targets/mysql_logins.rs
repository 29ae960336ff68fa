//! Any bytes as a client's or a node's part of a login: no panic, and what can be read can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pointsman::model::secret::Secret;
use pointsman::protocol::mysql::capability::Capabilities;
use pointsman::protocol::mysql::error::ErrPacket;
use pointsman::protocol::mysql::greeting::Greeting;
use pointsman::protocol::mysql::login::{AuthSwitch, ChangeUser, First, attributes};
use pointsman::protocol::mysql::node_login::{Ask, Channel, NodeLogin, Progress};

fuzz_target!(|input: &[u8]| {
    let Some((&[channel, a, b, c], bytes)) = input.split_first_chunk() else { return };
    if let Ok(First::Login(login)) = First::read(bytes) {
        attributes(login.attributes).count();
        if login.head.capabilities.has(Capabilities::LENENC_AUTH) {
            let mut out = Vec::new();
            login.write(&mut out);
            assert_eq!(First::read(&out), Ok(First::Login(login)));
        }
    }
    if let Ok(greeting) = Greeting::read(bytes) {
        let mut out = Vec::new();
        greeting.write(&mut out);
        assert!(Greeting::read(&out).is_ok());
    }
    let _ = (AuthSwitch::read(bytes), ErrPacket::read(bytes));
    let capabilities = Capabilities(u64::from_le_bytes([a, b, c, 0, 0, 0, 0, 0]));
    let _ = ChangeUser::read(bytes, capabilities);

    let password = Secret::new(*b"secret");
    let ask = Ask {
        user: b"app",
        password: &password,
        schema: None,
        capabilities,
        optional: capabilities,
        collation: 45,
        attributes: b"",
        channel: [Channel::Plain, Channel::Tls, Channel::Unix][usize::from(channel % 3)],
        seed: [1; 20],
    };
    let (mut login, mut out, mut at) = (NodeLogin::new(ask), Vec::new(), 0);
    while let Ok((used, progress)) = login.read(&bytes[at..], &mut out) {
        at += used;
        match progress {
            Progress::NeedsTls => login.tls_ready(&mut out),
            Progress::More | Progress::Done(_) => break,
        }
    }
    assert!(out.len() < 4096);
});
