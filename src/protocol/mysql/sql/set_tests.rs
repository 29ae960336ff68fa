//! What `SET` statements set.

use super::Dialect;
use super::set::{Assignment, Scope, Value, assignments};

fn read(text: &str) -> (Vec<Assignment<'_>>, bool) {
    let mut found = Vec::new();
    let understood = assignments(text.as_bytes(), Dialect::default(), &mut |assignment| found.push(assignment));
    (found, understood)
}

#[track_caller]
fn sets(text: &str, expected: &[Assignment<'_>]) {
    assert_eq!(read(text), (expected.to_vec(), true), "{text}");
}

fn variable<'a>(name: &'a str, value: Value<'a>) -> Assignment<'a> {
    Assignment::Variable { name: name.as_bytes(), scope: Scope::Session, value }
}

fn global<'a>(name: &'a str, value: Value<'a>) -> Assignment<'a> {
    Assignment::Variable { name: name.as_bytes(), scope: Scope::Global, value }
}

fn user<'a>(name: &'a str, value: Value<'a>) -> Assignment<'a> {
    Assignment::User { name: name.as_bytes(), value }
}

fn literal(text: &str) -> Value<'_> {
    Value::Literal(text.as_bytes())
}

#[test]
fn variables_of_every_scope() {
    sets("SET autocommit=0", &[variable("autocommit", literal("0"))]);
    sets("set session sql_mode := 'ANSI';", &[variable("sql_mode", literal("'ANSI'"))]);
    sets("SET @@sql_mode = CONCAT(@@sql_mode, ',STRICT_TRANS_TABLES')", &[variable("sql_mode", Value::Expression)]);
    sets(
        "SET LOCAL x = ON, @@session.y = -5, @@local . z = DEFAULT",
        &[variable("x", Value::Word(b"ON")), variable("y", literal("-5")), variable("z", Value::Word(b"DEFAULT"))],
    );
    sets(
        "SET @a=1, SESSION b=2, GLOBAL c=3, PERSIST d=4, @@GLOBAL.e=5, @@PERSIST_ONLY.f=6, `g`=7",
        &[
            user("a", literal("1")),
            variable("b", literal("2")),
            global("c", literal("3")),
            global("d", literal("4")),
            global("e", literal("5")),
            global("f", literal("6")),
            variable("`g`", literal("7")),
        ],
    );
    sets("SET GLOBAL validate_password.length = 4", &[global("validate_password.length", literal("4"))]);
}

#[test]
fn user_variables_and_their_literals() {
    for text in ["1", "-1", "1.5", "1.", "1e5", "-1.5E-3", "'it''s'", "\"x\"", "NULL", "true", "0x4D", "0b01", "''"] {
        sets(&format!("SET @a = {text}"), &[user("a", literal(text))]);
    }
    for text in [
        "1+1",
        "'a' 'b'",
        "x'4D'",
        "_utf8'x'",
        "(1)",
        "NOW()",
        "@b",
        "'ä'",
        "1a",
        "- - 1",
        "0x",
        "+1",
        "(SELECT 1, 2)",
        "'x' COLLATE utf8mb4_bin",
    ] {
        sets(&format!("SET @a = {text}, @b = 2"), &[user("a", Value::Expression), user("b", literal("2"))]);
    }
    sets(
        "SET @`a b` = 1, @'c' := 2, @d.e = 3",
        &[user("`a b`", literal("1")), user("'c'", literal("2")), user("d.e", literal("3"))],
    );
    sets(
        "SET @a = (@b := 5)",
        &[user("a", Value::Expression), user("b", Value::Expression), user("a", Value::Expression)],
    );
}

#[test]
fn the_special_forms() {
    let names = |collation: Option<&'static str>, of_schema| Assignment::Names {
        collation: collation.map(str::as_bytes),
        of_schema,
    };
    sets("SET NAMES utf8mb4", &[names(None, false)]);
    sets("SET NAMES 'utf8mb4' COLLATE 'utf8mb4_bin'", &[names(Some("'utf8mb4_bin'"), false)]);
    sets("SET NAMES latin1 collate latin1_bin, @a = 1", &[names(Some("latin1_bin"), false), user("a", literal("1"))]);
    for text in ["SET CHARACTER SET latin1", "SET CHARSET DEFAULT", "set char set x"] {
        sets(text, &[names(None, true)]);
    }
    sets("SET NAMES utf8mb4, @a = 1", &[names(None, false), user("a", literal("1"))]);
    sets("SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ ONLY", &[Assignment::Transaction { scope: None }]);
    sets("SET SESSION TRANSACTION READ WRITE", &[Assignment::Transaction { scope: Some(Scope::Session) }]);
    sets("SET GLOBAL TRANSACTION READ WRITE", &[Assignment::Transaction { scope: Some(Scope::Global) }]);
    sets("SET ROLE ALL EXCEPT a, b", &[Assignment::Role]);
    sets("SET RESOURCE GROUP rg", &[Assignment::ResourceGroup]);
}

#[test]
fn what_is_not_understood_is_said() {
    for text in [
        "SELECT 1",
        "SET",
        "SET a",
        "SET a=",
        "SET a=1,",
        "SET a=1; SELECT 1",
        "SET 'a'=1",
        "SET @@global=1",
        "SET a.=1",
    ] {
        assert!(!read(text).1, "{text}");
    }
}
