//! The night before the sale: Redis, MySQL and OpenSearch behind one Pointsman, switched together by two people while applications work on
//! connections that they keep; a site is left, a primary dies, and the record is looked through afterwards.

mod common;
#[path = "approval/people.rs"]
mod people;

use common::{
    PATIENCE, Stop, holds_within,
    http::Http,
    instance::Pointsman,
    mysql_orders,
    mysql_server::{MysqlServer, PASSWORD, SHOP},
    ports::free_port,
    raw::{Raw, Reply},
    redis_server::RedisServer,
    search_server::{SEARCH_PATIENCE, SearchCluster},
    search_service, wait_for,
};
use mysql::prelude::Queryable;
use people::expect;
use serde_json::{Value, json};
use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread::{self, ScopedJoinHandle},
    time::{Duration, Instant},
};

const SERVICES: [&str; 3] = ["cart", "orders", "search"];
/// From one request of an application to its next.
const PACE: Duration = Duration::from_millis(3);
/// How many of its requests each application must get through to show that it goes on.
const PROGRESS: u64 = 20;

/// The stores and the Pointsman before them.
struct Shop {
    cart: (RedisServer, RedisServer),
    orders: (MysqlServer, MysqlServer),
    _search: (SearchCluster, SearchCluster),
    pointsman: Pointsman,
    /// In the order of [`SERVICES`].
    ports: [u16; 3],
}

impl Shop {
    /// Two of each, one in the site `east` and one in `west`; a switch of any needs a second person, and all are one group.
    #[track_caller]
    fn open() -> Self {
        let (orders, search) = thread::scope(|scope| {
            let search = scope.spawn(|| SearchCluster::pair("opensearch2"));
            (MysqlServer::pair("mysql9"), search.join().expect("two clusters"))
        });
        let cart = RedisServer::pair("redis7");
        orders.0.query("CREATE TABLE shop.orders (id BIGINT PRIMARY KEY AUTO_INCREMENT, n BIGINT NOT NULL)");
        search_service::fill(&search.0);
        search_service::fill(&search.1);
        let ports = [free_port(), free_port(), free_port()];
        let second = "require_approval = true\n";
        let of_cart = format!(
            "[services.cart]\nkind = \"redis\"\nlisten = [\"127.0.0.1:{}\"]\n{second}\
             [[services.cart.clusters]]\nname = \"main\"\nnodes = [\"{}\"]\n\
             [[services.cart.clusters]]\nname = \"spare\"\nnodes = [\"{}\"]\n",
            ports[0],
            cart.0.address(),
            cart.1.address()
        );
        let of_orders = mysql_orders::services(&orders.0, &orders.1, ports[1], second, "");
        let of_search = search_service::services(&search.0, &search.1, ports[2], second);
        let services = (of_cart + &of_orders + &of_search)
            .replace("name = \"main\"\n", "name = \"main\"\nsite = \"east\"\n")
            .replace("name = \"spare\"\n", "name = \"spare\"\nsite = \"west\"\n");
        let group = "[groups.sale]\nmembers = [\"orders\", \"cart\", \"search\"]\non_error = \"switch_back\"\n";
        let persons = people::tables(&[("ann", "operator"), ("ben", "operator"), ("bob", "approver")]);
        let mut pointsman = Pointsman::prepare(&(services + group + &persons)).environment("ORDERS_PASSWORD", PASSWORD);
        pointsman.launch();
        let shop = Self { cart, orders, _search: search, pointsman, ports };
        shop.ready();
        shop
    }

    #[track_caller]
    fn ready(&self) {
        for name in SERVICES {
            let mut last = Value::Null;
            let so = holds_within(SEARCH_PATIENCE, || {
                last = self.service(name);
                last["state"] == "steady" && last["switchover_ready"]["ready"] == true
            });
            assert!(so, "{name} is not ready: {last:#}\n{}", self.pointsman.log());
        }
    }

    fn service(&self, name: &str) -> Value {
        self.pointsman.api(&format!("/v1/services/{name}"), None).1
    }

    /// Where each of them is.
    fn routes(&self) -> [String; 3] {
        SERVICES.map(|name| self.service(name)["route"]["cluster"].as_str().unwrap_or_default().to_owned())
    }

