//! Names each difference between the routed cluster and a target that applications would feel after a switch.
//!
//! Input: the facts of both. Output: refusals, one a difference, with where it lies. What only the target has is named where it changes what
//! applications create (templates), and nowhere else. No I/O.

use super::fitness::{
    ALIAS, API_KEY, COMPONENT, INDEX, INDEX_TEMPLATE, MAPPING, PIPELINE, PLUGIN, SCRIPT, SETTING, SETTINGS, STREAM,
    TEMPLATE, VERSION, numbers,
};
use super::gather::some;
use crate::model::{
    guard::{Guard, Refusal},
    observation::Fitness,
};
use serde_json::Value;
use std::collections::BTreeMap;

type Facts = BTreeMap<String, String>;

/// How many differences of one sort are named one by one.
const NAMED: usize = 20;

/// Kinds of facts of which the target must have each that the routed cluster has, described alike.
const KINDS: [&str; 11] =
    [INDEX, MAPPING, SETTINGS, ALIAS, STREAM, TEMPLATE, INDEX_TEMPLATE, COMPONENT, PIPELINE, SCRIPT, PLUGIN];
/// Of these one that only the target has is felt too.
const EXACT: [&str; 2] = [TEMPLATE, INDEX_TEMPLATE];

/// Each difference.
pub(super) fn compare(routed: &Fitness, target: &Fitness) -> Vec<Refusal> {
    let mut found = Vec::new();
    for (whose, fitness) in [("routed cluster", routed), ("target", target)] {
        found
            .extend(fitness.missing_rights.iter().map(|right| format!("not all of the {whose} was compared: {right}")));
    }
    let (ours, theirs) = (&*routed.facts, &*target.facts);
    found.extend(version(ours, theirs));
    for kind in KINDS {
        let mut differences = differences(kind, ours, theirs);
        let more = differences.len().saturating_sub(NAMED);
        differences.truncate(NAMED);
        found.extend(differences);
        if more > 0 {
            found.push(format!("{kind}...: {more} more differences"));
        }
    }
    for (name, value) in of_kind(SETTING, ours) {
        if let Some(other) = theirs.get(name).filter(|other| *other != value) {
            found.push(format!("{name}: the routed cluster has {value:?}, the target {other:?}"));
        }
    }
    found.extend(api_keys(ours, theirs));
    found.into_iter().map(|detail| Refusal::new(Guard::Difference, detail)).collect()
}

fn of_kind<'a>(kind: &'a str, facts: &'a Facts) -> impl Iterator<Item = (&'a String, &'a String)> {
    facts.range(kind.to_owned()..).take_while(move |(name, _)| name.starts_with(kind))
}

fn differences(kind: &str, ours: &Facts, theirs: &Facts) -> Vec<String> {
    let mut found = Vec::new();
    for (name, value) in of_kind(kind, ours) {
        match theirs.get(name) {
            Some(other) if other == value => {}
            Some(other) => found.push(format!("{name} differs: {}", where_it_differs(value, other))),
            // That the index is missing says it all.
            None if matches!(kind, MAPPING | SETTINGS) => {}
            None => found.push(format!("{name}: the target has none")),
        }
    }
    if EXACT.contains(&kind) {
        let only = of_kind(kind, theirs).filter(|(name, _)| !ours.contains_key(*name));
        found.extend(only.map(|(name, _)| format!("{name}: only the target has it")));
    }
    found
}

/// Another product, or an older version by its first two numbers.
fn version(ours: &Facts, theirs: &Facts) -> Option<String> {
    let (ours, theirs) = (ours.get(VERSION)?, theirs.get(VERSION)?);
    let (product, number) = ours.split_once(' ')?;
    let (other, candidate) = theirs.split_once(' ')?;
    let first = |version: &str| numbers(version).into_iter().take(2).collect::<Vec<_>>();
    let differs = product != other || first(candidate) < first(number);
    differs.then(|| format!("version: the routed cluster has {ours}, the target {theirs}"))
}

fn api_keys(ours: &Facts, theirs: &Facts) -> Option<String> {
    let unknown = of_kind(API_KEY, ours).filter(|(name, _)| !theirs.contains_key(*name));
    let names: Vec<&str> = unknown.map(|(_, name)| name.trim_matches('"')).collect();
    let words = || format!("the target doesn't know {} API keys, whose owners get 401: {}", names.len(), some(&names));
    (!names.is_empty()).then(words)
}

