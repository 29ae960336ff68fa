//! Orders on a service of two search clusters, from the command line: what status shows, what a dry run lists, a planned switch there and
//! back, reloads that change a cluster's nodes, and a failover that lands in reads only.

mod common;

use common::http::{self, Answer};
use common::instance::Pointsman;
use common::ports::free_port;
use common::search_server::{SEARCH_PATIENCE, SearchCluster};
use common::wait_for;
use serde_json::{Value, json};

struct Scene {
    main: SearchCluster,
    spare: SearchCluster,
    pointsman: Pointsman,
    port: u16,
}

fn services(port: u16, main: &str, spare: &str) -> String {
    format!(
        "[services.search]\nkind = \"elasticsearch\"\nlisten = \"127.0.0.1:{port}\"\n\
         [services.search.health]\ninterval = \"100ms\"\ntimeout = \"1s\"\nfall = 2\n\
         [[services.search.clusters]]\nname = \"main\"\nnodes = {main}\n\
         [[services.search.clusters]]\nname = \"spare\"\nnodes = {spare}\n"
    )
}

impl Scene {
    /// Two nodes, a spare one, and a Pointsman that is ready to switch.
    fn start(component: &str) -> Self {
        let (main, spare) = std::thread::scope(|scope| {
            let spare = scope.spawn(|| SearchCluster::start(component, 1));
            (SearchCluster::start(component, 2), spare.join().expect("the spare cluster"))
        });
        let port = free_port();
        let pointsman = Pointsman::start(&services(port, &main.toml(), &spare.toml()));
        let scene = Self { main, spare, pointsman, port };
        scene.wait("it is ready", |service| service["switchover_ready"]["ready"] == true);
        scene
    }

    fn status(&self) -> Value {
        self.pointsman.api("/v1/services/search", None).1
    }

    #[track_caller]
    fn wait(&self, what: &str, condition: impl Fn(&Value) -> bool) {
        wait_for(what, SEARCH_PATIENCE, || condition(&self.status()));
    }

    #[track_caller]
    fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        http::call(&format!("127.0.0.1:{}", self.port), method, path, body).expect("an answer")
    }

    /// Which cluster answers through the listener.
    #[track_caller]
    fn answers(&self) -> String {
        self.call("GET", "/", "").good().json()["cluster_uuid"].as_str().expect("an id").to_owned()
    }

    fn reload(&self, main: &str) -> (u16, Value) {
        self.pointsman.write_services(&services(self.port, main, &self.spare.toml()));
        self.pointsman.api("/v1/reload", Some(&serde_json::json!({})))
    }
}

fn uuid(cluster: &SearchCluster) -> String {
    cluster.identity()["cluster_uuid"].as_str().expect("an id").to_owned()
}

/// What a command that is refused says.
#[track_caller]
fn refused(pointsman: &Pointsman, arguments: &[&str]) -> String {
    let output = pointsman.cli(arguments);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

#[test]
fn a_service_of_search_clusters_is_switched_reloaded_and_saved() {
    require_server!("opensearch2");
    let mut scene = Scene::start("opensearch2");
    let (main, spare) = (uuid(&scene.main), uuid(&scene.spare));
    shown(&scene);
    planned(&scene, &main, &spare);
    reloaded(&scene, &main);
    checked(&scene);

    scene.main.kill_all();
    scene.wait("the spare cluster serves", |service| service["route"]["cluster"] == "spare");
    assert_eq!(scene.status()["mode"], "read_only");
    assert_eq!(scene.answers(), spare);
    let blocked = scene.call("PUT", "/late/_doc/1", "{}");
    assert_eq!((blocked.status, blocked.json()["error"]["type"].as_str()), (403, Some("cluster_block_exception")));
    let (_, journal) = scene.pointsman.api("/v1/journal?kind=operation", None);
    assert!(journal.to_string().contains("the clusters are independent"), "{journal}");
    scene.pointsman.cli_expect(&["mode", "search", "open"], 0);
    assert_eq!(scene.call("PUT", "/late/_doc/1", "{}").status, 201);
}

fn shown(scene: &Scene) {
    let status = scene.status();
    let nodes = status["clusters"][0]["nodes"].as_array().expect("nodes").clone();
    let addresses: Vec<&str> = nodes.iter().filter_map(|node| node["address"].as_str()).collect();
    assert_eq!(addresses, [scene.main.address(0), scene.main.address(1)]);
    assert!(nodes.iter().all(|node| node["health"] == "up" && node["role"] == "primary"), "{status}");
    assert_eq!((&status["state"], &status["clusters"][1]["role"]), (&"steady".into(), &"standby".into()));
    assert_eq!(status["route"]["node"], scene.main.address(0));
}

fn planned(scene: &Scene, main: &str, spare: &str) {
    let pointsman = &scene.pointsman;
    assert_eq!(scene.answers(), *main);
    scene.call("PUT", "/orders", r#"{"settings":{"number_of_replicas":0}}"#).good();
    scene.call("PUT", "/orders/_doc/1?refresh=true", r#"{"n":1}"#).good();
    let listed = refused(pointsman, &["switchover", "search", "--dry-run"]);
    assert!(listed.contains("difference: index orders: the target has none"), "{listed}");
    assert!(listed.contains("documents: orders 1 -> 0"), "{listed}");
    let said = refused(pointsman, &["switchover", "search"]);
    assert!(said.contains("--accept-difference"), "{said}");
    pointsman.cli_expect(&["switchover", "search", "--accept-difference"], 0);
    assert_eq!(scene.answers(), *spare);
    let (_, journal) = pointsman.api("/v1/journal?kind=override", None);
    let guard = &journal["records"][0]["detail"]["guard"];
    assert_eq!((&guard["name"], &guard["detail"]), (&json!("difference"), &json!("index orders: the target has none")));
    // What only the target has is no difference.
    pointsman.cli_expect(&["switchover", "search", "--to", "main"], 0);
    assert_eq!(scene.answers(), *main);
}

fn reloaded(scene: &Scene, main: &str) {
    let before = scene.status()["epoch"].as_u64().expect("an epoch");
    let (first, second) = (scene.main.address(0), scene.main.address(1));
    let (status, body) = scene.reload(&format!("[{second:?}, {first:?}]"));
    assert_eq!(status, 200, "{body}");
    let at = |node: &str, epoch: u64| {
        let node = node.to_owned();
        move |service: &Value| service["route"]["node"] == node.as_str() && service["epoch"] == epoch
    };
    scene.wait("the route names the new first node", at(&second, before + 1));
    assert_eq!(scene.reload(&format!("[{first:?}]")).0, 200);
    scene.wait("the route names the only node", at(&first, before + 2));
    assert_eq!(scene.answers(), *main);
    assert_eq!(scene.status()["clusters"][0]["nodes"].as_array().map(Vec::len), Some(1));
    assert_eq!(scene.reload(&scene.main.toml()).0, 200);
    scene.wait("both are shown", |service| service["clusters"][0]["nodes"][1]["health"] == "up");
    assert_eq!(scene.status()["epoch"], before + 2);
}

fn checked(scene: &Scene) {
    let file = scene.pointsman.config_file().display().to_string();
    let said = scene.pointsman.cli_expect(&["check", "--connect", &file], 0);
    assert!(said.contains("2 of its nodes can be the master"), "{said}");
}