    /// Orders as ann, which must wait, and agrees as bob; gives the operation, which must be done for so many members.
    #[track_caller]
    fn agreed(&self, order: &[&str], members: usize) -> Value {
        self.ready();
        let waiting = expect(&self.pointsman, "ann", order, 6);
        let id = waiting["id"].as_str().unwrap_or_else(|| panic!("{waiting}")).to_owned();
        assert_eq!(people::cli(&self.pointsman, "ann", &["approve", &id]).status.code(), Some(77), "not by herself");
        let done = expect(&self.pointsman, "bob", &["approve", &id], 0);
        let outcomes: Vec<_> = done["members"].as_array().expect("members").iter().map(|one| &one["outcome"]).collect();
        assert_eq!(outcomes, vec![&json!("done"); members], "{done}");
        done
    }
}

/// Applications that work until they are told to stop.
#[derive(Default)]
struct Work {
    stop: AtomicBool,
    /// Requests that were answered well, and the longest wait for one in microseconds, of each application.
    counts: [(AtomicU64, AtomicU64); 3],
}

impl Work {
    /// Asks again and again, until told to stop.
    fn go_on(&self, which: usize, mut ask: impl FnMut()) {
        let (done, longest) = &self.counts[which];
        while !self.stop.load(Relaxed) {
            let begun = Instant::now();
            ask();
            longest.fetch_max(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX), Relaxed);
            done.fetch_add(1, Relaxed);
            thread::park_timeout(PACE);
        }
    }

    /// Waits until each got through some more requests.
    #[track_caller]
    fn progress(&self) {
        let done = || self.counts.each_ref().map(|(done, _)| done.load(Relaxed));
        let before = done();
        wait_for("every application goes on", PATIENCE, || {
            done().iter().zip(before).all(|(now, before)| *now >= before + PROGRESS)
        });
    }
}

/// One application a store, each on one connection that must last: any error is the test's end.
fn applications<'scope, 'env>(
    scope: &'scope thread::Scope<'scope, 'env>,
    work: &'env Work,
    ports: [u16; 3],
) -> [ScopedJoinHandle<'scope, ()>; 3] {
    let cart = scope.spawn(move || {
        let (mut connection, mut count) = (Raw::connect(ports[0]), 0);
        work.go_on(0, || {
            count += 1;
            assert_eq!(connection.command(&["INCR", "sold"]), Reply::Integer(count), "each write is done once");
        });
    });
    let orders = scope.spawn(move || {
        let options = mysql::OptsBuilder::new().ip_or_hostname(Some("127.0.0.1")).tcp_port(ports[1]);
        let options = options.prefer_socket(false).read_timeout(Some(PATIENCE));
        let options = options.user(Some(SHOP)).pass(Some(PASSWORD)).db_name(Some("shop"));
        let (mut connection, mut count) = (mysql::Conn::new(options).expect("a login"), 0_u64);
        work.go_on(1, || {
            count += 1;
            connection.exec_drop("INSERT INTO orders (n) VALUES (?)", (count,)).expect("acknowledged");
        });
    });
    let search = scope.spawn(move || {
        let mut connection = Http::connect(&format!("127.0.0.1:{}", ports[2])).expect("a connection");
        work.go_on(2, || {
            let found = connection.call("GET", "/catalog/_count", "").expect("an answer").good();
            assert_eq!(found.json()["count"], search_service::CATALOG, "the whole catalogue");
        });
    });
    [cart, orders, search]
}

