//! Every member's guards, before anything changes: dry runs of what would be ordered.
//!
//! Inputs: the members, where they are to go. Outputs: each member's route, epoch and target, and every guard that refuses. It changes
//! nothing.

use super::{
    GroupOrder, Of, To,
    show::{place, routed},
};
use crate::{
    config::{Cluster, Config, Service},
    control::handle::{Handle, OrderReply},
    model::{
        group::{GroupKind, GroupMember, GroupOperation},
        guard::{Guard, Refusal},
        name::{ClusterName, ServiceName},
        operation::{Command, Order, Outcome, Terms},
        route::Epoch,
    },
};
use futures_util::future::join_all;
use std::{sync::Arc, time::Duration};

/// What the members were found to be.
pub(super) struct Judged {
    pub(super) members: Vec<GroupMember>,
    pub(super) refusals: Vec<Refusal>,
}

impl Judged {
    /// Services that only move together stay together, where a guard refuses one of them; each says why.
    fn stays(&mut self) {
        let Some(first) = self.refusals.first() else { return };
        let why = format!("{}: {}", first.name.as_str(), first.detail);
        for member in &mut self.members {
            if !member.stays() {
                (member.outcome, member.detail) = (Some(Outcome::Refused), why.clone());
            }
        }
    }
}

/// Asks the members' guards.
pub(super) struct Judge<'h> {
    pub(super) handle: &'h Handle,
    pub(super) config: Arc<Config>,
    pub(super) terms: Terms,
    /// A real switch waits for sessions that can't move; a dry run names them.
    pub(super) dry_run: bool,
}

/// The members that an order is for, or in words why there are none.
pub(super) fn members(handle: &Handle, config: &Config, order: &GroupOrder) -> Result<Vec<ServiceName>, String> {
    match &order.of {
        Of::Group(name) => {
            let group = config.group(name).ok_or_else(|| format!("no group {name}"))?;
            let services = || group.members.iter().filter_map(|name| config.service(name.as_str()));
            if let To::Cluster(to) = &order.to
                && let Some(without) = services().find(|service| service.cluster(to.as_str()).is_none())
            {
                return Err(format!("{} of the group {name} has no cluster {to}", without.name));
            }
            if let To::Site(to) = &order.to
                && let Some(without) = services().find(|service| service.clusters.iter().all(|c| c.site != *to))
            {
                return Err(format!("{} of the group {name} has no cluster in the site {to}", without.name));
            }
            Ok(group.members.clone())
        }
        Of::Site(name) => {
            if config.services.iter().flat_map(|service| &service.clusters).all(|cluster| cluster.site != *name) {
                return Err(format!("no cluster is in a site {name}"));
            }
            let there = |svc: &ServiceName| {
                let view = handle.service(svc)?;
                let cluster = config.service(svc.as_str())?.cluster(routed(&view)?.as_str())?;
                (cluster.site == *name).then_some(())
            };
            // Groups keep their own order, and are left one after the other.
            let grouped = config.groups.iter().flat_map(|group| &group.members);
            let alone =
                config.services.iter().map(|service| &service.name).filter(|name| config.group_of(name).is_none());
            Ok(grouped.chain(alone).filter(|svc| there(svc).is_some()).cloned().collect())
        }
    }
}

