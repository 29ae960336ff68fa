//! What is read of a cluster so that it can be compared with another one: what applications rely on and no replication carries.
//!
//! Input: a cluster. Output: facts by name, with numbers of documents beside them. Long values appear as digests. What a product doesn't have
//! is no fact; what our login may not read is named. It never changes anything, and never reads a document.

use super::{cluster::Cluster, node::short};
use crate::model::{
    error::{Side, StoreError},
    observation::Fitness,
};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What the names of facts begin with.
pub(super) const INDEX: &str = "index ";
pub(super) const MAPPING: &str = "mapping of ";
pub(super) const SETTINGS: &str = "settings of ";
pub(super) const ALIAS: &str = "alias ";
pub(super) const STREAM: &str = "data stream ";
pub(super) const TEMPLATE: &str = "legacy template ";
pub(super) const INDEX_TEMPLATE: &str = "template ";
pub(super) const COMPONENT: &str = "component template ";
pub(super) const PIPELINE: &str = "ingest pipeline ";
pub(super) const SCRIPT: &str = "stored script ";
pub(super) const PLUGIN: &str = "plugin ";
pub(super) const API_KEY: &str = "API key ";
pub(super) const SETTING: &str = "setting ";
pub(super) const VERSION: &str = "version";

/// The longest description of all indices that is read, in bytes.
const MOST: usize = 32 << 20;
/// A longer value is kept as a digest only: that it differs can be told, and not where.
const LONGEST: usize = 16 << 10;
/// Settings of an index that applications feel; others say where and how its data lies.
const FELT: [&str; 12] = [
    "index.analysis.",
    "index.blocks.metadata",
    "index.blocks.read",
    "index.blocks.write",
    "index.default_pipeline",
    "index.final_pipeline",
    "index.mapping.",
    "index.max_",
    "index.query.",
    "index.refresh_interval",
    "index.similarity.",
    "index.sort.",
];
/// A block that a full disk sets and a free one lifts; probes see it.
const FLOODED: &str = "index.blocks.read_only_allow_delete";
/// Settings of a cluster that applications feel.
const CLUSTER_SETTINGS: [&str; 5] = [
    "action.auto_create_index",
    "action.destructive_requires_name",
    "http.max_content_length",
    "indices.query.bool.max_clause_count",
    "search.max_buckets",
];

/// Facts as they are read.
struct Reading<'a> {
    cluster: &'a Cluster,
    facts: BTreeMap<String, String>,
    counts: BTreeMap<String, u64>,
    missing: Vec<String>,
}

/// Reads a cluster's facts.
pub(super) async fn fitness(cluster: &Cluster) -> Result<Fitness, StoreError> {
    let (facts, counts, missing) = Default::default();
    let mut reading = Reading { cluster, facts, counts, missing };
    reading.server().await?;
    reading.indices().await?;
    reading.streams().await?;
    reading.templates().await?;
    reading.stored().await?;
    reading.settings().await?;
    reading.documents().await?;
    reading.api_keys().await?;
    let Reading { facts, counts, missing, .. } = reading;
    Ok(Fitness { facts: Arc::new(facts), missing_rights: missing, counts: Arc::new(counts) })
}

