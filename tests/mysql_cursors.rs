//! What stays open in a session between two commands (cursors, long data), and MariaDB's bulk execution, on real servers: it keeps the session
//! where it is until it is used up, and nothing of it is lost silently.

mod common;

use common::mysql_orders::Orders;
use common::mysql_path::MysqlPath;
use common::mysql_server::{MysqlServer, PASSWORD, SHOP};
use common::mysql_wire::{Answer, BASIC, Connection, tcp_to};
use common::{PATIENCE, wait_for};
use mysql::prelude::Queryable;
use pointsman::model::route::Mode;
use pointsman::protocol::mysql::capability::{Capabilities, command, status};
use pointsman::protocol::mysql::node_login::Channel;
use pointsman::protocol::mysql::packet::{self, HEADER};

/// `ER_STMT_HAS_NO_OPEN_CURSOR`.
const NO_CURSOR: u16 = 1421;
/// The type `LONG` of a parameter, and `BLOB`.
const LONG: [u8; 2] = [3, 0];
const BLOB: [u8; 2] = [0xfc, 0];

fn log_in(port: u16, extra: Capabilities) -> Connection {
    Connection::open(tcp_to(port), Channel::Plain, SHOP, PASSWORD, BASIC | extra)
}

/// The numbers in the rows of a fetch, each one column of type `INT`.
fn numbers(answer: &Answer) -> Vec<i32> {
    let (mut rest, mut found) = (answer.bytes.as_slice(), Vec::new());
    while let Some((header, payload)) = packet::read(rest) {
        if let [0, _, number @ ..] = payload {
            found.push(i32::from_le_bytes(number.try_into().expect("an INT")));
        }
        rest = &rest[HEADER + header.len..];
    }
    found
}

/// The next rows of a cursor.
fn fetch(app: &mut Connection, id: u32, many: u32) -> Answer {
    app.command(&[&[command::STMT_FETCH], &id.to_le_bytes()[..], &many.to_le_bytes()[..]].concat())
}

/// A cursor over the numbers 1 to 10, of which the first three were fetched.
#[track_caller]
fn open_cursor(app: &mut Connection, id: u32) {
    let opened = app.execute(id, 1, b"");
    assert!(opened.status() & status::CURSOR_EXISTS != 0, "{:?}", opened.found);
    assert_eq!(numbers(&fetch(app, id, 3)), [1, 2, 3]);
}

fn make_numbers(server: &MysqlServer) {
    server.query("CREATE TABLE shop.t (n INT PRIMARY KEY)");
    server.query("INSERT INTO shop.t VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9), (10)");
}

/// What an application does.
type Act<'a> = &'a dyn Fn(&mut Connection);

const NUMBERS: &str = "SELECT n FROM t ORDER BY n";

fn both(test: impl Fn(&str, Capabilities)) {
    for component in ["mysql9", "mariadb"] {
        for extra in [Capabilities::default(), Capabilities::DEPRECATE_EOF] {
            test(component, extra);
        }
    }
}

