//! The journal against crashes at every byte, damage, rotation, a second opener, and a full disk.

use super::{Local, OpenErrorKind, audit, line, writer::SEGMENT};
use crate::{
    coord::Coordinator,
    model::{
        operation::{Operation, Outcome},
        record::{Change, Draft, Record, RecordKind},
        route::{Epoch, Mode, Route, Target},
        state::{Silenced, State},
    },
};
use jiff::Timestamp;
use proptest::prelude::*;
use std::{fs, path::Path, path::PathBuf, process::Command};

fn draft(svc: &str, change: Change) -> Draft {
    Draft {
        svc: Some(svc.into()),
        kind: RecordKind::Decision,
        actor: "uid:0".into(),
        reason: "test".into(),
        epoch: None,
        change,
    }
}

fn routed(epoch: u64) -> Draft {
    let target = Target { cluster: "main".into(), node: "10.0.0.5:6379".into() };
    draft("cart", Change::Routed { route: Route { epoch: Epoch(epoch), mode: Mode::Open, target: Some(target) } })
}

fn noted(bytes: usize) -> Draft {
    draft("cart", Change::Noted { text: "x".repeat(bytes) })
}

fn write(journal: &Local, drafts: Vec<Draft>) -> Vec<Record> {
    wait(journal.append(drafts)).unwrap()
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn head(journal: &Local) -> (u64, String) {
    let condition = journal.condition();
    (condition.seq, condition.hash)
}

fn all(journal: &Local) -> Vec<Record> {
    wait(journal.records(0, usize::MAX)).unwrap()
}

fn fold(records: &[Record]) -> State {
    let mut state = State::default();
    for record in records {
        state.apply(record);
    }
    state
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder.join("journal"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    paths.sort();
    paths
}

/// Where the last line of the text ends, before the zeros.
fn text_end(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |end| end + 1)
}

#[test]
fn what_was_written_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Local::open(folder.path()).unwrap();
    let first = write(&journal, vec![routed(1), noted(3)]);
    assert_eq!(first.iter().map(|record| record.seq).collect::<Vec<_>>(), [1, 2]);
    write(&journal, vec![routed(2)]);
    let (state, end, records) = (journal.state(), head(&journal), all(&journal));
    assert_eq!((end.0, records.len()), (3, 3));
    assert_eq!(*state, fold(&records));
    drop(journal);
    let journal = Local::open(folder.path()).unwrap();
    assert_eq!((journal.state(), head(&journal), all(&journal)), (state, end.clone(), records));
    assert_eq!(wait(journal.records(1, 1)).unwrap()[0].seq, 2);
    drop(journal);
    assert_eq!(audit(folder.path(), &[]).unwrap().hash, end.1);
}

#[test]
fn a_folder_is_open_once() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Local::open(folder.path()).unwrap();
    assert_eq!(Local::open(folder.path()).err().unwrap().kind, OpenErrorKind::Locked);
    drop(journal);
    Local::open(folder.path()).unwrap();
}

#[test]
fn a_write_torn_at_any_byte_is_dropped_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Local::open(folder.path()).unwrap();
    write(&journal, vec![routed(1)]);
    let before = journal.state();
    drop(journal);
    let path = segments(folder.path()).remove(0);
    let short = fs::read(&path).unwrap();
    let start = text_end(&short);
    let journal = Local::open(folder.path()).unwrap();
    write(&journal, vec![routed(2), noted(10)]);
    drop(journal);
    let whole = fs::read(&path).unwrap();
    let end = text_end(&whole);
    for cut in start + 1..end {
        let mut torn = whole.clone();
        torn[cut..].fill(0);
        fs::write(&path, &torn).unwrap();
        let journal = Local::open(folder.path()).unwrap();
        assert_eq!(journal.state(), before, "cut at {cut}");
        let last = all(&journal).pop().unwrap();
        assert_eq!(last.seq, 2);
        assert!(matches!(&last.detail, Change::Noted { text } if text.contains("were dropped")), "{last:?}");
        write(&journal, vec![routed(3)]);
        drop(journal);
        assert_eq!(audit(folder.path(), &[]).unwrap().seq, 3);
    }
}