/// The first place in which two values differ, with both values.
fn where_it_differs(ours: &str, theirs: &str) -> String {
    let parsed = |text: &str| serde_json::from_str::<Value>(text).ok();
    match (parsed(ours), parsed(theirs)) {
        (Some(ours), Some(theirs)) => first_difference("", Some(&ours), Some(&theirs)).unwrap_or_default(),
        _ => format!("{} in the routed cluster, {} in the target", cut(ours), cut(theirs)),
    }
}

fn first_difference(path: &str, ours: Option<&Value>, theirs: Option<&Value>) -> Option<String> {
    if ours == theirs {
        return None;
    }
    if let (Some(Value::Object(a)), Some(Value::Object(b))) = (ours, theirs) {
        let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
        let mut places = keys.map(|key| {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            first_difference(&path, a.get(key), b.get(key))
        });
        return places.find_map(|place| place);
    }
    let shown = |value: Option<&Value>| value.map_or_else(|| "nothing".into(), |value| cut(&value.to_string()));
    Some(format!("{path} is {} in the routed cluster, {} in the target", shown(ours), shown(theirs)))
}

fn cut(text: &str) -> String {
    let cut: String = text.chars().take(80).collect();
    if cut.len() < text.len() { format!("{cut}...") } else { cut }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn details(ours: &[(&str, &str)], theirs: &[(&str, &str)]) -> Vec<String> {
        let fitness = |facts: &[(&str, &str)]| Fitness {
            facts: Arc::new(facts.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()),
            ..Fitness::default()
        };
        compare(&fitness(ours), &fitness(theirs)).into_iter().map(|refusal| refusal.detail).collect()
    }

    #[test]
    fn a_missing_index_is_named_once_and_one_more_is_none_of_our_business() {
        let ours = [("index a", ""), ("mapping of a", "{}"), ("settings of a", "{}")];
        assert_eq!(details(&ours, &[]), ["index a: the target has none"]);
        assert!(details(&[], &ours).is_empty());
    }

    #[test]
    fn a_mapping_is_compared_to_the_field() {
        let ours = [("mapping of a", r#"{"properties":{"n":{"type":"text"},"p":{"type":"long"}}}"#)];
        let theirs = [("mapping of a", r#"{"properties":{"n":{"type":"text"},"p":{"type":"double"}}}"#)];
        let expected =
            "mapping of a differs: properties.p.type is \"long\" in the routed cluster, \"double\" in the target";
        assert_eq!(details(&ours, &theirs), [expected]);
        let digests = details(&[("mapping of a", "(digest 1)")], &[("mapping of a", "(digest 2)")]);
        assert_eq!(digests, ["mapping of a differs: (digest 1) in the routed cluster, (digest 2) in the target"]);
    }

    #[test]
    fn templates_differ_in_both_directions() {
        let found = details(&[("legacy template a", "{}")], &[("legacy template b", "{}")]);
        assert_eq!(found, ["legacy template a: the target has none", "legacy template b: only the target has it"]);
        assert_eq!(details(&[], &[("template b", "{}")]), ["template b: only the target has it"]);
        assert!(details(&[], &[("component template b", "{}")]).is_empty());
    }

    #[test]
    fn an_older_target_and_another_product_are_named() {
        assert_eq!(details(&[("version", "opensearch 2.19.1")], &[("version", "opensearch 2.9.0")]).len(), 1);
        assert!(details(&[("version", "opensearch 2.19.1")], &[("version", "opensearch 3.3.0")]).is_empty());
        assert_eq!(details(&[("version", "elasticsearch 7.10.2")], &[("version", "opensearch 2.19.1")]).len(), 1);
    }

    #[test]
    fn api_keys_are_counted_and_settings_compared() {
        let ours = [("API key 1", "\"shop\""), ("API key 2", "\"crawler\""), ("setting search.max_buckets", "65535")];
        let found = details(&ours, &[("API key 2", "\"crawler\""), ("setting search.max_buckets", "10000")]);
        assert_eq!(
            found,
            [
                r#"setting search.max_buckets: the routed cluster has "65535", the target "10000""#,
                "the target doesn't know 1 API keys, whose owners get 401: shop",
            ]
        );
    }

    #[test]
    fn many_differences_are_cut_short() {
        let names: Vec<String> = (0..50).map(|n| format!("index i-{n:02}")).collect();
        let ours: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
        let found = details(&ours, &[]);
        assert_eq!((found.len(), found.last().map(String::as_str)), (21, Some("index ...: 30 more differences")));
    }
}