#[test]
fn a_cursor_is_named_until_it_is_closed_whatever_closes_it() {
    require_server!("mysql9");
    require_server!("mariadb");
    both(|component, extra| {
        let server = MysqlServer::start(component);
        make_numbers(&server);
        let path = MysqlPath::to(&server);
        let mut app = log_in(path.port, extra);
        let id = app.prepare(NUMBERS);
        let named = |why: &str| path.board.stuck().iter().any(|session| session.why.contains(why));
        let closings: [(&str, Act<'_>); 4] = [
            ("its last row", &|app| {
                let rest = fetch(app, id, 100);
                assert_eq!(numbers(&rest), [4, 5, 6, 7, 8, 9, 10]);
                assert!(rest.status() & status::LAST_ROW_SENT != 0);
                assert_eq!(fetch(app, id, 1).error(), NO_CURSOR);
            }),
            ("a reset", &|app| {
                app.command(&[&[command::STMT_RESET], &id.to_le_bytes()[..]].concat());
                assert_eq!(fetch(app, id, 1).error(), NO_CURSOR);
            }),
            ("another execution", &|app| {
                // MySQL 9.7 answers one without a cursor, behind one with, by definitions and an OK packet: that is no answer.
                let cursor = u8::from(component == "mysql9");
                let again = app.execute(id, cursor, b"");
                assert!(again.error() == 0, "{component}: {}", again.bytes.escape_ascii());
                assert!(cursor == 0 || numbers(&fetch(app, id, 100)).len() == 10);
            }),
            ("its statement's end", &|app| app.send(&[&[command::STMT_CLOSE], &id.to_le_bytes()[..]].concat())),
        ];
        let closed = |what: &str| {
            wait_for(&format!("{component}: {what} closes the cursor"), PATIENCE, || path.board.stuck().is_empty());
        };
        for (what, close) in closings {
            open_cursor(&mut app, id);
            wait_for("the cursor is named", PATIENCE, || named("open cursor"));
            close(&mut app);
            closed(what);
        }
        let another = app.prepare(NUMBERS);
        open_cursor(&mut app, another);
        assert_eq!(app.command(&[command::RESET_CONNECTION]).error(), 0);
        closed("a clean session");
    });
}

#[test]
fn a_cursor_is_not_called_a_transaction_nor_ended_as_one() {
    require_server!("mysql9");
    require_server!("mariadb");
    both(|component, extra| {
        let server = MysqlServer::start(component);
        make_numbers(&server);
        let limit = std::time::Duration::from_millis(1500);
        let path = MysqlPath::with(&server, |settings| settings.idle_in_transaction = Some(limit));
        let mut app = log_in(path.port, extra);
        let id = app.prepare(NUMBERS);
        open_cursor(&mut app, id);
        let mut other = path.connect();
        other.query_drop("BEGIN").expect("begin");
        let named = |why: &str| path.board.stuck().iter().any(|session| session.why.contains(why));
        wait_for("the transaction is named", PATIENCE, || named("transaction open"));
        assert!(named("open cursor"), "{component}: {:?}", path.board.stuck());
        wait_for("the transaction's session is ended", PATIENCE, || path.board.sum(|gauge| &gauge.clients) == 1);
        assert_eq!(numbers(&fetch(&mut app, id, 2)), [4, 5]);
    });
}

#[test]
fn a_planned_switch_waits_for_a_cursor_and_names_it() {
    require_server!("mysql9");
    require_server!("mariadb");
    both(|component, extra| {
        let (main, spare) = MysqlServer::pair(component);
        make_numbers(&main);
        let orders = Orders::start(&main, &spare);
        let mut app = log_in(orders.port, extra);
        let gone = app.prepare("SELECT 1");
        let id = app.prepare(NUMBERS);
        open_cursor(&mut app, id);
        let refused = orders.pointsman.cli_expect(&["switchover", "orders", "--timeout", "2s", "--json"], 3);
        assert!(refused.contains("open cursor"), "{component}: {refused}");
        assert_eq!(numbers(&fetch(&mut app, id, 2)), [4, 5], "the refusal did it no harm");
        let switch = std::thread::scope(|scope| {
            let switch = scope.spawn(|| orders.pointsman.cli(&["switchover", "orders", "--json"]));
            wait_for("it approaches", PATIENCE, || orders.service()["state"] == "switching");
            assert_eq!(numbers(&fetch(&mut app, id, 100)), [6, 7, 8, 9, 10]);
            switch.join().expect("a switch")
        });
        assert!(switch.status.success(), "{component}: {switch:?}\n{}", orders.pointsman.log());
        // On the new node it has another id than the application's.
        app.send(&[&[command::STMT_CLOSE], &gone.to_le_bytes()[..]].concat());
        open_cursor(&mut app, id);
        assert_eq!(numbers(&fetch(&mut app, id, 100)), [4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(spare.value("SELECT @@read_only"), "0");
        orders.ready();
        open_cursor(&mut app, id);
        let pointsman = &orders.pointsman;
        pointsman.cli_expect(&["switchover", "orders", "--timeout", "500ms", "--cut-sessions"], 0);
        assert!(app.ends(), "{component}: it was cut");
    });
}

#[test]
fn what_a_dead_node_took_with_it_is_not_hidden() {
    require_server!("mysql9");
    require_server!("mariadb");
    for component in ["mysql9", "mariadb"] {
        let (mut main, spare) = MysqlServer::pair(component);
        make_numbers(&main);
        main.query("CREATE TABLE shop.blobs (b LONGBLOB)");
        let path = MysqlPath::to(&main);
        let [mut free, mut reading, mut sending] = [(); 3].map(|()| log_in(path.port, Capabilities::default()));
        let id = reading.prepare(NUMBERS);
        open_cursor(&mut reading, id);
        let blob = sending.prepare("INSERT INTO blobs VALUES (?)");
        sending.send(&[&[command::STMT_SEND_LONG_DATA], &blob.to_le_bytes()[..], b"\0\0long"].concat());
        wait_for("both are named", PATIENCE, || path.board.stuck().len() == 2);
        let same = free.prepare("SELECT n FROM t WHERE n = 1");
        spare.wait_synced(&main);
        main.kill();
        path.publish(Mode::Hold, &main, None);
        for statement in spare.pick(["STOP REPLICA", "RESET REPLICA ALL"], ["STOP SLAVE", "RESET SLAVE ALL"]) {
            spare.query(statement);
        }
        spare.query("SET GLOBAL read_only=OFF");
        path.publish(Mode::Open, &spare, None);
        assert_eq!(free.execute(same, 0, b"").error(), 0, "{component}");
        assert!(reading.ends(), "{component}: its cursor is gone");
        assert!(sending.ends(), "{component}: its long data is gone");
    }
}

/// A row of long data's statement and one without, of a length that isn't kept, both without the parameters' types.
#[test]
fn a_long_execution_is_told_its_types_on_another_node() {
    require_server!("mysql9");
    require_server!("mariadb");
    for component in ["mysql9", "mariadb"] {
        let (main, spare) = MysqlServer::pair(component);
        main.query("CREATE TABLE shop.blobs (id INT, b LONGBLOB)");
        let mut path = MysqlPath::to(&main);
        let mut app = log_in(path.port, Capabilities::default());
        let id = app.prepare("INSERT INTO blobs VALUES (?, ?)");
        let row = |number: u8, length: usize, typed: bool| {
            let types = if typed { [&[1][..], &LONG, &BLOB].concat() } else { vec![0] };
            let [a, b, c, ..] = length.to_le_bytes();
            [&[0][..], &types, &[number, 0, 0, 0], &[0xfd, a, b, c], &vec![b'x'; length]].concat()
        };
        assert_eq!(app.execute(id, 0, &row(1, 10, true)).error(), 0);
        assert_eq!(app.execute(id, 0, &row(2, 300_000, false)).error(), 0);
        path.switch(&main, &spare);
        for (number, length) in [(3, 300_000), (4, 4_000_000), (5, 100), (6, 70_000)] {
            let answer = app.execute(id, 0, &row(number, length, false));
            assert_eq!(answer.error(), 0, "{component}: {length} {}", answer.bytes.escape_ascii());
        }
        let found = spare.query("SELECT id, LENGTH(b), b = REPEAT('x', LENGTH(b)) FROM shop.blobs ORDER BY id");
        let expected = [10, 300_000, 300_000, 4_000_000, 100, 70_000].map(|length: usize| length.to_string());
        let lengths: Vec<_> = found.iter().map(|row| row[1].clone()).collect();
        assert_eq!(lengths, expected, "{component}");
        assert!(found.iter().all(|row| row[2] == "1"), "{component}: {found:?}");
    }
}

/// A bulk execution of rows of two numbers.
fn bulk(app: &mut Connection, id: u32, typed: bool, rows: &[(i32, i32)]) -> Answer {
    let flags: u16 = if typed { 128 } else { 0 };
    let mut payload = [&[command::STMT_BULK_EXECUTE], &id.to_le_bytes()[..], &flags.to_le_bytes()[..]].concat();
    if typed {
        payload.extend([LONG, LONG].concat());
    }
    for (a, b) in rows {
        for number in [a, b] {
            payload.push(0);
            payload.extend_from_slice(&number.to_le_bytes());
        }
    }
    app.command(&payload)
}

#[test]
fn bulk_executions_of_mariadb_move() {
    require_server!("mariadb");
    let (main, spare) = MysqlServer::pair("mariadb");
    main.query("CREATE TABLE shop.pairs (a INT PRIMARY KEY, b INT)");
    let mut path = MysqlPath::to(&main);
    for (round, extra) in (0_i32..).zip([Capabilities::default(), Capabilities::DEPRECATE_EOF]) {
        let extra = extra | Capabilities::MARIADB_STMT_BULK;
        let mut app = log_in(path.port, extra);
        assert!(app.node.capabilities.has(Capabilities::MARIADB_STMT_BULK), "it is offered");
        let id = app.prepare("INSERT INTO pairs VALUES (?, ?)");
        let from = round * 1000;
        assert_eq!(bulk(&mut app, id, true, &[(from, 1), (from + 1, 2), (from + 2, 3)]).error(), 0);
        assert_eq!(bulk(&mut app, id, false, &[(from + 3, 4), (from + 4, 5)]).error(), 0, "the types are remembered");
        assert_eq!(bulk(&mut app, id, true, &[(from + 5, 6), (from, 7)]).error(), 1062, "a row that is there");
        let many: Vec<_> = (from + 100..from + 900).map(|n| (n, n)).collect();
        assert_eq!(bulk(&mut app, id, false, &many).error(), 0);
        let (old, new) = if round == 0 { (&main, &spare) } else { (&spare, &main) };
        if round == 1 {
            main.query("UNLOCK TABLES");
            main.follow("127.0.0.1", spare.port());
            wait_for("it follows", PATIENCE, || main.replicates());
        }
        path.switch(old, new);
        assert_eq!(bulk(&mut app, id, false, &[(from + 10, 4), (from + 11, 5)]).error(), 0, "told again elsewhere");
        let row = [&[0, 0][..], &(from + 12).to_le_bytes(), &[13, 0, 0, 0]].concat();
        assert_eq!(app.execute(id, 0, &row).error(), 0, "and it is the same for one row");
        let where_ = format!("FROM shop.pairs WHERE a BETWEEN {from} AND {}", from + 999);
        assert_eq!(new.value(&format!("SELECT COUNT(*) {where_}")), "808");
    }
}
