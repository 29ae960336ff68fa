//! Logins on both sides, against `mysql_common`'s reading and writing of the same packets.

use std::collections::HashMap;

use mysql_common::constants::{CapabilityFlags, StatusFlags};
use mysql_common::io::ParseBuf;
use mysql_common::packets::{AuthPlugin, ComChangeUser, ComChangeUserMoreData, HandshakePacket, HandshakeResponse};
use mysql_common::proto::MySerialize;
use proptest::prelude::*;

use super::auth::{self, SEED};
use super::capability::Capabilities;
use super::greeting::{Greeting, NONCE, is_mariadb, nonce};
use super::login::{AuthSwitch, ChangeUser, First, Login, attributes, put_attribute};
use super::ok;
use super::wire::Malformed;

/// A key as MySQL sends it.
pub(super) const PEM: &str = "-----BEGIN PUBLIC KEY-----\n\
    MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAsdvJFzYUA0ipr7jjpGno\n\
    j3GCgthuLEswJ/V1j1ibMuZcxT/J3dwcFhwPbubvgh3BylS/kNKIf9O6hS+q4RYM\n\
    jOwEzynGhVrCG/gNHgKzRKSJptS4vBCkosTYr55Tpnnv0JZTzindJxPFMzbBzYsN\n\
    d3N1yyTZyZVchFCFVU6XY9mCHUBQ92agj0MxMVbVb50DzSxKclDgOBGcj+AmJxCP\n\
    l7QzBK2PQAdVA8t0MefXK/gRiX9Z0UVFbMhRNOJp0tdqSbfFzy6RZxt73edrHnxp\n\
    N+zttmzin75tBS7khs2yt3rJcOjr1+htioEc0KGwEz3PoblqogMUSFNsFDkBKutC\n\
    zQIDAQAB\n\
    -----END PUBLIC KEY-----";

fn text() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9_.@-]{0,40}"
}

/// Capabilities without MariaDB's extension, of a server that speaks what we do.
fn capabilities() -> impl Strategy<Value = Capabilities> {
    let must = Capabilities::OWN | Capabilities::LONG_PASSWORD;
    any::<u32>().prop_map(move |bits| Capabilities(u64::from(bits)) | must)
}

fn flags(capabilities: Capabilities) -> CapabilityFlags {
    CapabilityFlags::from_bits_retain(capabilities.low())
}

