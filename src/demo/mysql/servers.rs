//! The servers: data folders, users, replication.
//!
//! Input: the program (mysqld or mariadbd). Output: a primary and its replica, and the tables of the service's logins. Changes of the
//! set-up aren't written to the binary log, so that both begin with the same transactions: none.

use super::{DATABASE, PASSWORD, USER};
use crate::{
    demo::scene::Scene,
    store::mysql::{MARIADB_GRANTS, MYSQL_GRANTS},
};
use mysql_async::{Conn, OptsBuilder, prelude::Queryable};
use std::{
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};
use tokio::process::Command;

/// What the application has, made when the primary runs, and so replicated.
const TABLES: [&str; 4] = [
    "CREATE TABLE ids (writer INT NOT NULL, id BIGINT NOT NULL, PRIMARY KEY (writer, id))",
    "CREATE TABLE counts (name VARCHAR(16) PRIMARY KEY, n BIGINT NOT NULL)",
    "INSERT INTO counts VALUES ('transactions', 0)",
    "CREATE TABLE crash (id VARCHAR(32) PRIMARY KEY)",
];

/// Starts `main` and `spare` and lets the second follow the first.
pub(super) async fn start(scene: &mut Scene, program: &Path) -> Result<String, String> {
    let mariadb = is_mariadb(program).await?;
    let [main, spare] = scene.servers;
    for (name, port) in [("main", main), ("spare", spare)] {
        initialise(scene, program, mariadb, name).await?;
        let arguments = arguments(scene, mariadb, name, port);
        scene.spawn(name, program, &arguments)?;
    }
    for name in ["main", "spare"] {
        let socket = socket(scene, name);
        let what = format!("the server {name} answers");
        scene.wait(&what, async |_: &Scene| log_in(&socket).await.is_ok()).await?;
    }
    run(&socket(scene, "spare"), &follow(mariadb, main)).await?;
    let tables: Vec<String> =
        [format!("USE {DATABASE}")].into_iter().chain(TABLES.iter().map(ToString::to_string)).collect();
    run(&socket(scene, "main"), &tables).await?;
    service(scene)
}

async fn is_mariadb(program: &Path) -> Result<bool, String> {
    let output = Command::new(program).arg("--version").output().await;
    let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
    Ok(String::from_utf8_lossy(&output.stdout).contains("MariaDB"))
}

