//! A killed primary that returns with transactions nobody else has, and its way back, as an operator goes it: what `pointsman rebuild` prints is
//! run as it stands, on a terminal, while Pointsman guards the service.

mod common;

use common::instance::program;
use common::mysql_orders::Orders;
use common::mysql_server::{MysqlServer, PASSWORD, rows};
use common::{PATIENCE, servers_folder, terminal, wait_for};
use mysql::prelude::Queryable;

/// Who is asked for on the screen: root has no password here.
fn password(command: &str, line: &str) -> Option<String> {
    let asked = line.to_lowercase().contains("password:");
    asked.then(|| if command.contains("--user=repl") { PASSWORD.to_owned() } else { String::new() })
}

fn run(component: &str, command: &str) -> terminal::Shown {
    // What an operator has to fill in, and nothing else.
    let command = command.replace("PASSWORD-OF-repl", PASSWORD);
    let ours = program().parent().expect("a folder").to_owned();
    terminal::run(&command, &[servers_folder().join(component), ours], |line| password(&command, line))
}

fn rebuilt(component: &str) {
    let (mut main, spare) = MysqlServer::pair(component);
    main.query("CREATE TABLE shop.t (n INT PRIMARY KEY, word TEXT)");
    spare.wait_synced(&main);
    let orders = Orders::start(&main, &spare);
    let mut app = orders.connect();
    spare.query(spare.pick("STOP REPLICA IO_THREAD", "STOP SLAVE IO_THREAD"));
    app.query_drop("INSERT INTO t VALUES (1, 'only here')").expect("a row that nobody else receives");
    main.kill();
    // What was sent while the server was dying is of unknown fate, and said to be.
    wait_for("the heir serves", PATIENCE, || {
        mysql::Conn::new(orders.options())
            .and_then(|mut late| late.query_drop("REPLACE INTO t VALUES (2, 'served')"))
            .is_ok()
    });
    main.restart();
    let address = main.address();
    let named = || orders.service().to_string().contains(&format!("pointsman rebuild orders {address}"));
    wait_for("status says how to go on", PATIENCE, named);

    let printed = orders.pointsman.cli_expect(&["rebuild", "orders", &address], 0);
    let json = orders.pointsman.cli_expect(&["rebuild", "orders", &address, "--json"], 0);
    let told: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let texts = |key: &str| -> Vec<String> {
        let list = told[key].as_array().cloned().unwrap_or_default();
        list.iter().map(|text| text.as_str().expect("a text").to_owned()).collect()
    };
    let (holds, look, commands) = (told["holds"].as_str().unwrap_or_default(), texts("look"), texts("commands"));
    assert!(!holds.is_empty() && printed.contains(holds), "{printed}");
    assert!(!look.is_empty() && look.iter().chain(&commands).all(|command| printed.contains(command)), "{printed}");

    let folder = tempfile::tempdir().expect("a folder for what the commands write");
    let admin = orders.pointsman.folder().join("admin.sock");
    let here = |command: &str| {
        let (folder, admin) = (folder.path().display(), admin.display());
        format!("cd {folder} && export POINTSMAN_ADMIN=unix:{admin} && {command}")
    };
    for command in &look {
        let shown = run(component, &here(command));
        assert!(shown.success && shown.text.contains("only here"), "{command}\n{}", shown.text);
    }
    for command in &commands {
        println!("{command}");
        if command.starts_with('#') {
            // The operator's own way to start it.
            main.restart();
            continue;
        }
        let shown = run(component, &here(command));
        if command.contains("CLONE INSTANCE") {
            wait_for(&format!("a cloned server ends itself: {}", shown.text), PATIENCE, || !main.runs());
        } else {
            assert!(shown.success, "{command}\n{}", shown.text);
        }
    }
    orders.ready();
    assert_eq!(main.query("SELECT n FROM shop.t"), [["2"]], "{component}: what it alone held is given up");
    let nothing = orders.pointsman.cli_expect(&["rebuild", "orders", &address], 0);
    assert!(nothing.contains("holds nothing"), "{nothing}");
    // It is as good as before: it takes over and back, with the application's rows and rights.
    for (n, to) in [(3, "main"), (4, "spare")] {
        orders.ready();
        orders.pointsman.cli_expect(&["switchover", "orders", "--to", to], 0);
        app.query_drop(format!("INSERT INTO t VALUES ({n}, 'later')")).expect("a row");
    }
    assert_eq!(rows(&mut app, "SELECT n FROM t").expect("rows"), [["2"], ["3"], ["4"]], "{component}");
    main.wait_synced(&spare);
}

#[test]
fn a_mysql_9_by_what_is_printed() {
    require_server!("mysql9");
    rebuilt("mysql9");
}

#[test]
fn a_mariadb_by_what_is_printed() {
    require_server!("mariadb");
    rebuilt("mariadb");
}
