//! Any bytes as a node's answer or a client's packets, cut anywhere: the scanner and the framer must neither panic nor find other ends than
//! in one piece. The first bytes of the input set the command, the capabilities and the length of the pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pointsman::protocol::mysql::capability::Capabilities;
use pointsman::protocol::mysql::ok::OkPacket;
use pointsman::protocol::mysql::packet::{Framer, HEADER};
use pointsman::protocol::mysql::response::{Found, ResponseScanner};
use pointsman::protocol::mysql::session::carried::Carried;

/// What is found, and whether the bytes were refused, when they arrive in pieces of `step` bytes.
fn answers(bytes: &[u8], step: usize, command: u8, capabilities: Capabilities) -> (Vec<Found>, bool) {
    let mut scanner = ResponseScanner::new(command, capabilities);
    let (mut start, mut end, mut found) = (0, 0, Vec::new());
    let mut session = Carried::default();
    while !scanner.ended() {
        let Ok(seen) = scanner.next(&bytes[start..end]) else { return (found, true) };
        start += seen.pass;
        assert!(start <= end);
        let len = match seen.found {
            Found::Nothing { .. } => {
                if end == bytes.len() {
                    break;
                }
                end = (end + step).min(bytes.len());
                continue;
            }
            Found::Ok { len, .. } | Found::Err { len, .. } | Found::Prepared { len, .. } | Found::LocalInfile { len } => len,
        };
        let payload = &bytes[start + HEADER..start + len];
        if let Ok(ok) = OkPacket::read(payload, capabilities) {
            let mut state = Vec::new();
            session.visible(&ok, &mut state);
            ok.write(&mut Vec::new(), &state);
        }
        session.succeeded(payload, capabilities);
        start += len;
        assert!(start <= end);
        found.push(seen.found);
    }
    session.answered(bytes, capabilities);
    session.replay(capabilities);
    (found, false)
}

fn packets(bytes: &[u8], step: usize) -> Vec<usize> {
    let (mut framer, mut at, mut ends) = (Framer::default(), 0, Vec::new());
    for piece in bytes.chunks(step) {
        let mut rest = piece;
        while !rest.is_empty() {
            let framed = framer.next(rest);
            at += framed.len;
            rest = &rest[framed.len..];
            if framed.ended {
                ends.push(at);
            }
        }
    }
    ends
}

fuzz_target!(|input: &[u8]| {
    let Some((&[command, step, a, b, c, d, e, f], bytes)) = input.split_first_chunk() else { return };
    let capabilities = Capabilities(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]));
    let step = usize::from(step).max(1);
    let (whole, cut) = (answers(bytes, bytes.len().max(1), command, capabilities), answers(bytes, step, command, capabilities));
    assert_eq!(whole.1, cut.1);
    if !whole.1 {
        assert_eq!(whole.0, cut.0);
    }
    assert_eq!(packets(bytes, step), packets(bytes, bytes.len().max(1)));
});
