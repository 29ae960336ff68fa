//! Any bytes as a statement's text: no panic, every token behind the one before, the same answer each time, and names and values that lie in
//! the text. The first byte sets the dialect.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pointsman::protocol::mysql::capability::Capabilities;
use pointsman::protocol::mysql::session::carried::Carried;
use pointsman::protocol::mysql::sql::{Dialect, Lexer, classify, kill::kill, set::assignments, set::user_variables};

fuzz_target!(|input: &[u8]| {
    let Some((&bits, text)) = input.split_first() else { return };
    let dialect = Dialect { ansi_quotes: bits & 1 != 0, no_backslash_escapes: bits & 2 != 0, wide: bits & 4 != 0 };
    let (mut lexer, mut end) = (Lexer::new(text, dialect), 0);
    while lexer.next().is_some() {
        let span = lexer.span();
        assert!(span.start >= end && span.end > span.start && span.end <= text.len());
        end = span.end;
    }
    let statement = classify(text, true, dialect);
    assert_eq!(statement, classify(text, true, dialect));
    if let Some(kill) = kill(text, dialect) {
        assert!(text[kill.digits].iter().all(u8::is_ascii_digit));
    }
    assignments(text, dialect, &mut |_| {});
    user_variables(text, dialect, &mut |_| {});
    let mut session = Carried::new(None, dialect.wide);
    session.sent(statement, Some(text));
    session.succeeded(b"\0\0\0\x02\x40\0\0\0\x03\x02\x01\x311", Capabilities::OWN);
    session.stuck();
    session.ask(Capabilities::OWN);
    session.replay(Capabilities::OWN);
});