proptest! {
    #[test]
    fn greetings_are_what_others_read_and_write(version in "[0-9]\\.[0-9]\\.[0-9]{1,2}(-log)?", connection_id: u32, random: [u8; NONCE],
                                                 capabilities in capabilities(), collation: u8, status in 0..4_u16) {
        let nonce = nonce(random);
        let plugin = auth::CACHING_SHA2;
        let greeting = Greeting { version: version.as_bytes(), connection_id, nonce, capabilities, collation, status, plugin };
        let mut out = Vec::new();
        greeting.write(&mut out);
        prop_assert_eq!(Greeting::read(&out), Ok(greeting));
        let read: HandshakePacket<'_> = ParseBuf(&out).parse(()).expect("readable");
        prop_assert_eq!(read.server_version_ref(), version.as_bytes());
        prop_assert_eq!(read.connection_id(), connection_id);
        prop_assert_eq!(read.nonce(), nonce);
        prop_assert_eq!(read.capabilities(), flags(capabilities));
        prop_assert_eq!(read.auth_plugin_name_ref(), Some(plugin));
        let (one, two) = nonce.split_at(8);
        let two = [two, &[0]].concat();
        let theirs = HandshakePacket::new(10, version.as_bytes(), connection_id, one.try_into().expect("8"), Some(two),
            flags(capabilities), collation, StatusFlags::from_bits_retain(status), Some(plugin));
        let mut same = Vec::new();
        theirs.serialize(&mut same);
        prop_assert_eq!(Greeting::read(&same), Ok(greeting));
        for cut in 0..out.len() - plugin.len() - 1 {
            prop_assert_eq!(Greeting::read(&out[..cut]), Err(Malformed));
        }
    }

    #[test]
    fn logins_are_what_others_read_and_write(user in text(), schema in proptest::option::of("[a-z]{1,9}"), proof: [u8; 32], collation: u8,
                                              max_packet: u32, attrs in proptest::collection::hash_map("[a-z_]{1,9}", text(), 0..4), bits: u32) {
        let mut capabilities = (Capabilities(u64::from(bits)) | Capabilities::OWN | Capabilities::LONG_PASSWORD) - Capabilities::SSL;
        if schema.is_none() {
            capabilities = capabilities - Capabilities::CONNECT_WITH_DB;
        }
        let mut raw = Vec::new();
        for (name, value) in &attrs {
            put_attribute(&mut raw, name.as_bytes(), value.as_bytes());
        }
        let login = Login {
            head: super::login::Head { capabilities, max_packet, collation },
            user: user.as_bytes(), auth: &proof, schema: schema.as_ref().map(String::as_bytes), plugin: auth::CACHING_SHA2, attributes: &raw,
        };
        let mut out = Vec::new();
        login.write(&mut out);
        prop_assert_eq!(First::read(&out), Ok(First::Login(login)));
        let read: HandshakeResponse<'_> = ParseBuf(&out).parse(()).expect("readable");
        prop_assert_eq!(read.user(), user.as_bytes());
        prop_assert_eq!(read.scramble_buf(), &proof);
        prop_assert_eq!(read.db_name(), schema.as_ref().map(String::as_bytes));
        prop_assert_eq!(read.auth_plugin(), Some(&AuthPlugin::CachingSha2Password));
        prop_assert_eq!(read.collation(), collation);
        let theirs = HandshakeResponse::new(Some(&proof[..]), (9, 7, 0), Some(user.as_bytes()), schema.as_ref().map(String::as_bytes),
            Some(AuthPlugin::MysqlNativePassword), flags(capabilities), Some(attrs.clone()), max_packet);
        let mut same = Vec::new();
        theirs.serialize(&mut same);
        let Ok(First::Login(read)) = First::read(&same) else { panic!("no login") };
        prop_assert_eq!((read.user, read.auth, read.plugin), (user.as_bytes(), &proof[..], auth::NATIVE));
        prop_assert_eq!(read.schema, login.schema);
        let read: HashMap<String, String> = attributes(read.attributes)
            .map(|(name, value)| (String::from_utf8_lossy(name).into(), String::from_utf8_lossy(value).into()))
            .collect();
        prop_assert_eq!(read, attrs);
    }

    #[test]
    fn a_change_of_user_is_what_others_write(user in text(), schema in text(), proof: [u8; 20], collation: u16) {
        let theirs = ComChangeUser::new()
            .with_user(Some(user.as_bytes()))
            .with_database(Some(schema.as_bytes()))
            .with_auth_plugin_data(Some(&proof[..]))
            .with_more_data(Some(ComChangeUserMoreData::new(collation)
                .with_auth_plugin(Some(AuthPlugin::MysqlNativePassword))
                .with_connect_attributes(Some(HashMap::from([("_pid".to_owned(), "1".to_owned())])))));
        let mut bytes = Vec::new();
        theirs.serialize(&mut bytes);
        let read = ChangeUser::read(&bytes, Capabilities::OWN).expect("readable");
        prop_assert_eq!((read.user, read.auth, read.schema), (user.as_bytes(), &proof[..], schema.as_bytes()));
        prop_assert_eq!((read.collation, read.plugin), (Some(collation), auth::NATIVE));
        prop_assert_eq!(attributes(read.attributes).collect::<Vec<_>>(), [(&b"_pid"[..], &b"1"[..])]);
        let mut out = Vec::new();
        read.write(&mut out, Capabilities::OWN);
        prop_assert_eq!(out, bytes);
    }

    #[test]
    fn proofs_are_what_others_make(password in "[ -~]{1,40}", random: [u8; NONCE]) {
        let nonce = nonce(random);
        for (name, plugin) in [(auth::NATIVE, AuthPlugin::MysqlNativePassword), (auth::CACHING_SHA2, AuthPlugin::CachingSha2Password)] {
            let theirs = plugin.gen_data(Some(&password), &nonce).expect("a proof");
            prop_assert!(auth::check(name, password.as_bytes(), &nonce, &theirs));
            let mut wrong = theirs.to_vec();
            wrong[7] ^= 1;
            prop_assert!(!auth::check(name, password.as_bytes(), &nonce, &wrong));
            prop_assert!(!auth::check(name, password.as_bytes(), &nonce, &theirs[..theirs.len() - 1]));
            prop_assert!(!auth::check(name, password.as_bytes(), &nonce, b""));
            prop_assert!(!auth::check(name, b"", &nonce, &theirs));
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>, bits: u64) {
        let _ = (First::read(&bytes), Greeting::read(&bytes), AuthSwitch::read(&bytes), ChangeUser::read(&bytes, Capabilities(bits)));
        let _ = auth::encrypt(b"secret", &[1; NONCE], &bytes, [0; SEED]);
    }
}

#[test]
fn an_empty_password_is_proved_by_nothing_and_an_unknown_plugin_by_no_bytes() {
    for plugin in [auth::NATIVE, auth::CACHING_SHA2] {
        assert!(auth::check(plugin, b"", &[1; NONCE], b""));
        assert!(!auth::check(plugin, b"", &[1; NONCE], b"x"));
    }
    assert!(!auth::check(b"sha256_password", b"", &[1; NONCE], b""));
    assert!(
        auth::check_clear(b"pw", b"pw\0") && auth::check_clear(b"pw", b"pw") && !auth::check_clear(b"pw", b"pw\0\0")
    );
}

#[test]
fn a_password_is_encrypted_as_others_do() {
    use mysql_common::crypto::rsa::{Pkcs1OaepPadding, PublicKey, Rng};
    struct Fixed;
    impl Rng for Fixed {
        type Error = std::io::Error;
        fn fill(&mut self, out: &mut [u8]) -> Result<(), std::io::Error> {
            out.fill(7);
            Ok(())
        }
    }
    let masked: Vec<u8> = b"secret\0".iter().map(|byte| byte ^ 9).collect();
    let key = PublicKey::from_pem(PEM);
    let theirs = key.encrypt_block(&masked, Pkcs1OaepPadding::new(Fixed));
    assert_eq!(auth::encrypt(b"secret", &[9; NONCE], PEM.as_bytes(), [7; SEED]), Some(theirs));
    for cut in 0..PEM.len() - 30 {
        assert_eq!(auth::encrypt(b"secret", &[9; NONCE], &PEM.as_bytes()[..cut], [7; SEED]), None);
    }
    assert_eq!(auth::encrypt(&[b'x'; 400], &[9; NONCE], PEM.as_bytes(), [7; SEED]), None);
}

#[test]
fn mariadbs_extension_is_read_and_written() {
    let capabilities = Capabilities::OWN | Capabilities::MARIADB_CACHE_METADATA | Capabilities::MARIADB_STMT_BULK;
    let version = b"5.5.5-10.11.14-MariaDB-0+deb12u2";
    let greeting = Greeting {
        version,
        connection_id: 1,
        nonce: [1; NONCE],
        capabilities,
        collation: 45,
        status: 2,
        plugin: auth::NATIVE,
    };
    let mut out = Vec::new();
    greeting.write(&mut out);
    assert_eq!(Greeting::read(&out), Ok(greeting));
    assert!(greeting.is_mariadb() && is_mariadb(b"11.4.2-mariadb-log") && !is_mariadb(b"9.7.4"));
    let login = Login {
        head: super::login::Head { capabilities, max_packet: 1, collation: 45 },
        user: b"u",
        ..Login::default()
    };
    let mut out = Vec::new();
    login.write(&mut out);
    assert!(matches!(First::read(&out), Ok(First::Login(read)) if read.head.capabilities == capabilities));
}

#[test]
fn a_request_for_tls_is_the_head_alone() {
    let capabilities = Capabilities::OWN | Capabilities::LONG_PASSWORD | Capabilities::SSL;
    let head = super::login::Head { capabilities, max_packet: 7, collation: 255 };
    let mut out = Vec::new();
    head.write(&mut out);
    assert_eq!((out.len(), First::read(&out)), (super::login::SSL_REQUEST, Ok(First::Tls(head))));
    for cut in 0..out.len() {
        assert_eq!(First::read(&out[..cut]), Err(Malformed));
    }
    let mut plain = Vec::new();
    super::login::Head { capabilities: capabilities - Capabilities::SSL, ..head }.write(&mut plain);
    assert_eq!(First::read(&plain), Err(Malformed));
}

#[test]
fn mysql_common_reads_our_ok_packets_with_trackers() {
    use mysql_common::packets::{CommonOkPacket, OkPacketDeserializer, ResultSetTerminator};
    let mut state = Vec::new();
    ok::put_tracker(&mut state, ok::Tracker::Schema(b"shop"));
    ok::put_tracker(&mut state, ok::Tracker::Variable { name: b"autocommit", value: b"OFF" });
    for header in [ok::OK, ok::EOF] {
        let ok = ok::OkPacket { header, affected: 3, insert_id: 9, status: 2, warnings: 1, info: b"hello", state: b"" };
        let mut out = Vec::new();
        ok.write(&mut out, &state);
        let flags = CapabilityFlags::CLIENT_SESSION_TRACK | CapabilityFlags::CLIENT_DEPRECATE_EOF;
        let read = if header == ok::OK {
            ParseBuf(&out).parse::<OkPacketDeserializer<'_, CommonOkPacket>>(flags).expect("readable").into_inner()
        } else {
            ParseBuf(&out).parse::<OkPacketDeserializer<'_, ResultSetTerminator>>(flags).expect("readable").into_inner()
        };
        assert_eq!((read.warnings(), read.info_ref()), (1, Some(&b"hello"[..])));
        let changes = read.session_state_info().expect("changes");
        assert_eq!(changes.len(), 2);
    }
}