#[test]
fn any_other_damage_is_refused_with_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Local::open(folder.path()).unwrap();
    for epoch in 1..4 {
        write(&journal, vec![routed(epoch)]);
    }
    drop(journal);
    let path = segments(folder.path()).remove(0);
    let whole = fs::read(&path).unwrap();
    let lines: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] == b'\n').collect();
    let damage = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        fs::write(&path, &bytes).unwrap();
        let error = Local::open(folder.path()).err().unwrap();
        assert_eq!((error.kind, &error.file), (OpenErrorKind::Broken, &path), "{error}");
        error.line
    };
    assert_eq!(damage(&|bytes| bytes[lines[0] - 20] ^= 1), 1, "the header");
    assert_eq!(damage(&|bytes| bytes[lines[1] + 30] ^= 1), 3, "a hash");
    assert_eq!(damage(&|bytes| bytes[lines[3] - 20] ^= 1), 4, "the last line, whole and wrong, was not torn");
    assert_eq!(
        damage(&|bytes| bytes[lines[3]] ^= 1),
        4,
        "a whole line's changed end was not torn: the line isn't dropped"
    );
    assert_eq!(damage(&|bytes| bytes[lines[1] - 5] = 0), 2, "a hole before whole lines is no torn end");
    assert_eq!(damage(&|bytes| drop(bytes.drain(lines[0] + 1..=lines[1]))), 2, "a line is missing");
    fs::write(&path, &whole).unwrap();
    Local::open(folder.path()).unwrap();
}

#[test]
fn records_of_a_newer_version_are_kept_skipped_and_counted_and_a_newer_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Local::open(folder.path()).unwrap();
    write(&journal, vec![routed(1)]);
    let hash = head(&journal).1;
    drop(journal);
    let path = segments(folder.path()).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    let end = text_end(&bytes);
    let mut record = serde_json::to_value(Record {
        seq: 2,
        time: Timestamp::UNIX_EPOCH,
        svc: None,
        kind: RecordKind::Decision,
        actor: String::new(),
        reason: String::new(),
        epoch: None,
        detail: Change::Resumed,
    })
    .unwrap();
    record["detail"]["what"] = "teleported".into();
    let newer = line::of_raw(&hash, serde_json::to_string(&[record]).unwrap().as_bytes());
    bytes[end..end + newer.len()].copy_from_slice(&newer);
    fs::write(&path, &bytes).unwrap();
    let journal = Local::open(folder.path()).unwrap();
    assert_eq!((journal.skipped(), head(&journal).0, all(&journal).len()), (1, 2, 1));
    assert_eq!(write(&journal, vec![routed(2)])[0].seq, 3);
    drop(journal);
    let text = fs::read_to_string(&path).unwrap().replace("\"format\":2", "\"format\":3");
    fs::write(&path, line::rehash(&text, true)).unwrap();
    assert_eq!(Local::open(folder.path()).err().unwrap().kind, OpenErrorKind::Format);
}

#[test]
fn segments_rotate_with_a_snapshot_and_damage_in_an_old_one_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Local::open(folder.path()).unwrap();
    for epoch in 1..=40 {
        write(&journal, vec![routed(epoch), noted(100_000)]);
    }
    write(&journal, vec![noted(3 << 20)]);
    let records = all(&journal);
    assert_eq!(records.len(), 81);
    assert!(segments(folder.path()).len() >= 4);
    let state = journal.state();
    assert_eq!(*state, fold(&records));
    drop(journal);
    let journal = Local::open(folder.path()).unwrap();
    assert_eq!(journal.state(), state);
    assert_eq!(wait(journal.records(60, 2)).unwrap().iter().map(|r| r.seq).collect::<Vec<_>>(), [61, 62]);
    drop(journal);
    let old = segments(folder.path()).remove(0);
    let bytes = fs::read(&old).unwrap();
    let mut damaged = bytes.clone();
    damaged[text_end(&bytes) - 50] ^= 1;
    fs::write(&old, &damaged).unwrap();
    assert_eq!(Local::open(folder.path()).err().unwrap().file, old);
    // What is moved away is no history any more, and nothing that a start needs; an audit tells that it is gone.
    fs::remove_file(&old).unwrap();
    assert_eq!(Local::open(folder.path()).unwrap().state(), state);
}

#[test]
fn appends_of_many_tasks_share_the_disk_and_keep_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Local::open(folder.path()).unwrap();
    let written = wait(async {
        let appends: Vec<_> = (1..=200).map(|epoch| journal.append(vec![routed(epoch), noted(1)])).collect();
        futures_util::future::join_all(appends).await
    });
    let numbers: Vec<u64> = written.into_iter().flat_map(|records| records.unwrap()).map(|r| r.seq).collect();
    assert_eq!(numbers, (1..=400).collect::<Vec<_>>());
    assert_eq!(journal.state().services[&"cart".into()].route.epoch, Epoch(200));
}

