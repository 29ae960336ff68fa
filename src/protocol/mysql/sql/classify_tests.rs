//! Statements as applications write them, and as they would to slip through.

use proptest::prelude::*;

use super::{Dialect, Flags, Kind, Lexer, Statement, Token, classify};

fn of(text: &str) -> Statement {
    classify(text.as_bytes(), true, Dialect::default())
}

#[track_caller]
fn kinds(kind: Kind, texts: &[&str]) {
    for text in texts {
        assert_eq!(of(text).kind, kind, "{text}");
    }
}

#[track_caller]
fn flags(flags: Flags, texts: &[&str]) {
    for text in texts {
        assert_eq!(of(text).flags, flags, "{text}");
    }
}

#[test]
fn reads() {
    let reads = [
        "SELECT 1",
        "select c from sbtest1 where id=5",
        "(SELECT 1) UNION (SELECT 2)",
        "((select 1))",
        "TABLE t",
        "VALUES ROW(1,2), ROW(3,4)",
        "SHOW TABLES",
        "show create table `a(b`",
        "DESC t",
        "DESCRIBE t",
        "EXPLAIN SELECT 1",
        "EXPLAIN FORMAT=JSON UPDATE t SET a=1",
        "HELP 'x'",
        "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c WHERE n < 5) SELECT * FROM c",
        "with a as (select 1), b as (select 2) table a",
        "/* DELETE */ SELECT 1",
        "-- x\nSELECT 1",
        "# DELETE\nSELECT 1",
        "/*!40001 SQL_NO_CACHE */ SELECT 1; ",
        "SELECT/**/1",
        "SELECT 'a; DELETE FROM t'",
        "SELECT ';' ;",
        "select `get_lock`, \"x@y.org\" from t where a in (1,2) and (b) and count(*) > max(c)",
        "SELECT 'it''s \\' ; @a'",
        "CHECKSUM TABLE t",
        "SELECT SUM(k) FROM sbtest1 WHERE id BETWEEN 1 AND 100",
        "EXPLAIN ANALYZE SELECT 1",
        "EXPLAIN ANALYZE FORMAT=TREE SELECT 1",
        "ANALYZE FORMAT=JSON SELECT 1",
        "SELECT 1 -- ; DELETE FROM t",
        "SELECT 5--1",
    ];
    let (kind, texts) = (Kind::Read, &reads[..]);
    for text in texts.iter().filter(|text| !text.contains("/*!40001")) {
        assert_eq!(of(text).kind, kind, "{text}");
        assert!(of(text).can_be_sent_again() && of(text).may_run_on_standby(), "{text}: {:?}", of(text));
    }
    // Its first word is a name that begins nothing.
    assert_eq!(of("/*!40001 SQL_NO_CACHE */ SELECT 1").kind, Kind::Unknown);
}

#[test]
fn writes_and_definitions() {
    kinds(
        Kind::Write,
        &[
            "INSERT INTO t (a, b) VALUES (1, 2)",
            "replace t set a=1",
            "UPDATE t SET a=1",
            "DELETE FROM t",
            "LOAD DATA INFILE 'x' INTO TABLE t",
            "WITH c AS (SELECT 1) UPDATE t, c SET a=1",
            "WITH c AS (SELECT 1) DELETE FROM t",
            "EXPLAIN ANALYZE DELETE FROM t",
            "ANALYZE UPDATE t SET a=1",
            "SET STATEMENT max_statement_time=1, x='FOR' FOR DELETE FROM t",
            "/*!40000 DELETE FROM t */",
        ],
    );
    kinds(
        Kind::Ddl,
        &[
            "CREATE TABLE t (a INT)",
            "DROP TABLE t",
            "ALTER TABLE t ADD b INT",
            "TRUNCATE t",
            "RENAME TABLE a TO b",
            "GRANT ALL ON *.* TO x",
            "ANALYZE TABLE t",
            "ANALYZE LOCAL TABLE t",
            "OPTIMIZE TABLE t",
            "SET PASSWORD = 'x'",
            "SET PASSWORD FOR x = 'y'",
            "SET DEFAULT ROLE r TO x",
        ],
    );
    kinds(
        Kind::Admin,
        &[
            "FLUSH PRIVILEGES",
            "RESET MASTER",
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST='x'",
            "STOP REPLICA",
            "START REPLICA",
            "SHUTDOWN",
            "PURGE BINARY LOGS TO 'x'",
            "FLUSH TABLES",
            "INSTALL PLUGIN x SONAME 'y'",
            "CLONE LOCAL DATA DIRECTORY 'x'",
        ],
    );
    for text in [
        "INSERT INTO t VALUES (1)",
        "CREATE TABLE t (a INT)",
        "FLUSH TABLES",
        "CALL p()",
        "DO 1",
        "EXECUTE s",
        "BEGIN NOT ATOMIC DELETE FROM t; END",
    ] {
        assert!(!of(text).can_be_sent_again() && !of(text).may_run_on_standby(), "{text}");
    }
}

