//! The journal against an auditor: every byte of it, rewriting, cutting, and what retention removes.

use super::{Audit, Head, Local, OpenError, OpenErrorKind, audit, audit::look, draft, line};
use crate::{
    coord::{Coordinator, Keep},
    model::record::{Change, Draft, Record},
};
use std::{fs, future::Future, path::Path, path::PathBuf, time::Duration};

/// A small journal, so that each byte of it can be tried.
const SMALL: u64 = 600;

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn noted(text: &str) -> Draft {
    draft(Change::Noted { text: text.into() })
}

fn write(journal: &Local, text: &str) -> Record {
    wait(journal.append(vec![noted(text)])).unwrap().remove(0)
}

fn head(journal: &Local) -> Head {
    let condition = journal.condition();
    Head { seq: condition.seq, hash: condition.hash }
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    super::files::segments(&folder.join("journal")).unwrap().into_iter().map(|(_, path)| path).collect()
}

/// So many records in small segments; the heads after each.
fn journal(folder: &Path, records: usize) -> (Local, Vec<Head>) {
    let journal = Local::open_with(folder, SMALL).unwrap();
    let heads = (0..records).map(|n| {
        write(&journal, &format!("record {n}"));
        head(&journal)
    });
    let heads = heads.collect();
    (journal, heads)
}

fn broken(result: Result<Audit, OpenError>) -> OpenError {
    let error = result.expect_err("it is broken");
    assert_eq!(error.kind, OpenErrorKind::Broken, "{error}");
    error
}

#[test]
fn a_changed_byte_anywhere_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (local, _) = journal(folder.path(), 5);
    drop(local);
    let inside = folder.path().join("journal");
    assert!(segments(folder.path()).len() >= 3);
    let whole = look(&inside, &[]).unwrap();
    assert_eq!((whole.first, whole.seq, whole.running), (1, 5, false));
    let mut tried = 0;
    for path in segments(folder.path()) {
        let bytes = fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            // A bit, a letter's case or a zero that becomes a blank, and the whole byte.
            for flip in [1, 0x20, bytes[at].max(1)] {
                let mut changed = bytes.clone();
                changed[at] ^= flip;
                fs::write(&path, &changed).unwrap();
                let found = look(&inside, &[]);
                assert!(found.is_err(), "byte {at} of {} ^ {flip:#x} is not found", path.display());
                tried += 1;
            }
        }
        fs::write(&path, &bytes).unwrap();
        // So is one that is missing or more, and a file that is cut.
        for at in [0, 10, bytes.len() / 3] {
            let mut less = bytes.clone();
            less.remove(at);
            fs::write(&path, &less).unwrap();
            broken(look(&inside, &[]));
        }
        fs::write(&path, &bytes).unwrap();
    }
    assert!(tried > 5000, "{tried}");
    look(&inside, &[]).unwrap();
}

#[test]
fn what_is_wrong_is_named_with_its_file_line_and_record() {
    let folder = tempfile::tempdir().unwrap();
    let (local, _) = journal(folder.path(), 5);
    drop(local);
    let path = &segments(folder.path())[1];
    let mut bytes = fs::read(path).unwrap();
    let second = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    bytes[second + 200] ^= 1;
    fs::write(path, &bytes).unwrap();
    let error = broken(audit(folder.path(), &[]));
    let first: u64 = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    assert_eq!((&error.file, error.line, error.record), (path, 2, first), "{error}");
    assert!(error.detail.contains("its hash doesn't fit its text"), "{error}");
}

#[test]
fn a_journal_that_is_written_anew_is_found_by_any_head_noted_before() {
    let folder = tempfile::tempdir().unwrap();
    let local = Local::open(folder.path()).unwrap();
    let heads: Vec<Head> = (0..4).map(|n| (write(&local, &format!("word {n}")), head(&local)).1).collect();
    drop(local);
    assert_eq!(audit(folder.path(), &heads).unwrap().seq, 4);
    let path = segments(folder.path()).remove(0);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, line::rehash(&text.replace("word 0", "ward 0"), true)).unwrap();
    let rewritten = audit(folder.path(), &[]).expect("alone it looks whole");
    assert_eq!(rewritten.seq, 4);
    for head in &heads {
        let error = broken(audit(folder.path(), std::slice::from_ref(head)));
        assert!(error.detail.contains("it was rewritten since"), "{error}");
        assert_eq!(error.record, head.seq);
    }
    // A snapshot that is changed changes what follows it, too.
    fs::write(&path, line::rehash(&text.replace("\"services\":{}", "\"services\": {}"), false)).unwrap();
    broken(audit(folder.path(), &heads[..1]));
}

/// Who changes one write and makes its own hash right again would have to change every later one.
#[test]
fn a_line_whose_own_hash_is_right_is_found_by_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let local = Local::open(folder.path()).unwrap();
    for n in 0..4 {
        write(&local, &format!("word {n}"));
    }
    drop(local);
    let path = segments(folder.path()).remove(0);
    let text = fs::read_to_string(&path).unwrap();
    let anew = String::from_utf8(line::rehash(&text.replace("word 1", "ward 1"), true)).unwrap();
    let lines = text.split_inclusive('\n').zip(anew.split_inclusive('\n'));
    let mixed: String = lines.map(|(was, is)| if is.contains("ward 1") { is } else { was }).collect();
    fs::write(&path, mixed).unwrap();
    let error = broken(audit(folder.path(), &[]));
    assert_eq!(error.record, 3, "the one behind it: {error}");
}

