//! Every kind of answer, with and without EOF packets, cut at every byte.

use proptest::prelude::*;

use super::capability::{Capabilities, command, status};
use super::packet::{HEADER, MAX_PAYLOAD};
use super::response::{Found, LOOK_MAX, ResponseError, ResponseScanner};
use super::{error, ok, packet};

const OLD: Capabilities = Capabilities::PROTOCOL_41;
const NEW: Capabilities = Capabilities(Capabilities::PROTOCOL_41.0 | Capabilities::DEPRECATE_EOF.0);

/// Packets of one answer.
#[derive(Default)]
struct Answer {
    bytes: Vec<u8>,
    sequence: u8,
}

impl Answer {
    fn packet(mut self, payload: &[u8]) -> Self {
        self.sequence = packet::write(&mut self.bytes, self.sequence.wrapping_add(1), payload).wrapping_sub(1);
        self
    }

    fn ok(self, status: u16) -> Self {
        let ok = ok::OkPacket { status, affected: 1, ..Default::default() };
        let mut payload = Vec::new();
        ok.write(&mut payload, b"");
        self.packet(&payload)
    }

    /// What ends rows: an EOF packet, or an OK packet dressed as one.
    fn end(self, capabilities: Capabilities, status: u16) -> Self {
        let [low, high] = status.to_le_bytes();
        if capabilities.has(Capabilities::DEPRECATE_EOF) {
            self.packet(&[0xfe, 0, 0, low, high, 0, 0])
        } else {
            self.packet(&[0xfe, 0, 0, low, high])
        }
    }

    fn err(self, number: u16) -> Self {
        let mut payload = Vec::new();
        error::write(&mut payload, error::Code { number, state: *b"HY000" }, true, "no");
        self.packet(&payload)
    }

    fn definitions(mut self, count: usize, capabilities: Capabilities) -> Self {
        for _ in 0..count {
            self = self.packet(b"\x03def\x04shop\x01t\x01t\x01c\x01c\x0c\xff\0\x28\0\0\0\xfd\0\0\0\0\0");
        }
        if count > 0 && !capabilities.has(Capabilities::DEPRECATE_EOF) {
            self.packet(&[0xfe, 0, 0, 2, 0])
        } else {
            self
        }
    }

    fn rows(self, capabilities: Capabilities, columns: u8, rows: &[&[u8]], status: u16) -> Self {
        let head = self.packet(&[columns]).definitions(usize::from(columns), capabilities);
        rows.iter().fold(head, |answer, row| answer.packet(row)).end(capabilities, status)
    }
}

/// What was found, by kind and number.
fn scan(
    bytes: &[u8],
    step: usize,
    command: u8,
    capabilities: Capabilities,
) -> Result<(Vec<Found>, bool), ResponseError> {
    let mut scanner = ResponseScanner::new(command, capabilities);
    let (mut start, mut end, mut found) = (0, 0, Vec::new());
    while !scanner.ended() {
        let seen = scanner.next(&bytes[start..end])?;
        start += seen.pass;
        assert!(start <= end);
        let len = match seen.found {
            Found::Nothing { wanted } => {
                assert!(start + wanted > end || scanner.ended());
                if end == bytes.len() {
                    break;
                }
                end = (end + step).min(bytes.len());
                continue;
            }
            Found::Ok { len, .. }
            | Found::Err { len, .. }
            | Found::Prepared { len, .. }
            | Found::LocalInfile { len } => len,
        };
        assert_eq!(packet::read(&bytes[start..end]).map(|(header, _)| header.len + HEADER), Some(len));
        start += len;
        assert!(start <= end);
        found.push(seen.found);
    }
    Ok((found, scanner.ended() && start == bytes.len()))
}

/// Statuses and numbers found, however the bytes are cut; the answer ends where its bytes do.
#[track_caller]
fn whole(answer: &Answer, command: u8, capabilities: Capabilities) -> Vec<Found> {
    let (found, ended) = scan(&answer.bytes, answer.bytes.len(), command, capabilities).expect("an answer");
    assert!(ended);
    for step in 1..answer.bytes.len() {
        assert_eq!(scan(&answer.bytes, step, command, capabilities), Ok((found.clone(), true)), "{step}");
    }
    for cut in 0..answer.bytes.len() {
        let (_, ended) = scan(&answer.bytes[..cut], 7, command, capabilities).expect("the beginning of an answer");
        assert!(!ended, "{cut}");
    }
    found
}

fn statuses(found: &[Found]) -> Vec<u16> {
    let status = |found: &Found| match *found {
        Found::Ok { status, .. } => Some(status),
        _ => None,
    };
    found.iter().filter_map(status).collect()
}

#[test]
fn an_ok_packet_is_an_answer() {
    for command in [command::QUERY, command::PING, command::INIT_DB, command::RESET_CONNECTION, command::STMT_EXECUTE] {
        assert_eq!(statuses(&whole(&Answer::default().ok(2), command, NEW)), [2]);
    }
}