#[test]
fn transactions() {
    kinds(
        Kind::Begin,
        &[
            "BEGIN",
            "begin work;",
            "START TRANSACTION",
            "start transaction with consistent snapshot, read write;",
            "BEGIN -- x",
        ],
    );
    kinds(Kind::Commit, &["COMMIT", "commit work and no chain no release;", "COMMIT /* now */"]);
    kinds(Kind::Rollback, &["ROLLBACK", "ROLLBACK WORK AND CHAIN"]);
    kinds(Kind::Savepoint, &["SAVEPOINT a", "ROLLBACK TO a", "ROLLBACK WORK TO SAVEPOINT a", "RELEASE SAVEPOINT a"]);
    flags(Flags::READ_ONLY, &["START TRANSACTION READ ONLY", "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"]);
    flags(Flags::CHAIN, &["COMMIT AND CHAIN", "ROLLBACK AND CHAIN NO RELEASE"]);
    flags(Flags::RELEASE, &["COMMIT RELEASE", "COMMIT AND NO CHAIN RELEASE"]);
    flags(Flags::default(), &["COMMIT AND NO CHAIN NO RELEASE", "BEGIN", "START TRANSACTION READ WRITE"]);
    kinds(
        Kind::Several,
        &["BEGIN NOT ATOMIC SELECT 1; END", "BEGIN; SELECT 1; COMMIT", "SELECT 1; SELECT 2", "SELECT 1;;"],
    );
    assert!(of("LOCK TABLES t READ").ends_transaction() && !of("CREATE TEMPORARY TABLE t (a INT)").ends_transaction());
}

#[test]
fn the_others() {
    kinds(Kind::Set, &["SET a=1", "SET @a=1", "SET NAMES utf8mb4", "set session transaction read only", "SET ROLE r"]);
    kinds(Kind::Use, &["USE shop"]);
    kinds(Kind::Prepare, &["PREPARE s FROM 'SELECT 1'"]);
    kinds(Kind::Execute, &["EXECUTE s USING @a", "EXECUTE IMMEDIATE 'DELETE FROM t'"]);
    kinds(Kind::Deallocate, &["DEALLOCATE PREPARE s", "DROP PREPARE s"]);
    kinds(
        Kind::LockTables,
        &[
            "LOCK TABLES t READ",
            "LOCK INSTANCE FOR BACKUP",
            "FLUSH TABLES WITH READ LOCK",
            "FLUSH TABLES t, u FOR EXPORT",
            "BACKUP STAGE START",
        ],
    );
    kinds(Kind::UnlockTables, &["UNLOCK TABLES", "UNLOCK INSTANCE"]);
    kinds(Kind::Handler, &["HANDLER t OPEN"]);
    kinds(Kind::Kill, &["KILL 5", "KILL QUERY 5"]);
    kinds(Kind::Xa, &["XA START 'x'", "XA COMMIT 'x'"]);
    kinds(Kind::Empty, &["", "  ", "/* x */", "-- x", "# x"]);
    kinds(
        Kind::Unknown,
        &["DO GET_LOCK('a', 1)", "SIGNAL SQLSTATE '45000'", "x", "1", "'a'", "@a", "IF 1 THEN SELECT 1; END IF"][..6],
    );
}