/// A real full disk: a small tmpfs in a mount namespace of its own, in a child process. Where that isn't allowed, the test
/// says that it was skipped.
#[test]
fn a_full_disk_is_an_error_and_no_record_and_ends_when_there_is_room_again() {
    const INNER: &str = "POINTSMAN_TEST_FULL_DISK";
    if let Some(folder) = std::env::var_os(INNER) {
        return full_disk(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let mount = "mount -t tmpfs -o size=3m none \"$1\" || exit 99; exec \"$2\" --exact \"$3\"";
    let name = "coord::local::tests::a_full_disk_is_an_error_and_no_record_and_ends_when_there_is_room_again";
    let child = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"])
        .arg(folder.path())
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .env(INNER, folder.path())
        .output();
    match child {
        Ok(output) if output.status.success() => {
            assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
        }
        Ok(output) if output.status.code() == Some(101) => panic!("{}", String::from_utf8_lossy(&output.stdout)),
        other => eprintln!("skipped: no mount namespace here: {other:?}"),
    }
}

fn full_disk(folder: &Path) {
    let journal = Local::open(folder).unwrap();
    fs::write(folder.join("filler"), vec![1; usize::try_from(SEGMENT).unwrap() * 3 / 2]).unwrap();
    let mut written = 0;
    let error = loop {
        match wait(journal.append(vec![noted(100_000)])) {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 100, "the disk never fills");
    };
    assert!(error.detail.to_lowercase().contains("no space"), "{}", error.detail);
    assert_eq!(all(&journal).len(), written);
    assert_eq!(head(&journal).0, written as u64);
    fs::remove_file(folder.join("filler")).unwrap();
    write(&journal, vec![routed(9)]);
    let state = journal.state();
    drop(journal);
    assert_eq!(Local::open(folder).unwrap().state(), state);
}

fn operation(id: u64, outcome: Outcome) -> Operation {
    Operation {
        epoch_before: Epoch(id),
        epoch_after: Some(Epoch(id + 2)),
        outcome,
        ..Operation::begun(format!("cart-{id}"), "cart", "switchover")
    }
}

fn any_change() -> impl Strategy<Value = Change> {
    let node = || prop_oneof![Just("a:1"), Just("b:1")];
    prop_oneof![
        (0..20_u64, prop::sample::select(Mode::ALL.to_vec()))
            .prop_map(|(epoch, mode)| Change::Routed { route: Route { epoch: Epoch(epoch), mode, target: None } }),
        node().prop_map(|node| Change::FenceIntended { node: node.into() }),
        (node(), any::<u64>()).prop_map(|(node, position)| Change::Fenced {
            node: node.into(),
            saved: Some("1".into()),
            position
        }),
        node().prop_map(|node| Change::Unfenced { node: node.into() }),
        node().prop_map(|node| Change::Parked { node: node.into(), of: "c:1".into(), position: 7 }),
        node().prop_map(|node| Change::Unparked { node: node.into() }),
        node().prop_map(|node| Change::Silenced {
            silenced: Silenced { node: node.into(), attached: 2, standbys: 1, lag_seconds: 10, received: 0 }
        }),
        (node(), 0..9_u64).prop_map(|(node, id)| Change::Departed {
            node: node.into(),
            id: format!("cart-{id}").as_str().into(),
            lineage: "l".into(),
            position: id,
            held: 11
        }),
        (0..9_u64).prop_map(|id| Change::Began {
            operation: Box::new(operation(id, Outcome::Running)),
            from: None,
            to: None
        }),
        (0..9_u64).prop_map(|id| Change::Ended { operation: Box::new(operation(id, Outcome::Done)) }),
        (0..9_u64).prop_map(|id| Change::Keyed { key: format!("k{id}"), request: "r".into(), id: "cart-1".into() }),
        Just(Change::Drained { cluster: "main".into() }),
        Just(Change::Restored { cluster: "main".into() }),
        Just(Change::Resumed),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Wherever a snapshot is taken, it and the records after it fold to what all records fold to.
    #[test]
    fn a_snapshot_and_its_tail_fold_to_the_same_state(
        changes in prop::collection::vec((any_change(), prop_oneof![Just("cart"), Just("orders")]), 1..60),
        padding in prop_oneof![Just(0_usize), Just(60_000)],
    ) {
        let folder = tempfile::tempdir().unwrap();
        let journal = Local::open(folder.path()).unwrap();
        for (change, svc) in changes {
            write(&journal, vec![draft(svc, change), noted(padding)]);
        }
        let records = all(&journal);
        let state = journal.state();
        prop_assert_eq!(&*state, &fold(&records));
        drop(journal);
        prop_assert_eq!(Local::open(folder.path()).unwrap().state(), state);
    }
}