#[test]
fn an_error_is_an_answer_to_everything() {
    for command in
        [command::QUERY, command::STMT_PREPARE, command::STMT_FETCH, command::FIELD_LIST, command::STMT_EXECUTE]
    {
        let found = whole(&Answer::default().err(1064), command, OLD);
        assert!(matches!(found[..], [Found::Err { number: 1064, .. }]), "{found:?}");
    }
}

#[test]
fn rows_pass() {
    for capabilities in [OLD, NEW] {
        for rows in [&[][..], &[&b"\x011"[..]], &[b"\x011", b"\xfb", b"\xfc\x2c\x01", b"\0"]] {
            let answer = Answer::default().rows(capabilities, 1, rows, 0x22);
            assert_eq!(statuses(&whole(&answer, command::QUERY, capabilities)), [0x22]);
            assert_eq!(statuses(&whole(&answer, command::STMT_EXECUTE, capabilities)), [0x22]);
        }
    }
}

#[test]
fn an_error_in_the_middle_of_rows_ends_them() {
    for capabilities in [OLD, NEW] {
        let answer = Answer::default().packet(b"\x01").definitions(1, capabilities).packet(b"\x011").err(1317);
        assert!(matches!(whole(&answer, command::QUERY, capabilities)[..], [Found::Err { number: 1317, .. }]));
    }
}

#[test]
fn several_answers_end_with_the_last() {
    for capabilities in [OLD, NEW] {
        let more = status::MORE_RESULTS;
        let answer =
            Answer::default().ok(more).rows(capabilities, 2, &[b"\x011\x012"], more).rows(capabilities, 1, &[], more);
        let first = answer.bytes.clone();
        assert_eq!(statuses(&whole(&answer.ok(2), command::QUERY, capabilities)), [more, more, more, 2]);
        let answer = Answer { bytes: first, sequence: 9 }.err(1062);
        let found = whole(&answer, command::QUERY, capabilities);
        assert_eq!(statuses(&found), [more, more, more]);
        assert!(matches!(found.last(), Some(Found::Err { number: 1062, .. })));
    }
}

#[test]
fn a_cursor_has_no_rows() {
    let cursor = status::CURSOR_EXISTS | 2;
    let [low, high] = cursor.to_le_bytes();
    let definition = b"\x03def\0\0\0\x011\0\x0c\x3f\0\x02\0\0\0\x08\x81\0\0\0\0";
    let old = Answer::default().packet(b"\x01").packet(definition).packet(&[0xfe, 0, 0, low, high]);
    assert_eq!(statuses(&whole(&old, command::STMT_EXECUTE, OLD)), [cursor]);
    let new = Answer::default().packet(b"\x01").packet(definition).packet(&[0xfe, 0, 0, low, high, 0, 0]);
    assert_eq!(statuses(&whole(&new, command::STMT_EXECUTE, NEW)), [cursor]);
    let rows = Answer::default().packet(b"\0\0\x01").packet(b"\0\0\x02").end(OLD, status::LAST_ROW_SENT);
    assert_eq!(statuses(&whole(&rows, command::STMT_FETCH, OLD)), [status::LAST_ROW_SENT]);
}

#[test]
fn a_prepared_statement_is_told_with_its_counts() {
    for capabilities in [OLD, NEW] {
        for (columns, params) in [(0_u16, 0_u16), (2, 0), (0, 3), (2, 3)] {
            let mut payload = b"\0\x07\0\0\x01".to_vec();
            payload.extend_from_slice(&columns.to_le_bytes());
            payload.extend_from_slice(&params.to_le_bytes());
            payload.extend_from_slice(b"\0\0\0");
            let answer = Answer::default().packet(&payload);
            let answer = answer.definitions(params.into(), capabilities).definitions(columns.into(), capabilities);
            let found = whole(&answer, command::STMT_PREPARE, capabilities);
            assert_eq!(found, [Found::Prepared { len: 16, statement: 0x0100_0007, columns, params }]);
        }
    }
}

#[test]
fn definitions_that_are_left_out_are_not_awaited() {
    for bit in [Capabilities::OPTIONAL_METADATA, Capabilities::MARIADB_CACHE_METADATA] {
        for capabilities in [OLD | bit, NEW | bit] {
            let without = Answer::default().packet(b"\x01\0");
            let without = if capabilities.has(NEW) { without } else { without.end(OLD, 2) };
            let without = without.packet(b"\x011").end(capabilities, 2);
            assert_eq!(statuses(&whole(&without, command::QUERY, capabilities)), [2]);
            let with = Answer::default()
                .packet(b"\x01\x01")
                .definitions(1, capabilities)
                .packet(b"\x011")
                .end(capabilities, 2);
            assert_eq!(statuses(&whole(&with, command::QUERY, capabilities)), [2]);
        }
    }
    let prepared = Answer::default().packet(b"\0\x01\0\0\0\x01\0\x01\0\0\0\0\0");
    let found = whole(&prepared, command::STMT_PREPARE, NEW | Capabilities::OPTIONAL_METADATA);
    assert!(matches!(found[..], [Found::Prepared { columns: 1, params: 1, .. }]));
    let prepared = Answer::default().packet(b"\0\x01\0\0\0\x01\0\x01\0\0\0\0\0").end(OLD, 2).end(OLD, 2);
    let found = whole(&prepared, command::STMT_PREPARE, OLD | Capabilities::OPTIONAL_METADATA);
    assert!(matches!(found[..], [Found::Prepared { columns: 1, params: 1, .. }]));
}