#[test]
fn an_end_that_is_cut_off_and_a_foreign_head_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let (local, heads) = journal(folder.path(), 6);
    drop(local);
    fs::remove_file(segments(folder.path()).pop().unwrap()).unwrap();
    let seq = audit(folder.path(), &[]).expect("alone it looks whole").seq;
    assert!(seq < 6 && heads.len() == 6);
    let ahead = Head { seq: 9, hash: heads[0].hash.clone() };
    assert!(broken(audit(folder.path(), &[ahead])).detail.contains("its end was cut off"));
    for path in &segments(folder.path())[..2] {
        fs::remove_file(path).unwrap();
    }
    let error = broken(audit(folder.path(), &[]));
    assert!(error.detail.contains("nothing says that Pointsman removed them"), "{error}");
    // Who moved them away and noted their last head can prove the rest.
    let first = error.record;
    audit(folder.path(), &heads[usize::try_from(first).unwrap() - 1..usize::try_from(first).unwrap()]).unwrap();
    assert!(broken(audit(folder.path(), &heads[..1])).detail.contains("proves nothing"));
}

#[test]
fn it_is_read_while_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (local, _) = journal(folder.path(), 1);
    let path = folder.path().to_owned();
    let reader = std::thread::spawn(move || {
        let mut looks = 0;
        loop {
            let found = audit(&path, &[]).unwrap();
            looks += 1;
            if found.seq >= 400 {
                return (looks, found.running);
            }
        }
    });
    let keep = Keep { age: None, bytes: SMALL * 10 };
    for n in 2..=400 {
        write(&local, &format!("record {n}"));
        if n % 50 == 0 {
            wait(local.retain(keep)).unwrap();
        }
    }
    let (looks, running) = reader.join().unwrap();
    assert!(looks > 1 && running, "{looks} {running}");
}

#[test]
fn retention_removes_whole_old_segments_and_records_their_last_head() {
    let folder = tempfile::tempdir().unwrap();
    let (local, heads) = journal(folder.path(), 12);
    let (before, state) = (segments(folder.path()).len(), local.state());
    assert!(before > 5);
    let none = Keep { age: Some(Duration::from_hours(1)), bytes: u64::MAX };
    assert_eq!(wait(local.retain(none)).unwrap(), None, "nothing is old enough");
    let record = wait(local.retain(Keep { age: None, bytes: 0 })).unwrap().expect("a record");
    let Change::Removed { removed } = &record.detail else { panic!("{record:?}") };
    // The two newest are kept, whatever they are; the record may have opened another one.
    let left = segments(folder.path()).len();
    assert!((2..=3).contains(&left), "{left} of {before}");
    assert_eq!(usize::try_from(removed.segments).unwrap(), before - 2);
    let first = local.condition().first;
    assert_eq!((removed.seq + 1, record.seq), (first, 13));
    assert!(heads.iter().any(|head| head.seq == removed.seq), "{removed:?}");
    assert_eq!(wait(local.records(0, 100)).unwrap()[0].seq, first);
    assert_eq!(wait(local.newest(u64::MAX, 1)).unwrap()[0].seq, 13);
    assert_eq!(local.state().services, state.services);
    let newest = head(&local);
    drop(local);
    let found = audit(folder.path(), &[newest, heads[11].clone()]).unwrap();
    assert_eq!((found.first, found.removed.as_ref()), (first, Some(removed)));
    // What is left is proven to continue what was removed: nobody removes more without being found out.
    fs::remove_file(segments(folder.path()).remove(0)).unwrap();
    let error = broken(audit(folder.path(), &[]));
    assert!(error.detail.contains(&format!("records {first} to")), "{error}");
    let reopened = Local::open_with(folder.path(), SMALL).unwrap();
    assert_eq!(write(&reopened, "more").seq, 14);
}

#[test]
fn what_a_crash_left_of_a_removal_goes_without_a_second_record() {
    let folder = tempfile::tempdir().unwrap();
    let (local, _) = journal(folder.path(), 12);
    let total = || segments(folder.path()).iter().map(|path| fs::metadata(path).unwrap().len()).sum::<u64>();
    let gone = segments(folder.path()).remove(0);
    let kept = fs::read(&gone).unwrap();
    let one = |total: u64| Keep { age: None, bytes: total - 1 };
    assert!(wait(local.retain(one(total()))).unwrap().is_some());
    let (others, end) = (segments(folder.path()), head(&local));
    assert!(!gone.exists());
    drop(local);
    fs::write(&gone, kept).unwrap();
    assert_eq!(audit(folder.path(), std::slice::from_ref(&end)).unwrap().first, 1, "not gone yet is no damage");
    let local = Local::open_with(folder.path(), SMALL).unwrap();
    assert_eq!((wait(local.retain(one(total()))).unwrap(), head(&local)), (None, end));
    assert_eq!(segments(folder.path()), others);
}

#[test]
fn a_journal_of_the_first_format_is_read_and_goes_on_in_this_one() {
    let folder = tempfile::tempdir().unwrap();
    let local = Local::open(folder.path()).unwrap();
    write(&local, "one");
    write(&local, "two");
    drop(local);
    let path = segments(folder.path()).remove(0);
    let text = fs::read_to_string(&path).unwrap().replace("\"format\":2", "\"format\":1");
    fs::write(&path, line::rehash(&text, false)).unwrap();
    let local = Local::open(folder.path()).unwrap();
    let before = head(&local);
    assert_eq!(wait(local.records(0, 9)).unwrap().len(), 2);
    let noise = "x".repeat(1 << 20);
    let heads: Vec<Head> = (0..3).map(|_| (write(&local, &noise), head(&local)).1).collect();
    drop(local);
    assert!(segments(folder.path()).len() > 1);
    let all: Vec<Head> = std::iter::once(before).chain(heads).collect();
    assert_eq!(audit(folder.path(), &all).unwrap().seq, 5);
    assert_eq!(Local::open(folder.path()).unwrap().condition().seq, 5);
}