impl Reading<'_> {
    /// A JSON answer; nothing where the product doesn't know the question, or our login may not ask it, which is noted.
    async fn ask(&mut self, path: &str) -> Result<Option<Value>, StoreError> {
        let answer = self.cluster.get(path, MOST).await?;
        let error = |retryable, detail: String| StoreError {
            side: Side::Node,
            retryable,
            maybe_done: false,
            detail: format!("cluster {}: GET {}: {detail}", self.cluster.name, short(path)),
        };
        match answer.status {
            200 => answer.json().map(Some).map_err(|why| error(false, why.to_string())),
            403 => {
                self.missing.push(format!("GET {} is forbidden: {}", short(path), answer.refusal()));
                Ok(None)
            }
            400 | 404 | 405 | 410 => Ok(None),
            429 | 503 => Err(error(true, answer.refusal())),
            _ => Err(error(false, answer.refusal())),
        }
    }

    fn put(&mut self, kind: &str, name: &str, value: &Value) {
        self.facts.insert(format!("{kind}{name}"), kept(value));
    }

    async fn server(&mut self) -> Result<(), StoreError> {
        let root = self.ask("/").await?.unwrap_or_default();
        let flavour = root["version"]["distribution"].as_str().unwrap_or("elasticsearch").to_owned();
        let path = "/_nodes/plugins?filter_path=nodes.*.version,nodes.*.plugins.name";
        let body = self.ask(path).await?.unwrap_or_default();
        let nodes: Vec<&Value> = body["nodes"].as_object().into_iter().flat_map(Map::values).collect();
        let versions = nodes.iter().filter_map(|node| node["version"].as_str());
        let oldest = versions.min_by_key(|version| numbers(version)).or(root["version"]["number"].as_str());
        if let Some(oldest) = oldest {
            self.facts.insert(VERSION.into(), format!("{flavour} {oldest}"));
        }
        let plugins = |node: &Value| -> BTreeSet<String> {
            let plugins = node["plugins"].as_array().into_iter().flatten();
            plugins.filter_map(|plugin| Some(plugin["name"].as_str()?.to_owned())).collect()
        };
        // What one node lacks can't be relied on.
        let common =
            nodes.iter().map(|node| plugins(node)).reduce(|all, these| all.intersection(&these).cloned().collect());
        for plugin in common.unwrap_or_default() {
            self.put(PLUGIN, &plugin, &Value::Null);
        }
        Ok(())
    }

    async fn indices(&mut self) -> Result<(), StoreError> {
        let patterns = self.cluster.patterns();
        let options = "flat_settings=true&ignore_unavailable=true&allow_no_indices=true&expand_wildcards=open";
        let body = self.ask(&format!("/{patterns}?{options}")).await?.unwrap_or_default();
        let mut aliases: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
        for (name, index) in body.as_object().into_iter().flatten() {
            // An alias or a data stream that was asked for is answered by its indices, whatever they are called; those behind a data
            // stream have other names in each cluster.
            let asked = self.cluster.counts(name) || !name.starts_with('.');
            if !asked || name.starts_with(".ds-") {
                continue;
            }
            self.put(INDEX, name, &Value::Null);
            self.put(MAPPING, name, &index["mappings"]);
            self.put(SETTINGS, name, &felt(&index["settings"]));
            for (alias, definition) in index["aliases"].as_object().into_iter().flatten() {
                aliases.entry(alias.clone()).or_default().insert(name.clone(), definition.clone());
            }
        }
        for (alias, indices) in aliases {
            self.put(ALIAS, &alias, &Value::Object(indices));
        }
        Ok(())
    }

    async fn streams(&mut self) -> Result<(), StoreError> {
        let body = self.ask("/_data_stream").await?.unwrap_or_default();
        for stream in body["data_streams"].as_array().into_iter().flatten() {
            if let Some(name) = stream["name"].as_str().filter(|name| self.cluster.counts(name)) {
                self.put(STREAM, name, &Value::Null);
            }
        }
        Ok(())
    }

    async fn templates(&mut self) -> Result<(), StoreError> {
        let body = self.ask("/_template").await?.unwrap_or_default();
        for (name, template) in body.as_object().into_iter().flatten() {
            self.put_own(TEMPLATE, name, template);
        }
        let body = self.ask("/_index_template").await?.unwrap_or_default();
        for one in body["index_templates"].as_array().into_iter().flatten() {
            self.put_own(INDEX_TEMPLATE, one["name"].as_str().unwrap_or_default(), &one["index_template"]);
        }
        let body = self.ask("/_component_template").await?.unwrap_or_default();
        for one in body["component_templates"].as_array().into_iter().flatten() {
            self.put_own(COMPONENT, one["name"].as_str().unwrap_or_default(), &one["component_template"]);
        }
        Ok(())
    }

    async fn stored(&mut self) -> Result<(), StoreError> {
        let body = self.ask("/_ingest/pipeline").await?.unwrap_or_default();
        for (name, pipeline) in body.as_object().into_iter().flatten() {
            self.put_own(PIPELINE, name, pipeline);
        }
        let path = "/_cluster/state/metadata?local=true&filter_path=metadata.stored_scripts";
        let body = self.ask(path).await?.unwrap_or_default();
        for (name, script) in body["metadata"]["stored_scripts"].as_object().into_iter().flatten() {
            self.put_own(SCRIPT, name, script);
        }
        Ok(())
    }

    /// What the server or its extensions brought along differs with their version, and is theirs.
    fn put_own(&mut self, kind: &str, name: &str, value: &Value) {
        let managed = value["_meta"]["managed"].as_bool() == Some(true);
        if !managed && !name.starts_with('.') {
            self.put(kind, name, value);
        }
    }

    async fn settings(&mut self) -> Result<(), StoreError> {
        let wanted: Vec<String> = CLUSTER_SETTINGS.iter().map(|setting| format!("*.{setting}")).collect();
        let path = format!("/_cluster/settings?include_defaults=true&filter_path={}", wanted.join(","));
        let body = self.ask(&path).await?.unwrap_or_default();
        for setting in CLUSTER_SETTINGS {
            let at = |level: &str| body.pointer(&format!("/{level}/{}", setting.replace('.', "/")));
            if let Some(value) = at("transient").or_else(|| at("persistent")).or_else(|| at("defaults")) {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                self.facts.insert(format!("{SETTING}{setting}"), value);
            }
        }
        Ok(())
    }

    async fn documents(&mut self) -> Result<(), StoreError> {
        let options = "format=json&h=index,docs.count&expand_wildcards=open";
        let path = format!("/_cat/indices/{}?{options}", self.cluster.patterns());
        let body = self.ask(&path).await?.unwrap_or_default();
        for index in body.as_array().into_iter().flatten() {
            let count = index["docs.count"].as_str().and_then(|count| count.parse().ok());
            if let (Some(name), Some(count)) = (index["index"].as_str(), count)
                && self.facts.contains_key(&format!("{INDEX}{name}"))
            {
                self.counts.insert(name.to_owned(), count);
            }
        }
        Ok(())
    }

    /// Known only where the security of Elasticsearch is on and our login may list them: else nothing is said of them.
    async fn api_keys(&mut self) -> Result<(), StoreError> {
        let known = self.missing.len();
        let body = self.ask("/_security/api_key").await?.unwrap_or_default();
        self.missing.truncate(known);
        for key in body["api_keys"].as_array().into_iter().flatten() {
            if let (Some(id), Some(false)) = (key["id"].as_str(), key["invalidated"].as_bool()) {
                self.put(API_KEY, id, &key["name"]);
            }
        }
        Ok(())
    }
}

