//! Sets of transactions against a plain model of them, and against what servers write.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
const B: &str = "4350f323-7565-4e59-8763-4b1b83a0ce0e";

#[track_caller]
fn set(text: &str) -> Transactions {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn what_servers_write_is_read_and_written_again() {
    for text in [
        String::new(),
        format!("{A}:1-5"),
        format!("{A}:1-5:7:9-11,{B}:1"),
        format!("{A}:1-3:backup:1-2:9:zone_2:4"),
        format!("{A}:only_tagged:1-2,{B}:3"),
        "0-1-100".into(),
        "0-1-100,0-2-120,7-4294967295-18446744073709551615".into(),
        "0-1-101..105,0-1-107..107".into(),
    ] {
        assert_eq!(set(&text).to_string(), text);
    }
    let broken = format!(" {}:1-3 :\n 4-5 : 7-9 :8-12,\n{B}:1,{A}:6 ", A.to_uppercase());
    assert_eq!(set(&broken).to_string(), format!("{A}:1-12,{B}:1"));
    assert_eq!(set("0-1-0,,"), Transactions::default());
    assert_eq!(set(&format!("{}:1", A.replace('-', ""))).to_string(), format!("{A}:1"));
}

#[test]
fn nonsense_is_refused() {
    for text in [
        "x",
        "1",
        "0-1",
        "0-1-",
        "0-1--3",
        "0-1-+3",
        "0-1-5..3",
        "0-1-0..3",
        "4294967296-1-1",
        "0-1-18446744073709551616",
    ] {
        assert!(matches!(text.parse::<Transactions>(), Err(NotTransactions::Malformed(_))), "{text}");
    }
    for tail in [":0", ":5-3", ":-3", ":1-", ":9223372036854775807", ":two words:1", ":1x", "a:1"] {
        assert!(format!("{A}{tail}").parse::<Transactions>().is_err(), "{tail}");
    }
    assert!(format!("{A}:{}:1", "t".repeat(33)).parse::<Transactions>().is_err());
    let many: Vec<String> = (0..=MAX_INTERVALS).map(|n| (2 * n + 1).to_string()).collect();
    assert_eq!(format!("{A}:{}", many.join(":")).parse::<Transactions>(), Err(NotTransactions::TooMany));
}

#[test]
fn strays_of_a_killed_mysql_primary_are_named() {
    let (old, new) = (set(&format!("{A}:1-105")), set(&format!("{A}:1-100,{B}:1-30")));
    assert_eq!(old.subtract(&new).to_string(), format!("{A}:101-105"));
    assert_eq!(old.subtract(&new).count(), 5);
    assert!(!new.contains(&old) && new.contains(&set(&format!("{A}:1-100"))));
    assert_eq!(old.union(&new).to_string(), format!("{A}:1-105,{B}:1-30"));
}

#[test]
fn a_mariadb_position_is_a_line_of_history() {
    let (old, new) = (set("0-2-120,0-1-123"), set("0-2-120,0-1-100,0-3-130"));
    assert_eq!(old.subtract(&new).to_string(), "0-1-121..123", "up to 120 both are one");
    assert_eq!(old.subtract(&new).count(), 3);
    assert_eq!(set("0-1-90").subtract(&set("0-1-100")), Transactions::default());
    assert_eq!(set("0-1-100").subtract(&set("0-1-90")).to_string(), "0-1-91..100");
    // Set up from a copy: it never heard of server 1, and has what that wrote before server 2.
    assert!(set("0-2-120").contains(&set("0-1-100,0-2-120")));
    // It never heard of server 1, which wrote after what both have.
    assert_eq!(set("0-1-123,0-2-120").subtract(&set("0-2-120,0-3-130")).to_string(), "0-1-121..123");
    assert_eq!(set("0-1-100,0-2-120,1-1-7").count(), 127);
    assert_eq!(set("0-1-100,0-2-120,1-1-7").positions(), "0-2-120,1-1-7");
    assert!(!set("0-1-5").contains(&set("1-1-5")), "domains have nothing to do with each other");
}

#[test]
fn it_is_its_text_in_a_journal() {
    let whole = set(&format!("{A}:1-5:tag:2"));
    let json = serde_json::to_string(&whole).unwrap();
    assert_eq!(json, format!("\"{A}:1-5:tag:2\""));
    assert_eq!(serde_json::from_str::<Transactions>(&json).unwrap(), whole);
    assert!(serde_json::from_str::<Transactions>("\"nonsense\"").is_err());
}

/// Sets of small numbers of three sources, as pairs.
fn plain() -> impl Strategy<Value = BTreeSet<(u8, u64)>> {
    prop::collection::btree_set((0_u8..3, 1_u64..40), 0..60)
}

fn of(plain: &BTreeSet<(u8, u64)>) -> Transactions {
    let name = |source: u8| match source {
        0 => A.to_owned(),
        1 => format!("{A}:tag"),
        _ => B.to_owned(),
    };
    let text: Vec<String> = plain.iter().map(|(source, number)| format!("{}:{number}", name(*source))).collect();
    set(&text.join(","))
}

proptest! {
    #[test]
    fn sets_of_mysql_are_sets(a in plain(), b in plain()) {
        let (one, other) = (of(&a), of(&b));
        prop_assert_eq!(one.count(), a.len() as u64);
        prop_assert_eq!(one.union(&other), of(&a.union(&b).copied().collect()));
        prop_assert_eq!(one.subtract(&other), of(&a.difference(&b).copied().collect()));
        prop_assert_eq!(one.contains(&other), b.is_subset(&a));
        prop_assert_eq!(one.to_string().parse::<Transactions>(), Ok(one));
    }

    #[test]
    fn any_text_is_a_set_that_comes_back_or_an_error(text in "[0-9a-fx:,. -]{0,80}") {
        if let Ok(set) = text.parse::<Transactions>() {
            prop_assert_eq!(set.to_string().parse::<Transactions>(), Ok(set));
        }
    }

    #[test]
    fn a_line_of_history_holds_its_own_beginning(writers in prop::collection::vec(1_u32..4, 1..30), cut in 0_usize..30) {
        // Servers write one after the other along one domain; a standby has everything up to some point.
        let state = |writers: &[u32]| {
            let parts: Vec<String> = writers.iter().enumerate().map(|(n, server)| format!("0-{server}-{}", n + 1)).collect();
            set(&parts.join(","))
        };
        let cut = cut.min(writers.len());
        let (whole, part) = (state(&writers), state(&writers[..cut]));
        prop_assert!(whole.contains(&part));
        let missing = whole.subtract(&part);
        prop_assert_eq!(missing.is_empty(), cut == writers.len());
        prop_assert_eq!(whole.count() - part.count(), (writers.len() - cut) as u64);
    }
}
