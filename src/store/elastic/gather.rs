//! Makes one observation of what the nodes of a cluster said.
//!
//! Input: what each node said, what is remembered of the cluster. Output: an observation whose peers are the nodes: the cluster lives if one
//! of them does. A node that belongs to another cluster than most, or lost its master while others have one, gets no requests. No I/O.

use super::{
    cluster::{Cluster, Memory, Probed},
    probe::{Said, View},
};
use crate::{
    config::Require,
    model::{
        observation::{Answer, Lineage, Observation, Part, Peer, Reach},
        view::Health,
    },
};
use std::time::Duration;

/// How many names are shown before a list is cut short.
const SHOWN: usize = 5;

impl Cluster {
    /// Makes one observation of what all nodes said.
    pub(super) fn gather(&self, probed: &[Probed<'_>]) -> Observation {
        let views = probed.iter().filter_map(|one| match &one.said {
            Said::Lives(view) => Some(view),
            _ => None,
        });
        let views: Vec<&View> = views.collect();
        let uuid = self.own_uuid(&views);
        let has_master = views.iter().any(|view| view.master && view.uuid == uuid);
        let peers: Vec<Peer> = probed.iter().map(|one| self.peer(one, &uuid, has_master)).collect();
        let lives = |one: &Probed<'_>| !matches!(one.said, Said::Failed(_));
        let reach = if probed.iter().any(lives) {
            let version = probed.iter().find(|one| lives(one)).map_or_else(String::new, |one| one.version.clone());
            let own = views.iter().find(|view| view.uuid == uuid && view.master).copied();
            Reach::Answered(Box::new(self.answer(uuid, version, own, &views)))
        } else {
            worst(probed)
        };
        Observation { reach, took: Duration::ZERO, peers }
    }

    /// The id of the cluster that most nodes are in; of several such, the one that it had before, or that comes first.
    fn own_uuid(&self, views: &[&View]) -> String {
        let count = |uuid: &str| views.iter().filter(|view| view.uuid == uuid).count();
        self.remembered(|memory| {
            let known = views.iter().filter(|view| !view.uuid.is_empty()).rev();
            let best = known.max_by_key(|view| (count(&view.uuid), view.uuid == memory.uuid));
            if let Some(best) = best {
                memory.uuid.clone_from(&best.uuid);
            }
            // Nodes that have found no cluster yet, or only say that they are busy, leave it what it was.
            memory.uuid.clone()
        })
    }

    /// A node that isn't up gets no requests as long as another one is. Down is only who doesn't answer: what is on its way to a node that is
    /// alive, and unfit for another reason, is waited for.
    fn peer(&self, one: &Probed<'_>, uuid: &str, has_master: bool) -> Peer {
        let (health, note) = match &one.said {
            Said::Lives(view) if is_foreign(view, uuid) => {
                (Health::Unknown, format!("belongs to another cluster (cluster_uuid {})", view.uuid))
            }
            Said::Lives(view) if !view.master && has_master => {
                (Health::Unknown, "has lost its cluster: no master".into())
            }
            Said::Lives(view) if !view.master => (Health::Unknown, "has no master".into()),
            Said::Lives(_) => (one.health, String::new()),
            Said::Busy => (one.health, "is overloaded (429)".into()),
            Said::Failed(reach @ Reach::Rejected(_)) => (Health::Unknown, in_words(reach)),
            Said::Failed(reach) => (one.health, in_words(reach)),
        };
        one.node.peer(&self.name, health, &one.version, note)
    }

    fn answer(&self, uuid: String, version: String, own: Option<&View>, views: &[&View]) -> Answer {
        let writable = own.is_some_and(|view| view.recovered && view.blocks.is_empty());
        let (unfit, note) = self.remembered(|memory| {
            let unfit = self.unfit(own, views, &uuid, memory);
            let status = memory.status.as_ref().map_or_else(String::new, |status| status.words.clone());
            // What the state falls short of is said with it.
            let told = unfit.iter().any(|why| why.starts_with(&status));
            (unfit.join("; "), if told { String::new() } else { status })
        });
        Answer {
            run_id: uuid,
            version,
            part: Part::Primary { standbys: Vec::new() },
            writable,
            loading: false,
            fenced: false,
            lineage: Lineage::default(),
            received: 0,
            applied: 0,
            items: 0,
            priority: 100,
            other_managers: Vec::new(),
            yields: false,
            heartbeat: None,
            self_fence: None,
            sick: String::new(),
            unfit,
            note,
        }
    }

    /// Why the route may not be moved here.
    fn unfit(&self, own: Option<&View>, views: &[&View], uuid: &str, memory: &Memory) -> Vec<String> {
        let mut why = Vec::new();
        if views.iter().any(|view| is_foreign(view, uuid)) {
            why.push("its nodes belong to different clusters".to_owned());
        }
        match own {
            None if views.is_empty() => why.push("is overloaded (429)".into()),
            None => why.push("has no master".into()),
            Some(view) if !view.recovered => why.push("has not recovered its state yet".into()),
            Some(view) => why.extend(view.blocks.iter().map(|block| format!("takes no writes: {block}"))),
        }
        let needed = self.search.require;
        match (&memory.status, &memory.unknown) {
            _ if own.is_none() => {}
            (_, (unknown, times)) if *times >= self.limits.fall => {
                why.push(format!("its state can't be told: {unknown}"));
            }
            (None, (unknown, _)) => {
                why.push(format!("its state isn't known yet: {unknown}").trim_end_matches([':', ' ']).to_owned());
            }
            (Some(status), _) if status.status < needed => {
                why.push(format!("{}, and the service requires {}", status.words, word(needed)));
            }
            (Some(_), _) => {}
        }
        let flooded: Vec<&str> = memory.flooded.iter().filter(|index| self.counts(index)).map(String::as_str).collect();
        if !flooded.is_empty() {
            why.push(format!("a disk is full (flood stage): no writes into {}", some(&flooded)));
        }
        why
    }
}

fn is_foreign(view: &View, uuid: &str) -> bool {
    !view.uuid.is_empty() && view.uuid != uuid
}

/// What the failures of all nodes prove together: a node that turns us away lives, and only if all refuse does nobody listen.
fn worst(probed: &[Probed<'_>]) -> Reach {
    let reaches = probed.iter().filter_map(|one| match &one.said {
        Said::Failed(reach) => Some((one, reach)),
        _ => None,
    });
    let rank = |reach: &Reach| match reach {
        Reach::Answered(_) | Reach::Rejected(_) => 3,
        Reach::Silent => 2,
        Reach::Unreachable(_) => 1,
        Reach::Refused => 0,
    };
    let worst = reaches.rev().max_by_key(|(_, reach)| rank(reach));
    match worst {
        Some((one, Reach::Rejected(why))) => Reach::Rejected(format!("{}: {why}", one.node.address)),
        Some((one, Reach::Unreachable(why))) => Reach::Unreachable(format!("{}: {why}", one.node.address)),
        Some((_, reach)) => reach.clone(),
        None => Reach::Unreachable("it has no nodes".into()),
    }
}

fn in_words(reach: &Reach) -> String {
    match reach {
        Reach::Answered(_) => String::new(),
        Reach::Refused => "refuses connections".into(),
        Reach::Silent => "gives no answer".into(),
        Reach::Unreachable(why) => format!("can't be reached ({why})"),
        Reach::Rejected(why) => format!("turns us away ({why})"),
    }
}

/// The first names of a list, and how many more there are.
pub(super) fn some(names: &[&str]) -> String {
    let shown = names.get(..SHOWN.min(names.len())).unwrap_or_default().join(", ");
    if names.len() > SHOWN { format!("{shown} and {} more", names.len() - SHOWN) } else { shown }
}

fn word(require: Require) -> &'static str {
    match require {
        Require::Red => "red",
        Require::Yellow => "yellow",
        Require::Green => "green",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config, store::elastic::probe::Status};
    use std::path::Path;

    fn cluster(require: &str) -> Cluster {
        let text = format!(
            "[services.s]\nkind = \"elasticsearch\"\nlisten = \"127.0.0.1:1\"\nrequire = \"{require}\"\n\
             clusters = [{{ name = \"a\", nodes = [\"a:1\", \"a:2\", \"a:3\"] }}, {{ name = \"b\", nodes = \"b:1\" }}]\n"
        );
        let loaded = config::load_bytes("x", text.as_bytes(), Path::new("/"), config::Options { secrets: false });
        let service = loaded.config.expect("valid").services.remove(0);
        Cluster::new(&service.clusters[0], &service, None)
    }

    fn view(uuid: &str, master: bool) -> Said {
        Said::Lives(View { uuid: uuid.into(), master, recovered: true, blocks: Vec::new() })
    }

    fn gathered(cluster: &Cluster, said: Vec<Said>) -> Observation {
        let probed = cluster.nodes.iter().zip(said).map(|(node, said)| {
            let health = if matches!(said, Said::Failed(_)) { Health::Down } else { Health::Up };
            Probed { node, said, health, version: "7.10.2".into() }
        });
        cluster.gather(&probed.collect::<Vec<_>>())
    }

    fn learn(cluster: &Cluster, status: Require, words: &str) {
        cluster.remembered(|memory| memory.status = Some(Status { status, words: words.into() }));
    }

    fn unfit(seen: &Observation) -> &str {
        &seen.answer().expect("it answers").unfit
    }

    #[test]
    fn one_living_node_is_a_living_cluster_and_the_dead_are_left_out() {
        let cluster = cluster("yellow");
        learn(&cluster, Require::Yellow, "yellow: 1 shards are unassigned");
        let seen = gathered(&cluster, vec![Said::Failed(Reach::Refused), Said::Failed(Reach::Silent), view("u", true)]);
        let answer = seen.answer().expect("it lives");
        assert_eq!((answer.run_id.as_str(), answer.writable, answer.unfit.as_str()), ("u", true, ""));
        assert_eq!(answer.note, "yellow: 1 shards are unassigned");
        let notes: Vec<&str> = seen.peers.iter().map(|peer| peer.note.as_str()).collect();
        assert_eq!(notes, ["refuses connections", "gives no answer", ""]);
        let health: Vec<Health> = seen.peers.iter().map(|peer| peer.health).collect();
        assert_eq!(health, [Health::Down, Health::Down, Health::Up]);
    }

    #[test]
    fn what_the_failures_of_all_nodes_prove() {
        let cluster = cluster("yellow");
        let failed = |reaches: [Reach; 3]| gathered(&cluster, reaches.into_iter().map(Said::Failed).collect()).reach;
        let lost = || Reach::Unreachable("no route".into());
        let away = || Reach::Rejected("TLS".into());
        assert_eq!(failed([Reach::Refused, Reach::Refused, Reach::Refused]), Reach::Refused);
        assert_eq!(failed([Reach::Refused, Reach::Silent, lost()]), Reach::Silent);
        assert_eq!(failed([Reach::Refused, lost(), Reach::Refused]), Reach::Unreachable("a:2: no route".into()));
        assert_eq!(failed([Reach::Silent, Reach::Refused, away()]), Reach::Rejected("a:3: TLS".into()));
    }

    #[test]
    fn a_state_below_what_is_required_is_unfit() {
        let cluster = cluster("green");
        let all = || vec![view("u", true), view("u", true), view("u", true)];
        assert_eq!(unfit(&gathered(&cluster, all())), "its state isn't known yet");
        learn(&cluster, Require::Yellow, "yellow: 2 shards are unassigned");
        let expected = "yellow: 2 shards are unassigned, and the service requires green";
        assert_eq!(unfit(&gathered(&cluster, all())), expected);
        learn(&cluster, Require::Green, "");
        assert_eq!(unfit(&gathered(&cluster, all())), "");
    }

    #[test]
    fn a_master_that_is_silent_makes_the_state_unknown_after_a_while() {
        let cluster = cluster("yellow");
        learn(&cluster, Require::Green, "");
        let all = || vec![view("u", true), view("u", true), Said::Failed(Reach::Silent)];
        cluster.remembered(|memory| memory.unknown = ("its master gives no answer".into(), 2));
        assert_eq!(unfit(&gathered(&cluster, all())), "");
        cluster.remembered(|memory| memory.unknown.1 = 3);
        assert_eq!(unfit(&gathered(&cluster, all())), "its state can't be told: its master gives no answer");
    }

    #[test]
    fn a_node_that_lost_its_master_is_left_out_unless_all_have() {
        let cluster = cluster("yellow");
        learn(&cluster, Require::Green, "");
        let seen = gathered(&cluster, vec![view("u", true), view("u", false), view("u", true)]);
        assert_eq!((seen.peers[1].health, unfit(&seen)), (Health::Unknown, ""));
        let seen = gathered(&cluster, vec![view("u", false), view("u", false), Said::Failed(Reach::Refused)]);
        assert_eq!((seen.peers[1].health, unfit(&seen)), (Health::Unknown, "has no master"));
        assert!(!seen.answer().expect("it lives").writable);
        let seen = gathered(&cluster, vec![view("", false), view("", false), view("", false)]);
        assert_eq!(seen.answer().expect("it lives").run_id, "u", "its id is remembered");
    }

    #[test]
    fn a_node_of_another_cluster_is_left_out_and_said() {
        let cluster = cluster("red");
        learn(&cluster, Require::Green, "");
        let seen = gathered(&cluster, vec![view("other", true), view("u", true), view("u", true)]);
        assert_eq!((seen.peers[0].health, seen.peers[1].health), (Health::Unknown, Health::Up));
        assert_eq!(seen.answer().expect("it lives").run_id, "u");
        assert_eq!(unfit(&seen), "its nodes belong to different clusters");
    }

    #[test]
    fn blocks_and_full_disks_are_unfit_and_overload_is_life() {
        let cluster = cluster("yellow");
        learn(&cluster, Require::Green, "");
        let blocks = vec!["cluster read-only (api)".into()];
        let blocked = Said::Lives(View { uuid: "u".into(), master: true, recovered: true, blocks });
        let seen = gathered(&cluster, vec![blocked]);
        assert_eq!(unfit(&seen), "takes no writes: cluster read-only (api)");
        let forming = Said::Lives(View { uuid: "u".into(), master: true, recovered: false, blocks: Vec::new() });
        assert_eq!(unfit(&gathered(&cluster, vec![forming])), "has not recovered its state yet");
        cluster.remembered(|memory| memory.flooded = vec![".own".into(), "orders".into()]);
        let seen = gathered(&cluster, vec![view("u", true)]);
        assert_eq!(unfit(&seen), "a disk is full (flood stage): no writes into orders");
        assert!(seen.answer().expect("it lives").writable);
        assert_eq!(
            unfit(&gathered(&cluster, vec![Said::Busy, Said::Busy])).split(';').next(),
            Some("is overloaded (429)")
        );
    }
}