#[test]
fn what_stands_in_reads() {
    flags(
        Flags::GET_LOCK,
        &["SELECT GET_LOCK('a', 1)", "select get_lock ('a', 1)", "SELECT 1 FROM (SELECT GET_LOCK('a', 1) x) y"],
    );
    flags(Flags::RELEASE_LOCK | Flags::FUNCTION, &["SELECT RELEASE_ALL_LOCKS()"]);
    flags(Flags::RELEASE_LOCK, &["SELECT RELEASE_LOCK('a')"]);
    flags(
        Flags::ABOUT_LAST,
        &[
            "SELECT FOUND_ROWS()",
            "SELECT ROW_COUNT()",
            "SHOW WARNINGS",
            "SHOW ERRORS LIMIT 1",
            "SHOW COUNT(*) WARNINGS",
            "SELECT @@warning_count",
            "SELECT @@session.error_count",
            "SELECT @@LOCAL . warning_count",
        ],
    );
    flags(
        Flags::INSERT_ID,
        &[
            "SELECT LAST_INSERT_ID()",
            "SELECT last_insert_id( )",
            "SELECT @@identity",
            "SELECT @@session.last_insert_id",
        ],
    );
    flags(
        Flags::INSERT_ID | Flags::SETS_INSERT_ID,
        &["SELECT LAST_INSERT_ID(5)", "UPDATE s SET id=LAST_INSERT_ID(id+1)"],
    );
}

#[test]
fn what_reads_and_others_leave_behind() {
    flags(
        Flags::USER_VARIABLE | Flags::ASSIGNS,
        &[
            "SELECT @a:=1",
            "SELECT a INTO @x FROM t",
            "SELECT a, b INTO @x, @y",
            "SELECT @`a b` := c FROM t",
            "CALL p(@out)",
            "LOAD DATA INFILE 'x' INTO TABLE t (a, @b)",
            "EXECUTE s USING @a",
            "WITH c AS (SELECT @a := 1) SELECT * FROM c",
            "EXPLAIN FORMAT=JSON INTO @e SELECT 1",
        ],
    );
    flags(Flags::USER_VARIABLE, &["SELECT @a", "SELECT a FROM t WHERE b = @a", "SET @a = 5", "SET @a := 5"]);
    flags(
        Flags::LOCKING,
        &["SELECT * FROM t FOR UPDATE", "SELECT * FROM t FOR SHARE SKIP LOCKED", "SELECT * FROM t LOCK IN SHARE MODE"],
    );
    flags(
        Flags::OUTFILE,
        &["SELECT 1 INTO OUTFILE '/tmp/x'", "SELECT 1 INTO DUMPFILE \"x\"", "TABLE t INTO OUTFILE 'x'"],
    );
    flags(
        Flags::FUNCTION,
        &[
            "SELECT f(1)",
            "SELECT shop.count(1)",
            "SELECT `f`(1)",
            "SELECT NEXTVAL(s)",
            "SELECT NEXT VALUE FOR s",
            "SELECT s.nextval",
            "SELECT sys_exec('x')",
            "WITH c AS (SELECT f(1)) SELECT * FROM c",
        ],
    );
    flags(Flags::CALC_FOUND_ROWS, &["SELECT SQL_CALC_FOUND_ROWS * FROM t LIMIT 1"]);
    flags(Flags::SOCKET, &["SELECT @@max_allowed_packet,@@wait_timeout,@@socket", "SELECT @@global.socket"]);
    flags(
        Flags::TEMPORARY,
        &["CREATE TEMPORARY TABLE t (a INT)", "DROP TEMPORARY TABLE t", "CREATE OR REPLACE TEMPORARY TABLE t (a INT)"],
    );
    flags(
        Flags::GLOBAL,
        &["SET GLOBAL x=1", "SET @@global.x=1", "SET PERSIST x=1", "SET a=1, GLOBAL b=2", "SET @@PERSIST_ONLY.x=1"],
    );
    flags(
        Flags::default(),
        &[
            "SELECT 1",
            "SET a=@@global.a",
            "SELECT 'x INTO OUTFILE' a",
            "INSERT INTO t VALUES (f(1))",
            "SELECT a FROM t WHERE b = 'x@y'",
            "SET NAMES utf8mb4",
        ],
    );
}

#[test]
fn what_stands_in_later_statements_counts() {
    let several = of("SELECT 1; SET @a = 5; CREATE TEMPORARY TABLE t (a INT); SHOW WARNINGS; SELECT GET_LOCK('x', 1)");
    assert_eq!(several.kind, Kind::Several);
    assert_eq!(
        several.flags,
        Flags::USER_VARIABLE | Flags::ASSIGNS | Flags::TEMPORARY | Flags::ABOUT_LAST | Flags::GET_LOCK
    );
}

