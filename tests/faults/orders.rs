//! Planned switches: one under everything an application does, and two at once.

use crate::{
    load::{Load, WRITERS},
    rig::wait_role,
    scene::{a_server, ready, servers},
};
use serde_json::json;
use std::sync::Barrier;

/// There and back under writers, transactions, watches, pipelines, queues and subscribers.
pub fn under_load() -> String {
    let nodes = servers(a_server, 1);
    let rig = ready(&nodes, "");
    let load = Load::everything(rig.port);
    load.progress(20);
    let mut stalls = Vec::new();
    for (to, server) in [("b", &nodes[1]), ("a", &nodes[0])] {
        rig.wait_ready();
        load.longest_wait();
        let operation = rig.switch(to);
        load.progress(20);
        wait_role(server, "master");
        stalls.push(format!(
            "{:.0} ms ({} us the longest request)",
            operation["client_stall_ms"].as_f64().unwrap_or(f64::NAN),
            load.longest_wait().as_micros()
        ));
    }
    let requests = load.finish(nodes[0].port());
    format!(
        "{WRITERS} writers and 10 others, {requests} requests, 0 errors, 0 lost, 0 twice; stalls {}",
        stalls.join(", ")
    )
}

/// Two orders in the same moment: one is carried out, the other hears that it is busy.
pub fn two_at_once() -> String {
    let nodes = servers(a_server, 2);
    let rig = ready(&nodes, "");
    let load = Load::everything(rig.port);
    load.progress(10);
    let (mut rounds, mut conflicts) = (0, 0);
    let mut routed = "a".to_owned();
    while conflicts < 3 {
        rounds += 1;
        assert!(rounds <= 20, "orders of the same moment never met: {conflicts} of {rounds}");
        rig.wait_ready();
        let others: Vec<_> = ["a", "b", "c"].into_iter().filter(|name| *name != routed).collect();
        let start = Barrier::new(2);
        let order = |to: &str| {
            start.wait();
            rig.pointsman.api("/v1/services/cart/switchover", Some(&json!({"to": to, "reason": "at once"})))
        };
        let answers = std::thread::scope(|scope| {
            let orders = [scope.spawn(|| order(others[0])), scope.spawn(|| order(others[1]))];
            orders.map(|order| order.join().expect("an answer"))
        });
        let mut codes = answers.each_ref().map(|(code, _)| *code);
        codes.sort_unstable();
        // One that came late was done too, or refused since the standby had not found the new primary yet.
        assert!(codes[0] == 200 && [200, 409, 422].contains(&codes[1]), "{answers:#?}");
        conflicts += u32::from(codes[1] == 409);
        rig.service()["route"]["cluster"].as_str().expect("a route").clone_into(&mut routed);
        if codes[1] == 409 {
            let won = usize::from(answers[0].0 != 200);
            assert_eq!(routed, others[won], "the one that won is where the route is");
        }
    }
    load.progress(10);
    let at = ["a", "b", "c"].iter().position(|name| *name == routed).expect("a cluster");
    load.finish(nodes[at].port());
    format!("{rounds} pairs of orders, {conflicts} met: 200 for one, 409 for the other; 0 client errors")
}