impl Judge<'_> {
    /// A switch of all members: every guard of each, for the first place in which none refuses, else for the first place.
    pub(super) async fn switch(&self, members: &[ServiceName], order: &GroupOrder) -> Judged {
        match &order.of {
            Of::Group(_) => self.together(members, &order.to, None).await,
            Of::Site(site) => {
                let mut all = Judged { members: Vec::new(), refusals: Vec::new() };
                for unit in self.units(members) {
                    let mut judged = self.together(&unit, &To::Any, Some(site)).await;
                    if order.partial {
                        judged.stays();
                    }
                    all.members.extend(judged.members);
                    all.refusals.extend(judged.refusals);
                }
                if order.partial && all.members.iter().any(|member| !member.stays()) {
                    all.refusals.clear();
                }
                all
            }
        }
    }

    /// Services of one group stay together; each other one is a unit of its own.
    fn units(&self, members: &[ServiceName]) -> Vec<Vec<ServiceName>> {
        let mut units: Vec<Vec<ServiceName>> = Vec::new();
        for svc in members {
            let group = self.config.group_of(svc);
            let same = |unit: &&mut Vec<ServiceName>| {
                group.is_some_and(|group| unit.iter().any(|other| group.members.contains(other)))
            };
            match units.iter_mut().find(same) {
                Some(unit) => unit.push(svc.clone()),
                None => units.push(vec![svc.clone()]),
            }
        }
        units
    }

    async fn together(&self, members: &[ServiceName], to: &To, away: Option<&str>) -> Judged {
        let mut first = None;
        for place in self.places(members, to, away) {
            let judged = self.at(members, &place).await;
            if judged.refusals.is_empty() {
                return judged;
            }
            first.get_or_insert(judged);
        }
        first.unwrap_or_else(|| {
            let of = members.iter().map(ServiceName::as_str).collect::<Vec<_>>().join(" and ");
            let words = format!("{of}: there is no other place in which each has a cluster");
            let members = members.iter().map(|svc| self.member(svc, None)).collect();
            Judged { members, refusals: vec![Refusal::new(Guard::Eligible, words)] }
        })
    }

    /// Where the members could go, the best first: where others of their group are already, then the first member's order.
    fn places(&self, members: &[ServiceName], to: &To, away: Option<&str>) -> Vec<To> {
        if *to != To::Any {
            return vec![to.clone()];
        }
        let service = |svc: &ServiceName| self.config.service(svc.as_str());
        let here = |svc: &ServiceName| {
            let view = self.handle.service(svc)?;
            place(&self.config, &view).map(ToOwned::to_owned)
        };
        let all_at = |place: &str| members.iter().all(|svc| here(svc).as_deref() == Some(place));
        let has = |service: &Service, place: &str| service.clusters.iter().any(|cluster| cluster.place() == place);
        let first = members.first();
        let group = first.and_then(|svc| self.config.group_of(svc)).filter(|_| away.is_some());
        let others = group.into_iter().flat_map(|group| &group.members).filter(|svc| !members.contains(svc));
        let others = others.filter_map(here);
        let own = first.and_then(service).into_iter().flat_map(|service| &service.clusters);
        let mut places: Vec<String> = Vec::new();
        for place in others.chain(own.map(|cluster| cluster.place().to_owned())) {
            let common = members.iter().filter_map(service).all(|service| has(service, &place));
            let there = away.map_or_else(|| all_at(&place), |site| site == place);
            if common && !there && !places.contains(&place) {
                places.push(place);
            }
        }
        places.into_iter().map(To::Site).collect()
    }

    async fn at(&self, members: &[ServiceName], to: &To) -> Judged {
        let all = join_all(members.iter().map(|svc| self.one(svc, to))).await;
        let (members, refusals): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        Judged { members, refusals: refusals.into_iter().flatten().collect() }
    }

    /// One member: its first cluster there that is let through, else the first one's refusals.
    async fn one(&self, svc: &ServiceName, to: &To) -> (GroupMember, Vec<Refusal>) {
        let fits = |cluster: &&Cluster| match to {
            To::Any => true,
            To::Cluster(name) => cluster.name == *name,
            To::Site(place) => cluster.place() == place,
        };
        let clusters = self.config.service(svc.as_str()).into_iter().flat_map(|service| &service.clusters);
        let mut first = None;
        for cluster in clusters.filter(fits) {
            let (member, refusals) = self.dry(svc, &cluster.name, None).await;
            if refusals.is_empty() {
                return (member, refusals);
            }
            first.get_or_insert((member, refusals));
        }
        first.unwrap_or_else(|| {
            let refusal = Refusal::new(Guard::Eligible, format!("{svc}: no cluster there"));
            (self.member(svc, None), vec![refusal])
        })
    }

    /// What was asked for, again: the same clusters, from the same epochs.
    pub(super) async fn again(&self, operation: &GroupOperation) -> Judged {
        let moving = operation.members.iter().map(|member| async {
            match &member.to {
                Some(to) if !member.stays() => self.dry(&member.svc, to, Some(member.epoch)).await,
                _ => (member.clone(), Vec::new()),
            }
        });
        let (members, refusals): (Vec<_>, Vec<_>) = join_all(moving).await.into_iter().unzip();
        Judged { members, refusals: refusals.into_iter().flatten().collect() }
    }

    /// Asks the member's core.
    async fn dry(&self, svc: &ServiceName, to: &ClusterName, epoch: Option<Epoch>) -> (GroupMember, Vec<Refusal>) {
        let mut member = self.member(svc, Some(to.clone()));
        let command = Command::Switchover {
            to: Some(to.clone()),
            dry_run: true,
            cut_sessions: self.terms.cut_sessions,
            timeout: Duration::from_millis(self.terms.timeout_ms),
        };
        let overrides = self.terms.overrides.clone();
        let order = Order { if_epoch: epoch, overrides, ..Order::new(command, "pointsman", "") };
        let mut refusals = match self.handle.order(svc, order, None, None).await {
            OrderReply::Ended(found) => {
                member.epoch = found.epoch_before;
                member.from = found.from;
                // Of one that would be let through the guards are those that were passed by name.
                if found.outcome == Outcome::Done { Vec::new() } else { found.guards }
            }
            _ => vec![Refusal::new(Guard::Busy, "no answer in time")],
        };
        let passed = |refusal: &Refusal| {
            let waits = refusal.name == Guard::Sessions && !self.dry_run;
            waits || self.terms.overrides.contains(&refusal.name)
        };
        // Where nothing else is left, it is one that no override passes.
        if refusals.iter().any(|refusal| !passed(refusal)) || refusals.iter().all(|r| r.name == Guard::Sessions) {
            refusals.retain(|refusal| !passed(refusal));
        }
        if member.from.as_ref() == Some(to) {
            // Being there is enough, but not for a second person who agreed to another beginning.
            refusals.retain(|refusal| refusal.name == Guard::Epoch);
            if refusals.is_empty() {
                (member.outcome, member.detail) = (Some(Outcome::Done), "there already".into());
            }
        }
        let words: Vec<_> =
            refusals.iter().map(|refusal| format!("{}: {}", refusal.name.as_str(), refusal.detail)).collect();
        if !words.is_empty() {
            (member.outcome, member.detail) = (Some(Outcome::Refused), words.join("; "));
        }
        let named = |refusal: Refusal| Refusal::new(refusal.name, format!("{svc}: {}", refusal.detail));
        (member, refusals.into_iter().map(named).collect())
    }

    /// A member as it stands.
    pub(super) fn member(&self, svc: &ServiceName, to: Option<ClusterName>) -> GroupMember {
        let view = self.handle.service(svc);
        GroupMember {
            svc: svc.clone(),
            operation: None,
            outcome: None,
            from: view.as_ref().and_then(routed),
            to,
            epoch: view.map_or(Epoch::default(), |view| view.epoch),
            detail: String::new(),
        }
    }

    /// For how long the strictest member lets a switch wait for a second person; nothing where none asks for one.
    pub(super) fn waits(&self, members: &[GroupMember], kind: &GroupKind) -> Option<Duration> {
        let moves = |member: &&GroupMember| member.from != member.to && !member.stays();
        let moving = members.iter().filter(moves).filter(|_| *kind == GroupKind::Switchover);
        let services = moving.filter_map(|member| self.config.service(member.svc.as_str()));
        let waits = services.filter(|service| service.approval.required).map(|service| service.approval.timeout).min();
        waits.filter(|_| !self.terms.overrides.contains(&Guard::Approval))
    }
}