/// Makes a data folder with the users in it.
async fn initialise(scene: &Scene, program: &Path, mariadb: bool, name: &str) -> Result<(), String> {
    let (data, file) = (scene.folder_for(name)?, scene.path(&format!("{name}.sql")));
    scene.folder_for(&format!("{name}.tmp"))?;
    let grants: &[&str] = if mariadb { &MARIADB_GRANTS } else { &MYSQL_GRANTS };
    let logins = [USER, "pointsman", "repl"].map(|user| format!("CREATE USER '{user}'@'%' IDENTIFIED BY '{PASSWORD}'"));
    let mut statements: Vec<String> = logins.into();
    statements.extend(grants.iter().map(ToString::to_string));
    statements.push("GRANT REPLICATION SLAVE ON *.* TO 'repl'@'%'".into());
    statements.push(format!("CREATE DATABASE {DATABASE}"));
    statements.push(format!("GRANT ALL ON {DATABASE}.* TO '{USER}'@'%'"));
    let first = if mariadb { "FLUSH PRIVILEGES;\n" } else { "" };
    let text = format!("{first}{};\n", statements.join(";\n"));
    std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut command = if mariadb {
        let mut command = Command::new(program.with_file_name("mariadb-install-db"));
        command.args(["--no-defaults", "--skip-test-db", "--auth-root-authentication-method=normal"]);
        command.arg(format!("--extra-file={}", file.display()));
        command
    } else {
        let mut command = Command::new(program);
        command.args(["--initialize-insecure", "--skip-log-bin", "--innodb-redo-log-capacity=32M"]);
        command.arg(format!("--init-file={}", file.display()));
        command
    };
    command.args(["--user=root", &format!("--datadir={data}")]).kill_on_drop(true);
    let output = command.output().await.map_err(|error| format!("{}: {error}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("no data folder could be made:\n{said}")) }
}

fn arguments(scene: &Scene, mariadb: bool, name: &str, port: u16) -> Vec<String> {
    let path = |name: String| scene.path(&name).display().to_string();
    let own = [
        format!("--datadir={}", path(name.to_owned())),
        // Its own: a server that starts deletes the temporary tables that it finds there, another one's too.
        format!("--tmpdir={}", path(format!("{name}.tmp"))),
        format!("--socket={}", path(format!("{name}.sock"))),
        format!("--pid-file={}", path(format!("{name}.pid"))),
        format!("--port={port}"),
        format!("--server-id={port}"),
    ];
    let shared = ["--user=root", "--bind-address=127.0.0.1", "--log-bin=binlog", "--relay-log=relay"];
    let small = ["--innodb-buffer-pool-size=32M", "--skip-name-resolve", "--sync-binlog=0"];
    let flavour: &[&str] = if mariadb {
        &["--log-slave-updates=ON", "--performance-schema=ON", "--gtid-strict-mode=ON", "--binlog-format=ROW"]
    } else {
        &["--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--mysqlx=OFF", "--secure-file-priv="]
    };
    // The wrapper of a MySQL that was unpacked into a folder says so by itself, since it has to come first.
    let first = mariadb.then_some("--no-defaults");
    let fixed = first.into_iter().chain(shared).chain(small).chain(flavour.iter().copied());
    fixed.map(str::to_owned).chain(own).chain(["--innodb-flush-log-at-trx-commit=2".to_owned()]).collect()
}

fn follow(mariadb: bool, primary: u16) -> Vec<String> {
    if mariadb {
        vec![
            format!(
                "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={primary}, MASTER_USER='repl', \
                 MASTER_PASSWORD='{PASSWORD}', MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1, MASTER_HEARTBEAT_PERIOD=1"
            ),
            "START SLAVE".into(),
            "SET GLOBAL read_only=ON".into(),
        ]
    } else {
        vec![
            format!(
                "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT={primary}, SOURCE_USER='repl', \
                 SOURCE_PASSWORD='{PASSWORD}', SOURCE_AUTO_POSITION=1, SOURCE_CONNECT_RETRY=1, \
                 SOURCE_HEARTBEAT_PERIOD=1, SOURCE_SSL=1"
            ),
            "START REPLICA".into(),
            "SET GLOBAL super_read_only=ON".into(),
        ]
    }
}

fn socket(scene: &Scene, name: &str) -> PathBuf {
    scene.path(&format!("{name}.sock"))
}

/// As root, who has no password and comes from this machine alone.
async fn log_in(socket: &Path) -> mysql_async::Result<Conn> {
    let options = OptsBuilder::default().user(Some("root")).socket(Some(socket.display().to_string()));
    Conn::new(options).await
}

async fn run(socket: &Path, statements: &[String]) -> Result<(), String> {
    let mut connection = log_in(socket).await.map_err(|error| error.to_string())?;
    for statement in statements {
        connection.query_drop(statement).await.map_err(|error| format!("{statement}: {error}"))?;
    }
    connection.disconnect().await.map_err(|error| error.to_string())
}

/// The logins, as the configuration has them.
fn service(scene: &Scene) -> Result<String, String> {
    let file = scene.path("password");
    let written = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file);
    let written = written.and_then(|mut file| std::io::Write::write_all(&mut file, PASSWORD.as_bytes()));
    written.map_err(|error| format!("{}: {error}", file.display()))?;
    let file = file.display();
    Ok(format!(
        "[services.demo.credentials]\nusername = \"pointsman\"\npassword_file = \"{file}\"\n\
         [services.demo.replication_user]\nname = \"repl\"\npassword_file = \"{file}\"\n\
         [[services.demo.users]]\nname = \"{USER}\"\npassword_file = \"{file}\"\n"
    ))
}