/// The settings that applications feel.
fn felt(settings: &Value) -> Value {
    let all = settings.as_object().into_iter().flatten();
    let felt = all.filter(|(name, _)| *name != FLOODED && FELT.iter().any(|prefix| name.starts_with(prefix)));
    Value::Object(felt.map(|(name, value)| (name.clone(), value.clone())).collect())
}

/// The value as text, in one order; a long one as a digest.
fn kept(value: &Value) -> String {
    let text = if value.is_null() { String::new() } else { value.to_string() };
    if text.len() <= LONGEST {
        return text;
    }
    let digest = Sha256::digest(&text);
    let first = digest.iter().take(6).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    format!("(digest {first:012x} of {} bytes)", text.len())
}

/// A version's numbers, to be compared.
pub(super) fn numbers(version: &str) -> Vec<u32> {
    version.split(['.', '-']).map_while(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_kept_in_one_order_and_long_ones_as_digests() {
        let text = kept(&serde_json::from_str(r#"{"b":1,"a":{"d":2,"c":3}}"#).unwrap());
        assert_eq!(text, r#"{"a":{"c":3,"d":2},"b":1}"#);
        let long = kept(&Value::String("x".repeat(LONGEST)));
        assert!(long.starts_with("(digest ") && long.len() < 60, "{long}");
    }

    #[test]
    fn only_settings_that_are_felt_count() {
        let all = json!({"index.uuid": "x", "index.number_of_replicas": "1", "index.max_result_window": "5",
            "index.blocks.read_only_allow_delete": "true", "index.blocks.write": "true"});
        assert_eq!(felt(&all), json!({"index.max_result_window": "5", "index.blocks.write": "true"}));
    }

    #[test]
    fn versions_are_compared_by_numbers() {
        assert!(numbers("7.10.2") > numbers("7.9.3") && numbers("8.0.0-beta1") < numbers("8.0.1"));
    }
}