/// A switch of all three and the way back, while applications work; nobody notices more than a wait.
#[test]
fn three_kinds_of_stores_are_switched_together_and_nobody_loses_anything() {
    for component in ["redis7", "mysql9", "opensearch2"] {
        require_server!(component);
    }
    let (shop, work) = (Shop::open(), Work::default());
    let (pointsman, ports) = (&shop.pointsman, shop.ports);
    thread::scope(|scope| {
        let applications = applications(scope, &work, ports);
        let evening = Stop(&work.stop);
        work.progress();
        let dry = expect(pointsman, "ann", &["switchover", "sale", "--dry-run"], 0);
        assert_eq!(dry["members"].as_array().map(Vec::len), Some(3), "{dry}");
        assert_eq!(shop.routes(), ["main"; 3]);
        let done = shop.agreed(&["switchover", "sale", "--reason", "rehearsal for the sale", "--rehearsal"], 3);
        assert_eq!((&done["actor"], &done["approver"]), (&json!("ann"), &json!("bob")));
        assert_eq!(shop.routes(), ["spare"; 3]);
        for name in SERVICES {
            let practised = &shop.service(name)["practised"][0];
            assert_eq!((&practised["name"], &practised["rehearsal"]), (&json!("ann"), &json!(true)), "{name}");
        }
        work.progress();
        two_at_once(&shop);
        work.progress();
        shop.agreed(&["site", "evacuate", "west", "--reason", "a fire"], 3);
        assert_eq!(shop.routes(), ["main"; 3]);
        work.progress();
        drop(evening);
        for application in applications {
            application.join().expect("no application saw an error");
        }
    });
    let [cart, orders, search] =
        work.counts.each_ref().map(|(done, longest)| (done.load(Relaxed), longest.load(Relaxed)));
    println!("requests and longest wait in us: cart {cart:?}, orders {orders:?}, search {search:?}");
    assert_eq!(shop.cart.0.command(&["GET", "sold"]).text(), cart.0.to_string(), "every acknowledged write is there");
    assert_eq!(shop.orders.0.value("SELECT COUNT(*) FROM shop.orders"), orders.0.to_string());
    told_afterwards(&shop);
}

/// Two operators order the same: one order stands, the other one is told whose.
#[track_caller]
fn two_at_once(shop: &Shop) {
    shop.ready();
    let waiting = expect(&shop.pointsman, "ann", &["switchover", "sale"], 6);
    let refused = expect(&shop.pointsman, "ben", &["switchover", "sale"], 3).to_string();
    assert!(refused.contains("ann") && refused.contains(waiting["id"].as_str().expect("an id")), "{refused}");
    expect(&shop.pointsman, "ann", &["withdraw", waiting["id"].as_str().expect("an id")], 0);
    assert_eq!(shop.routes(), ["spare"; 3]);
}

/// What the journal, the timelines and the status say, and that nobody changed it.
#[track_caller]
fn told_afterwards(shop: &Shop) {
    let pointsman = &shop.pointsman;
    let history = pointsman.cli_expect(&["history", "sale"], 0);
    for words in ["ann", "bob", "rehearsal for the sale"] {
        assert!(history.contains(words), "{words} in:\n{history}");
    }
    for name in SERVICES {
        let timeline = pointsman.cli_expect(&["history", name, "--timeline"], 0);
        assert!(timeline.contains("ann") && timeline.contains("bob") && timeline.contains("a fire"), "{timeline}");
    }
    let (_, journal) = pointsman.api("/v1/journal?limit=1", None);
    let head = format!("{}:{}", journal["head"]["seq"], journal["head"]["hash"].as_str().expect("a hash"));
    let state = pointsman.folder().join("state").display().to_string();
    pointsman.cli_expect(&["audit", "verify", "--state-dir", &state, "--head", &head], 0);
}

/// A primary that dies takes nobody with it: its service is served elsewhere, the group is said to be split, and one order mends it.
#[test]
fn a_dead_primary_of_any_kind_drags_nobody_along() {
    for component in ["redis7", "mysql9", "opensearch2"] {
        require_server!(component);
    }
    let mut shop = Shop::open();
    shop.cart.0.kill();
    wait_for("cart is served elsewhere", PATIENCE, || shop.routes()[0] == "spare");
    shop.orders.0.kill();
    wait_for("orders are served elsewhere", PATIENCE, || shop.routes()[1] == "spare");
    assert_eq!(shop.routes()[2], "main");
    wait_for("the split is said", PATIENCE, || {
        shop.pointsman.cli_expect(&["status", "sale"], 0).contains("split: search in east, orders and cart in west")
    });
    let (cart, orders) = (shop.service("cart"), shop.service("orders"));
    for (name, service) in [("cart", cart), ("orders", orders)] {
        let timeline = shop.pointsman.cli_expect(&["history", name, "--timeline"], 0);
        assert!(timeline.contains("failover") && timeline.contains("promot"), "{timeline}\n{service}");
    }
    let order = ["switchover", "search", "--to", "spare", "--reason", "after the others"];
    let waiting = expect(&shop.pointsman, "ann", &order, 6);
    let done = expect(&shop.pointsman, "bob", &["approve", waiting["id"].as_str().expect("an id")], 0);
    assert_eq!(done["outcome"], "done", "{done}");
    wait_for("together again", PATIENCE, || {
        shop.pointsman.cli_expect(&["status", "sale"], 0).contains("group sale: together in west")
    });
}
