//! What statements and the nodes' answers to them make of a session.

use super::super::capability::{Capabilities, status};
use super::super::ok::{OkPacket, Tracker, put_tracker};
use super::super::packet;
use super::super::sql::classify;
use super::super::wire::put_lenenc_bytes;
use super::carried::Carried;
use super::tracking::SETUP;

const CAPS: Capabilities = Capabilities(Capabilities::OWN.0 | Capabilities::DEPRECATE_EOF.0);

/// An OK packet's payload with these trackers.
fn ok(trackers: &[Tracker<'_>]) -> Vec<u8> {
    let (mut state, mut out) = (Vec::new(), Vec::new());
    for tracker in trackers {
        put_tracker(&mut state, *tracker);
    }
    OkPacket { status: status::AUTOCOMMIT, ..OkPacket::default() }.write(&mut out, &state);
    out
}

fn send(session: &mut Carried, sql: &str) {
    let statement = classify(sql.as_bytes(), true, session.dialect());
    session.sent(statement, Some(sql.as_bytes()));
}

fn run(session: &mut Carried, sql: &str, trackers: &[Tracker<'_>]) {
    send(session, sql);
    session.succeeded(&ok(trackers), CAPS);
}

const CHANGED: Tracker<'static> = Tracker::Changed(true);

fn variable<'a>(name: &'a str, value: &'a str) -> Tracker<'a> {
    Tracker::Variable { name: name.as_bytes(), value: value.as_bytes() }
}

/// The replayed statements; commands that are none as bytes.
fn replayed(session: &Carried) -> Vec<String> {
    let setup = format!("{SETUP}, ");
    let text = |payload: Vec<u8>| match payload.split_first() {
        Some((3, sql)) => {
            String::from_utf8(sql.to_vec()).expect("text").replace(&setup, "SET ").replace(SETUP, "SETUP")
        }
        _ => format!("{payload:x?}"),
    };
    session.replay(CAPS).into_iter().map(text).collect()
}

#[test]
fn a_plain_session_needs_nothing_and_can_always_move() {
    let session = Carried::new(Some(b"shop"), false);
    assert_eq!(replayed(&session), ["SETUP"]);
    assert_eq!((session.stuck(), session.is_known(), session.schema()), (None, true, Some(&b"shop"[..])));
    assert_eq!(session.ask(CAPS), None);
    assert!(size_of::<Carried>() <= 320, "{}", size_of::<Carried>());
}

#[test]
fn tracked_variables_are_set_again_in_an_order_that_works() {
    let mut session = Carried::default();
    run(
        &mut session,
        "SET autocommit=0, sql_mode='ANSI_QUOTES'",
        &[variable("autocommit", "OFF"), variable("sql_mode", "ANSI_QUOTES"), variable("statement_id", "7"), CHANGED],
    );
    assert!(session.dialect().ansi_quotes);
    run(
        &mut session,
        "SET NAMES latin1 COLLATE latin1_bin",
        &[
            variable("collation_connection", "latin1_bin"),
            variable("character_set_client", "latin1"),
            variable("character_set_results", ""),
            CHANGED,
        ],
    );
    run(&mut session, "SET long_query_time=1.5", &[variable("long_query_time", "1.500000"), CHANGED]);
    run(&mut session, "SET x='a\\\\b'", &[variable("x", "a\\b'"), CHANGED]);
    let expected = "SET character_set_client='latin1', character_set_results=NULL, autocommit='OFF', sql_mode='ANSI_QUOTES', \
                    collation_connection='latin1_bin', long_query_time=1.500000, x=_utf8mb4 x'615C6227'";
    assert_eq!(replayed(&session), [expected]);
    assert_eq!(session.stuck(), None);
}

#[test]
fn a_collation_that_no_tracker_tells_is_taken_from_the_text_or_asked_for() {
    let charset = [
        variable("character_set_client", "latin1"),
        variable("character_set_results", "latin1"),
        variable("character_set_connection", "latin1"),
        CHANGED,
    ];
    let mut session = Carried::default();
    run(&mut session, "SET NAMES latin1 COLLATE 'latin1_german1_ci'", &charset);
    let with = "SET NAMES latin1 COLLATE latin1_german1_ci";
    assert_eq!((replayed(&session), session.is_known()), (vec![with.to_owned()], true));
    run(&mut session, "SET NAMES latin1", &charset);
    assert_eq!(
        replayed(&session),
        ["SET character_set_client='latin1', character_set_results='latin1', character_set_connection='latin1'"]
    );
    run(&mut session, "SET CHARACTER SET latin1", &charset);
    assert!(!session.is_known() && session.stuck().is_none() && session.ask(CAPS).is_some());
    let mut packets = Vec::new();
    let mut sequence = packet::write(&mut packets, 1, &[3]);
    for _ in 0..3 {
        sequence = packet::write(&mut packets, sequence, b"\x03def\0\0\0\x01x\0\x0c\x3f\0\x15\0\0\0\xfd\0\0\0\0\0");
    }
    sequence = packet::write(&mut packets, sequence, b"\x010\x11latin1_german1_ci\x010");
    packet::write(&mut packets, sequence, b"\xfe\0\0\x02\0\0\0");
    assert!(session.answered(&packets, CAPS));
    assert_eq!((replayed(&session), session.is_known()), (vec![with.to_owned()], true));
}

#[test]
fn a_failed_set_is_not_replayed() {
    let mut session = Carried::default();
    for sql in [
        "SET @a = 1",
        "SET ROLE r",
        "SET @b = 1, no_such_variable = 2",
        "PREPARE s FROM 'SELECT'",
        "SELECT GET_LOCK('a', 1)",
    ] {
        send(&mut session, sql);
        session.failed();
    }
    assert_eq!(replayed(&session), ["SETUP"]);
    assert!(session.is_known());
}

#[test]
fn user_variables_are_known_by_their_literals_or_read_back() {
    let mut session = Carried::default();
    run(&mut session, "SET @a = 5, @`B c` = 'x', @d = NOW()", &[CHANGED]);
    assert_eq!(replayed(&session)[1], "SET @`a`=5,@`b c`='x'");
    assert_eq!((session.stuck(), session.is_known()), (None, false));
    let ask = session.ask(CAPS).expect("a question");
    assert_eq!(&ask[1..], b"SELECT LAST_INSERT_ID(), @@collation_connection, 0, @`d`, COLLATION(@`d`), HEX(@`d`)");
    run(&mut session, "SET @d = NULL", &[CHANGED]);
    assert!(session.is_known());
    run(&mut session, "SELECT @A := 6", &[]);
    assert!(!session.is_known() && session.stuck().is_none());
    run(&mut session, "SET @a = 7", &[CHANGED]);
    run(&mut session, "SET NAMES latin1", &[variable("character_set_connection", "latin1"), CHANGED]);
    assert!(!session.is_known(), "the string was set under another collation");
    for at in 0..300 {
        run(&mut session, &format!("SET @v{at} = 1"), &[CHANGED]);
    }
    assert_eq!(session.stuck(), Some("has more than 256 user variables"));
}

#[test]
fn a_lock_that_a_procedure_hides_is_found_before_the_session_moves() {
    for (count, moves) in [("0", true), ("1", false)] {
        let mut session = Carried::default();
        run(&mut session, "CALL p(@v)", &[]);
        run(&mut session, "SET @v = NOW()", &[CHANGED]);
        assert!(session.ask(CAPS).expect("a question").windows(19).any(|text| text == b"RELEASE_ALL_LOCKS()"));
        let cells = [Some("0"), Some("utf8mb4_bin"), Some(count), None, Some("binary"), None];
        assert_eq!((session.answered(&answer(8, 0x80, cells), CAPS), session.stuck().is_none()), (moves, moves));
    }
}

/// An answer to the question for one variable of this column type.
fn answer(kind: u8, flags: u8, cells: [Option<&str>; 6]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut sequence = packet::write(&mut out, 1, &[6]);
    for column in 0..6 {
        let mut definition = b"\x03def\0\0\0\x01x\0\x0c\x3f\0\x15\0\0\0".to_vec();
        definition.extend_from_slice(&if column == 3 { [kind, flags, 0, 0, 0, 0] } else { [253, 0, 0, 31, 0, 0] });
        sequence = packet::write(&mut out, sequence, &definition);
    }
    let mut row = Vec::new();
    for cell in cells {
        match cell {
            Some(text) => put_lenenc_bytes(&mut row, text.as_bytes()),
            None => row.push(0xfb),
        }
    }
    sequence = packet::write(&mut out, sequence, &row);
    packet::write(&mut out, sequence, b"\xfe\0\0\x02\0\0\0");
    out
}

#[test]
fn what_is_read_back_keeps_value_and_type() {
    let cases = [
        (8, 0x80, Some("-7"), "binary", Some("FFFFFFFFFFFFFFF9"), Some("CAST('-7' AS SIGNED)")),
        (8, 0xa0, Some("18446744073709551615"), "binary", Some("FF"), Some("CAST('18446744073709551615' AS UNSIGNED)")),
        (8, 0x80, None, "binary", None, Some("CAST(NULL AS SIGNED)")),
        (246, 0x80, Some("-1.50"), "binary", Some("2"), Some("CAST('-1.50' AS DECIMAL(3,2))")),
        (246, 0x80, Some("5"), "binary", Some("5"), Some("CAST('5' AS DECIMAL(1,0))")),
        (5, 0x80, Some("1.5"), "binary", Some("1"), Some("1.5e0")),
        (5, 0x80, Some("1e300"), "binary", Some("7F"), Some("1e300")),
        (5, 0x80, None, "binary", None, Some("NULL+1e0")),
        (251, 0, Some("ab"), "utf8mb4_general_ci", Some("6162"), Some("_utf8mb4 x'6162' COLLATE utf8mb4_general_ci")),
        (250, 0x80, Some("?"), "binary", Some("00FF"), Some("x'00FF'")),
        (250, 0x80, None, "binary", None, Some("NULL")),
        (251, 0, Some("ab"), "x; DROP", Some("6162"), None),
        (251, 0, Some("ab"), "utf8mb4_bin", Some("6162'"), None),
        (8, 0x80, Some("7'"), "binary", Some("7"), None),
        (242, 0, Some("[1,2]"), "binary", Some("00"), None),
    ];
    for (kind, flags, value, collation, hex, expected) in cases {
        let mut session = Carried::default();
        run(&mut session, "SET @v = f()", &[CHANGED]);
        let packets = answer(kind, flags, [Some("42"), Some("latin1_bin"), Some("0"), value, Some(collation), hex]);
        assert_eq!(session.answered(&packets, CAPS), expected.is_some(), "{value:?}");
        if let Some(expected) = expected {
            assert_eq!(replayed(&session), ["SET last_insert_id=42".to_owned(), format!("SET @`v`={expected}")]);
            assert!(session.is_known());
        }
        for cut in 0..packets.len() - 12 {
            let mut session = Carried::default();
            run(&mut session, "SET @v = f()", &[CHANGED]);
            assert!(!session.answered(&packets[..cut], CAPS), "{cut}");
        }
    }
}

#[test]
fn what_can_not_be_taken_along_keeps_the_session_where_it_is() {
    let stuck = |statements: &[(&str, &[Tracker<'_>])]| {
        let mut session = Carried::default();
        for (sql, trackers) in statements {
            run(&mut session, sql, trackers);
        }
        session.stuck()
    };
    let locked = Tracker::Transaction(b"_______L");
    let free = Tracker::Transaction(b"________");
    assert_eq!(stuck(&[("SELECT GET_LOCK('a', 1)", &[])]), Some("may hold a lock by GET_LOCK()"));
    assert_eq!(stuck(&[("SELECT GET_LOCK('a', 1)", &[]), ("SELECT RELEASE_ALL_LOCKS()", &[])]), None);
    assert_eq!(stuck(&[("LOCK TABLES t READ", &[locked])]), Some("has locked tables"));
    assert_eq!(stuck(&[("LOCK TABLES t READ", &[locked]), ("UNLOCK TABLES", &[free])]), None);
    assert_eq!(stuck(&[("LOCK TABLES t READ", &[locked]), ("BEGIN", &[Tracker::Transaction(b"T_______")])]), None);
    assert_eq!(stuck(&[("FLUSH TABLES WITH READ LOCK", &[])]), Some("holds a lock of the whole server"));
    assert_eq!(stuck(&[("FLUSH TABLES WITH READ LOCK", &[]), ("UNLOCK TABLES", &[])]), None);
    assert_eq!(stuck(&[("CREATE TEMPORARY TABLE t (a INT)", &[CHANGED])]), Some("may have a temporary table"));
    assert_eq!(stuck(&[("PREPARE s FROM 'SELECT 1'", &[CHANGED])]), Some("has a statement prepared by SQL"));
    assert_eq!(stuck(&[("PREPARE s FROM 'SELECT 1'", &[CHANGED]), ("DEALLOCATE PREPARE S", &[CHANGED])]), None);
    assert_eq!(stuck(&[("HANDLER t OPEN", &[])]), Some("has an open HANDLER"));
    assert_eq!(stuck(&[("HANDLER t OPEN", &[]), ("HANDLER t READ FIRST", &[]), ("HANDLER t CLOSE", &[])]), None);
    assert_eq!(stuck(&[("XA PREPARE 'a'", &[free])]), Some("has a prepared XA transaction"));
    assert_eq!(stuck(&[("XA PREPARE 'a'", &[free]), ("XA COMMIT 'a'", &[])]), None);
    assert_eq!(
        stuck(&[("SET gtid_next = 'x:1'", &[variable("gtid_next", "x:1"), CHANGED])]),
        Some("has set gtid_next")
    );
    assert_eq!(
        stuck(&[("SET sql_log_bin = 0", &[variable("sql_log_bin", "OFF"), CHANGED])]),
        Some("has set sql_log_bin = OFF")
    );
    assert_eq!(stuck(&[("SET RESOURCE GROUP g", &[])]), Some("is in a resource group"));
    assert_eq!(
        stuck(&[("SET insert_id = 5", &[variable("insert_id", "5"), CHANGED])]),
        Some("has set insert_id or a seed of RAND()")
    );
}

#[test]
fn what_is_not_explained_is_hidden() {
    let hidden = Some("has run something that changed its session in a way that can't be seen");
    for sql in ["CALL p()", "SELECT f()", "DO f()", "INSERT INTO t VALUES (f())"] {
        let mut session = Carried::default();
        run(&mut session, sql, &[]);
        assert_eq!(session.stuck(), None, "{sql}");
        run(&mut session, sql, &[CHANGED]);
        assert_eq!(session.stuck(), hidden, "{sql}");
        session.reset();
        assert_eq!(session.stuck(), None, "{sql}");
    }
    // A failed call's change comes with the next OK packet, whatever that is of.
    let mut session = Carried::default();
    send(&mut session, "CALL p()");
    session.failed();
    run(&mut session, "SET @a = 1", &[CHANGED]);
    assert_eq!(session.stuck(), hidden);
    // So does what had no room in an EOF packet, which MariaDB marks.
    let old = Capabilities::OWN;
    let mut session = Carried::default();
    send(&mut session, "SELECT f()");
    session.succeeded(&[0xfe, 0, 0, 2, 0], old);
    assert_eq!(session.stuck(), None);
    run(&mut session, "SET @a = 1", &[CHANGED]);
    assert_eq!(session.stuck(), hidden);
    let mut session = Carried::default();
    send(&mut session, "CALL p()");
    session.succeeded(&[0xfe, 0, 0, 2, 0x40], old);
    assert_eq!(session.stuck(), hidden);
    let mut session = Carried::default();
    run(&mut session, "SET @a = 1", &[CHANGED]);
    run(&mut session, "USE shop", &[Tracker::Schema(b"shop"), CHANGED]);
    assert_eq!((session.stuck(), session.schema()), (None, Some(&b"shop"[..])));
}

#[test]
fn several_statements_are_read_back() {
    let mut session = Carried::default();
    run(&mut session, "INSERT INTO t VALUES (1); SET @a = 1; SELECT @a", &[CHANGED]);
    assert_eq!((session.stuck(), session.is_known()), (None, false));
    send(&mut session, "SET @b = 1; SELECT GET_LOCK('x', 1); broken");
    session.failed();
    assert_eq!(session.stuck(), Some("may hold a lock by GET_LOCK()"));
    let mut session = Carried::default();
    run(&mut session, "SELECT 1; PREPARE s FROM 'SELECT 1'", &[CHANGED]);
    assert!(session.stuck().is_some());
}

#[test]
fn the_rest_is_said_again() {
    let mut session = Carried::default();
    run(&mut session, "SET ROLE 'r'", &[]);
    run(&mut session, "SET timestamp = 5", &[variable("timestamp", "5.000000"), CHANGED]);
    session.sent_option(0);
    session.succeeded(&[0xfe, 0, 0, 2, 0, 0, 0], CAPS);
    let one_shot =
        Tracker::Characteristics(b"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; SET TRANSACTION READ ONLY;");
    run(&mut session, "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY", &[one_shot]);
    assert_eq!(
        replayed(&session),
        [
            "SET ROLE 'r'",
            "SET timestamp=5.000000",
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "SET TRANSACTION READ ONLY",
            "[1b, 0, 0]",
        ]
    );
    run(&mut session, "BEGIN", &[Tracker::Characteristics(b"START TRANSACTION READ ONLY;")]);
    run(&mut session, "SET timestamp = DEFAULT", &[variable("timestamp", "5.000000"), CHANGED]);
    assert_eq!(replayed(&session), ["SET ROLE 'r'", "SETUP", "[1b, 0, 0]"]);
    session.sent_schema(b"other");
    session.succeeded(&ok(&[]), CAPS);
    session.reset();
    assert!(session.take_setup_due() && !session.take_setup_due());
    assert_eq!(replayed(&session), ["[1f]", "SETUP"]);
    assert_eq!(session.schema(), Some(&b"other"[..]));
}

#[test]
fn a_client_is_told_what_it_asked_for() {
    let told = |session: &Carried, trackers: &[Tracker<'_>]| {
        let payload = ok(trackers);
        let packet = OkPacket::read(&payload, CAPS).expect("an OK packet");
        let mut out = Vec::new();
        session.visible(&packet, &mut out);
        OkPacket { state: &out, ..OkPacket::default() }
            .trackers()
            .map(|tracker| format!("{tracker:?}"))
            .collect::<Vec<_>>()
            .len()
    };
    let all = [
        variable("statement_id", "1"),
        variable("autocommit", "ON"),
        Tracker::Schema(b"shop"),
        CHANGED,
        Tracker::Characteristics(b""),
        Tracker::Transaction(b"________"),
    ];
    let mut session = Carried::default();
    assert_eq!(told(&session, &all), 2);
    run(&mut session, "SET session_track_state_change = ON, session_track_transaction_info = 'STATE'", &[]);
    assert!(session.take_setup_due());
    assert_eq!(told(&session, &all), 4);
    run(&mut session, "SET session_track_schema = OFF, session_track_system_variables = 'statement_id, x'", &[]);
    assert_eq!(told(&session, &all), 3);
    run(
        &mut session,
        "SET session_track_system_variables = '*', session_track_transaction_info = CHARACTERISTICS",
        &[],
    );
    assert_eq!(told(&session, &all), 5);
    run(&mut session, "SET @a = 1", &[CHANGED]);
    assert!(session.take_setup_due() && !session.take_setup_due());
}

#[test]
fn the_last_insert_id_is_kept_and_asked_for() {
    let mut session = Carried::default();
    send(&mut session, "INSERT INTO t VALUES (1)");
    let mut payload = Vec::new();
    OkPacket { insert_id: 9, ..OkPacket::default() }.write(&mut payload, b"");
    session.succeeded(&payload, CAPS);
    assert_eq!(replayed(&session), ["SET last_insert_id=9"]);
    assert!(session.ask(CAPS).is_some() && session.is_known());
    run(&mut session, "SET last_insert_id = 0", &[variable("last_insert_id", "0"), CHANGED]);
    assert_eq!(replayed(&session), ["SETUP"]);
}

#[test]
fn what_nobody_can_set_is_not_taken_along() {
    let mut session = Carried::default();
    run(&mut session, "INSERT INTO t VALUES (1)", &[variable("last_gtid", "0-1-7"), variable("in_transaction", "0")]);
    assert_eq!(replayed(&session), ["SETUP"]);
}
