//! The way back for a node that holds what nobody else has: what that is, and the commands that make it a standby again.
//!
//! Input: the node and the primary. Output: words for an operator, who decides. It only reads.

use super::{
    actions,
    client::quoted,
    flavour::Flavour,
    node::{Node, first},
    roles::From,
    rows::Rows,
};
use crate::model::{error::StoreError, transactions::Transactions, view::Rebuild};

/// The longest text of transactions that is shown.
const SHOWN: usize = 2000;

/// Compares the two and writes the commands, for the service of that name.
pub(super) async fn rebuild(service: &str, node: &Node, primary: &Node, from: &From) -> Result<Rebuild, StoreError> {
    let (flavour, theirs) = held(primary).await?;
    let (own, ours) = held(node).await?;
    if own != flavour {
        return Err(node.fatal(format!("is another kind of server than {}", primary.address)));
    }
    let strays = ours.subtract(&theirs);
    let mut holds = strays.to_string();
    if holds.len() > SHOWN {
        holds.truncate(SHOWN);
        holds.push('…');
    }
    let look = if strays.is_empty() { Vec::new() } else { look(node, flavour, from, &strays).await? };
    let steps = match flavour {
        Flavour::Mysql => by_clone(node, primary, from).await?,
        Flavour::MariaDb => by_dump(node, primary),
    };
    // Else it would be fenced again in the middle. Afterwards Pointsman makes it a standby itself.
    let pause = format!("pointsman pause {service} --for 4h --reason \"rebuild of {}\"", node.address);
    let commands = [vec![pause], steps, vec![format!("pointsman resume {service}")]].concat();
    Ok(Rebuild { holds, look, commands })
}

async fn held(node: &Node) -> Result<(Flavour, Transactions), StoreError> {
    let mut control = node.control.lock().await;
    let flavour = actions::flavour(node, &mut control).await?;
    Ok((flavour, actions::executed(node, &mut control, flavour).await?))
}

/// A client's program and where it goes.
fn client(program: &str, node: &Node, user: &str) -> String {
    let address = node.address.as_str();
    let (host, port) = address.rsplit_once(':').unwrap_or((address, "3306"));
    let host = host.trim_start_matches('[').trim_end_matches(']');
    format!("{program} --host={host} --port={port} --user={user} -p")
}

fn statements(program: &str, node: &Node, statements: &str) -> String {
    format!("{} --execute=\"{statements}\"", client(program, node, "root"))
}

/// Commands that show what only this node has, from its own binary log.
async fn look(node: &Node, flavour: Flavour, from: &From, strays: &Transactions) -> Result<Vec<String>, StoreError> {
    let answers = node.run("SHOW BINARY LOGS").await?;
    let logs: Vec<&str> = answers.first().into_iter().flat_map(Rows::iter).map(|row| row.at(0)).collect();
    let options = "--read-from-remote-server --to-last-log --verbose --base64-output=DECODE-ROWS";
    let reader = client(flavour.pick("mysqlbinlog", "mariadb-binlog"), node, &from.user);
    Ok(vec![match flavour {
        Flavour::Mysql => {
            format!("{reader} {options} --include-gtids={strays} {}", logs.first().copied().unwrap_or_default())
        }
        // Its log from before its last start on, since it can't be asked for some transactions alone.
        Flavour::MariaDb => {
            format!("{reader} {options} {}", logs.iter().rev().take(2).next_back().copied().unwrap_or_default())
        }
    }])
}

/// The clone plugin copies the primary's data over the network; the server ends itself then, and is started by whoever starts it.
async fn by_clone(node: &Node, primary: &Node, from: &From) -> Result<Vec<String>, StoreError> {
    let has = |answers: &[Rows]| first(answers).is_some_and(|row| row.at(0) != "0");
    let question = "SELECT COUNT(*) FROM information_schema.PLUGINS WHERE PLUGIN_NAME = 'clone'";
    let install = "INSTALL PLUGIN clone SONAME 'mysql_clone.so'";
    let mut commands = Vec::new();
    if !has(&primary.run(question).await?) {
        commands.push(statements("mysql", primary, install));
    }
    let hosts = format!("SELECT Host FROM mysql.user WHERE User = {}", quoted(&from.user));
    let hosts = primary.run(&hosts).await?;
    let account = format!("{}@{}", quoted(&from.user), quoted(first(&hosts).map_or("%", |row| row.at(0))));
    commands.push(statements("mysql", primary, &format!("GRANT BACKUP_ADMIN ON *.* TO {account}")));
    let (host, port) = (&from.host, from.port);
    let mut steps = vec!["SET GLOBAL super_read_only=OFF".to_owned()];
    if !has(&node.run(question).await?) {
        steps.push(install.to_owned());
    }
    steps.push(format!("SET GLOBAL clone_valid_donor_list='{host}:{port}'"));
    let donor = format!("{}@{}:{port}", quoted(&from.user), quoted(host));
    steps.push(format!("CLONE INSTANCE FROM {donor} IDENTIFIED BY '{}'", placeholder(from)));
    commands.push(statements("mysql", node, &steps.join("; ")));
    commands.push(format!("# start the server at {} again, if nothing starts it by itself", node.address));
    Ok(commands)
}

/// A dump is read into the emptied node, unseen by its own binary log. By a file, because two programs that ask for passwords at once can't be
/// answered.
fn by_dump(node: &Node, primary: &Node) -> Vec<String> {
    // Pointsman's connection holds the fence's lock.
    let empty = format!(
        "KILL USER {}; SET GLOBAL read_only=OFF; STOP ALL SLAVES; RESET SLAVE ALL; RESET MASTER; \
         SET GLOBAL gtid_slave_pos=''",
        quoted(&node.login.user)
    );
    let dump = format!(
        "{} --all-databases --add-drop-database --single-transaction --routines --events --gtid --master-data=1 \
         --result-file=rebuild.sql",
        client("mariadb-dump", primary, "root")
    );
    let read =
        format!("{} --init-command=\"SET SESSION sql_log_bin=0\" < rebuild.sql", client("mariadb", node, "root"));
    vec![statements("mariadb", node, &empty), dump, read, statements("mariadb", node, "FLUSH LOCAL PRIVILEGES")]
}

/// What stands for the password of the replication user: secrets are printed nowhere.
fn placeholder(from: &From) -> String {
    format!("PASSWORD-OF-{}", from.user)
}
