//! The page in a real Chromium: `page/check.py` drives it, one scenario a test. `make screens` writes the pictures of docs/screens.

mod common;
#[path = "page/rig.rs"]
mod rig;

use common::{mysql_server::MysqlServer, redis_server::RedisServer, search_server::SearchCluster};
use rig::{MARKUP, Rig};

/// 0 lines in the console, nothing asked for anywhere else, nothing serious found by axe, markup stays text, live within a second, lost
/// touch said and mended.
#[test]
fn it_is_clean_and_live_and_says_when_it_lost_touch() {
    require_server!("redis7");
    require_server!("browser");
    Rig::start(MARKUP).check("look");
}

/// From the first Tab to a completed switch without a mouse; a refusal says why; a broken connection neither doubles nor hides an order.
#[test]
fn orders_by_keyboard_only_act_once_and_tell_the_truth() {
    require_server!("redis7");
    require_server!("browser");
    Rig::start("").check("orders");
}

/// A primary that is killed is seen, with what it cost.
#[test]
fn a_failover_is_seen_with_its_cause_and_cost() {
    require_server!("redis7");
    require_server!("browser");
    Rig::start("").check("failover");
}

/// Over TCP: the page is open, its data isn't; a role says what is offered; a second person agrees.
#[test]
fn a_token_opens_it_and_a_second_person_agrees() {
    require_server!("redis7");
    require_server!("browser");
    Rig::start("require_approval = true\n").check("people");
}

/// A group is switched as one, a split one is said, a site is evacuated.
#[test]
fn a_group_and_a_site_are_switched_as_one() {
    require_server!("redis7");
    require_server!("browser");
    let stock = RedisServer::pair("redis7");
    Rig::beside(&rig::stock(&stock), "").check("groups");
}

/// Over TLS, with a token: live, an order, nothing asked for elsewhere.
#[test]
fn over_tls_it_is_the_same_page() {
    require_server!("redis7");
    require_server!("browser");
    let folder = tempfile::tempdir().expect("a folder");
    Rig::over_tls(folder.path()).check("tls");
}

/// Eight tabs hold one stream between them; each is live, and none is left behind when the one that holds it goes or hangs.
#[test]
fn all_tabs_of_a_browser_share_one_stream() {
    require_server!("redis7");
    require_server!("browser");
    Rig::start("").check("tabs");
}

/// What a screen reader is told: each control by a name, windows by their titles, changes once.
#[test]
fn a_screen_reader_hears_it() {
    require_server!("redis7");
    require_server!("browser");
    Rig::start("").check("heard");
}

#[test]
#[ignore = "make screens"]
fn pictures() {
    for component in ["redis7", "mysql9", "opensearch2", "browser"] {
        require_server!(component);
    }
    let (orders, search) = (MysqlServer::pair("mysql9"), SearchCluster::pair("opensearch2"));
    let others = rig::orders(&orders) + &rig::search(&search);
    Rig::beside(&others, "on_call = \"cache team, +86 10 0000 0000\"\n").check("pictures");
}