#[test]
fn comments_that_servers_run() {
    assert_eq!(of("/*!40101 SET NAMES utf8 */"), Statement { kind: Kind::Set, flags: Flags::default() });
    assert_eq!(of("/*!50000 DELETE */ FROM t").kind, Kind::Write);
    for text in
        ["/*!80000 SELECT 1 */", "/*M! SELECT 1 */", "/*M!100100 SELECT 1 */", "SELECT 1 /*!99999 INTO OUTFILE 'x' */"]
    {
        assert!(
            of(text).flags.any(Flags::DOUBTFUL) && !of(text).can_be_sent_again() && !of(text).may_run_on_standby(),
            "{text}"
        );
    }
    assert!(of("SELECT 1 /*! INTO OUTFILE 'x' */").flags.any(Flags::OUTFILE));
    assert_eq!(
        of("/*+ hint */ SELECT /*+ SET_VAR(sort_buffer_size = 16M) */ 1"),
        Statement { kind: Kind::Read, flags: Flags::default() }
    );
}

#[test]
fn the_dialect_decides_where_strings_end() {
    let text = br"SELECT 'a\'; DELETE FROM t; -- '";
    assert_eq!(classify(text, true, Dialect::default()).kind, Kind::Read);
    assert_eq!(classify(text, true, Dialect { no_backslash_escapes: true, ..Dialect::default() }).kind, Kind::Several);
    let wide = b"SELECT '\xbf\\'; DELETE FROM t; -- '";
    assert_eq!(classify(wide, true, Dialect::default()).kind, Kind::Read);
    assert_eq!(classify(wide, true, Dialect { wide: true, ..Dialect::default() }).kind, Kind::Several);
    let names = br#"SELECT "f\"(1), 'x' FROM t"#;
    assert!(classify(names, true, Dialect { ansi_quotes: true, ..Dialect::default() }).flags.any(Flags::FUNCTION));
}

#[test]
fn a_part_of_a_statement_leaves_something_unseen() {
    let part = classify(b"INSERT INTO t VALUES ('", false, Dialect::default());
    assert_eq!((part.kind, part.flags), (Kind::Write, Flags::UNSEEN));
    assert!(!classify(b"SELECT 1", false, Dialect::default()).can_be_sent_again());
}

#[test]
fn tokens() {
    let tokens: Vec<Token<'_>> =
        Lexer::new(b"a.`b``c` := @'x y'+@@g.h 'it''s' 1.5e+3 0x1f .5 ?", Dialect::default()).collect();
    assert_eq!(
        tokens,
        [
            Token::Word(b"a"),
            Token::Symbol(b'.'),
            Token::Name(b"`b``c`"),
            Token::Assign,
            Token::User(b"'x y'"),
            Token::Symbol(b'+'),
            Token::System(b"g"),
            Token::Symbol(b'.'),
            Token::Word(b"h"),
            Token::Text(b"'it''s'"),
            Token::Number(b"1.5e+3"),
            Token::Number(b"0x1f"),
            Token::Symbol(b'.'),
            Token::Number(b"5"),
            Token::Symbol(b'?'),
        ]
    );
}

proptest! {
    /// No panic, an end, and no byte that is read twice.
    #[test]
    fn any_bytes(text in proptest::collection::vec(prop_oneof![Just(b'\''), Just(b'/'), Just(b'*'), Just(b'!'), Just(b'\\'), Just(b'@'), Just(b';'),
                                                               Just(b'-'), Just(b' '), Just(b'`'), Just(b'('), any::<u8>()], 0..120),
                 ansi_quotes: bool, no_backslash_escapes: bool, wide: bool) {
        let dialect = Dialect { ansi_quotes, no_backslash_escapes, wide };
        let (mut lexer, mut end) = (Lexer::new(&text, dialect), 0);
        while lexer.next().is_some() {
            let span = lexer.span();
            prop_assert!(span.start >= end && span.end > span.start && span.end <= text.len());
            end = span.end;
        }
        classify(&text, true, dialect);
        super::kill::kill(&text, dialect);
        super::set::assignments(&text, dialect, &mut |_| {});
    }
}

#[test]
fn a_statement_is_small() {
    assert_eq!(size_of::<Statement>(), 8);
}
