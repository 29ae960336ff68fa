//! Any bytes, cut and handed on anywhere: the Redis scanners must neither panic nor contradict themselves. The first byte of
//! the input sets the length of the pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pointsman::protocol::redis::command::{DenyList, classify};
use pointsman::protocol::redis::scan::{Limits, ReplyScanner, RequestScanner, Scan, expand_inline};
use pointsman::protocol::redis::session::Change;

/// Ends of the requests found, and whether the bytes were refused, when they arrive in pieces of `step` bytes.
fn requests(bytes: &[u8], step: usize, take: bool) -> (Vec<usize>, bool) {
    let (mut scanner, limits) = (RequestScanner::default(), Limits::default());
    let (mut start, mut end, mut ends) = (0, 0, Vec::new());
    loop {
        match scanner.next(&bytes[start..end], &limits) {
            Ok(Scan::NeedMore) => {
                if let Some(head) = scanner.head(&bytes[start..end]) {
                    classify(&head, &bytes[start..end], &DenyList::default());
                }
                if take {
                    start += scanner.take(end - start);
                }
                if end == bytes.len() {
                    return (ends, false);
                }
                end = (end + step).min(bytes.len());
                continue;
            }
            Ok(Scan::Blank { len }) => start += len,
            Ok(Scan::Inline { len }) => {
                let mut out = Vec::new();
                if expand_inline(&bytes[start..start + len], &mut out).is_ok_and(|argc| argc > 0) {
                    let found = RequestScanner::default().next(&out, &limits);
                    assert!(matches!(found, Ok(Scan::Complete(head)) if head.len == out.len()));
                }
                start += len;
            }
            Ok(Scan::Complete(head)) => {
                let frame = &bytes[start..start + head.len];
                let class = classify(&head, frame, &DenyList::default());
                if let Some(spec) = class.spec {
                    Change::read(spec, frame);
                }
                start += head.len;
            }
            Err(_) => return (ends, true),
        }
        assert!(start <= end);
        ends.push(start);
    }
}

fn replies(bytes: &[u8], step: usize, take: bool) -> (Vec<usize>, bool) {
    let (mut scanner, mut start, mut end, mut ends) = (ReplyScanner::default(), 0, 0, Vec::new());
    loop {
        match scanner.next(&bytes[start..end]) {
            Ok(None) => {
                if take {
                    start += scanner.take(end - start);
                }
                if end == bytes.len() {
                    return (ends, false);
                }
                end = (end + step).min(bytes.len());
            }
            Ok(Some(reply)) => {
                start += reply.len;
                assert!(start <= end);
                ends.push(start);
            }
            Err(_) => return (ends, true),
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&step, bytes)) = input.split_first() else { return };
    let step = usize::from(step).max(1);
    assert_eq!(requests(bytes, step, false), requests(bytes, bytes.len().max(1), false));
    assert_eq!(requests(bytes, step, true), requests(bytes, step, false));
    assert_eq!(replies(bytes, step, false), replies(bytes, bytes.len().max(1), false));
    assert_eq!(replies(bytes, step, true), replies(bytes, step, false));
});