#[test]
fn a_local_file_is_asked_for_in_the_middle() {
    let answer = Answer::default().packet(b"\xfb/tmp/data").ok(2);
    let found = whole(&answer, command::QUERY, OLD);
    assert!(matches!(found[..], [Found::LocalInfile { len: 14 }, Found::Ok { status: 2, .. }]), "{found:?}");
}

#[test]
fn answers_of_their_own_kind() {
    assert_eq!(whole(&Answer::default().packet(b"Uptime: 1  Threads: 2"), command::STATISTICS, NEW), []);
    let list = Answer::default().definitions(2, NEW).end(OLD, 2);
    assert_eq!(statuses(&whole(&list, command::FIELD_LIST, OLD)), [2]);
    assert_eq!(statuses(&whole(&Answer::default().end(OLD, 2), command::SET_OPTION, OLD)), [2]);
    assert_eq!(statuses(&whole(&Answer::default().end(NEW, 2), command::SET_OPTION, NEW)), [2]);
    for command in [command::QUIT, command::STMT_CLOSE, command::STMT_SEND_LONG_DATA] {
        assert!(ResponseScanner::new(command, NEW).ended());
    }
}

#[test]
fn rows_of_several_packets() {
    for len in [MAX_PAYLOAD - 1, MAX_PAYLOAD, MAX_PAYLOAD + 1] {
        let mut row = vec![b'x'; len];
        // The lengths of a text of 16 MB begin like an OK packet, and the second part of such a row may begin like anything.
        row[..9].copy_from_slice(&[0xfe, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0]);
        if len < MAX_PAYLOAD {
            row[0] = 0xfd;
        }
        if let Some(byte) = row.get_mut(MAX_PAYLOAD) {
            *byte = 0xff;
        }
        let answer = Answer::default().rows(NEW, 1, &[&row, b"\x011"], 2);
        for step in [100_000, MAX_PAYLOAD, MAX_PAYLOAD + 70, answer.bytes.len()] {
            let (found, ended) = scan(&answer.bytes, step, command::QUERY, NEW).expect("an answer");
            assert!(ended, "{len} {step}");
            assert_eq!(statuses(&found), [2]);
        }
    }
}

#[test]
fn what_belongs_nowhere_is_an_error() {
    let scan = |payload: &[u8], command, capabilities| {
        let answer = Answer::default().packet(payload).packet(payload);
        scan(&answer.bytes, 3, command, capabilities)
    };
    assert_eq!(scan(b"", command::QUERY, NEW), Err(ResponseError::Short));
    assert_eq!(scan(b"\0\0", command::QUERY, NEW), Err(ResponseError::Short));
    assert_eq!(scan(b"\xff\x01", command::QUERY, NEW), Err(ResponseError::Short));
    assert_eq!(scan(b"\0\0\0", command::STMT_PREPARE, NEW), Err(ResponseError::Short));
    assert_eq!(
        scan(b"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b", command::QUERY, NEW),
        Err(ResponseError::Unexpected(1))
    );
    assert_eq!(scan(b"\x05hello", command::STMT_PREPARE, NEW), Err(ResponseError::Unexpected(5)));
    let long = [&b"\0\0\0\x02\0\0\0"[..], &vec![0; LOOK_MAX]].concat();
    assert_eq!(scan(&long, command::QUERY, NEW), Err(ResponseError::Long));
    // A definition's end that isn't there.
    let answer = Answer::default().packet(b"\x01").packet(b"\x03def").packet(b"\x011");
    assert_eq!(self::scan(&answer.bytes, 5, command::QUERY, OLD), Err(ResponseError::Unexpected(1)));
}

proptest! {
    /// Any bytes: no panic, and the same facts however they are cut.
    #[test]
    fn hostile_bytes(bytes in proptest::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(0xfe), Just(0xff), Just(0xfb), any::<u8>()], 0..200),
                     step in 1..9_usize, command: u8, caps: u64) {
        let capabilities = Capabilities(caps);
        let whole = scan(&bytes, bytes.len().max(1), command, capabilities);
        let cut = scan(&bytes, step, command, capabilities);
        if let (Ok(whole), Ok(cut)) = (&whole, &cut) {
            prop_assert_eq!(whole, cut);
        }
        prop_assert_eq!(whole.is_err(), cut.is_err());
    }
}

#[test]
fn a_scanner_is_small() {
    assert!(size_of::<ResponseScanner>() <= 20, "{}", size_of::<ResponseScanner>());
}
