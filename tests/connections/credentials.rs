//! Users: verified by the server, never mixed, and gone when the server says so.

use crate::common::{
    PATIENCE,
    data_path::DataPath,
    raw::{Raw, Reply},
    redis_server::RedisServer,
    wait_for,
};
use crate::require_server;
use crate::{bulk, error, ok};

fn server_of_users() -> RedisServer {
    users_of("redis7")
}

fn users_of(component: &str) -> RedisServer {
    RedisServer::builder(component)
        .user("reader on >r ~* &* +@read +@connection +acl|whoami")
        .user("writer on >w ~* &* +@all")
        .user("stayer on >s ~* &* +@all -select")
        .start()
}

/// Whatever is asked, the answer is the one that a direct connection gets.
#[track_caller]
fn same(server: &RedisServer, path: &DataPath, commands: &[&[&str]]) {
    let (mut direct, mut through) = (server.raw(), path.raw());
    for command in commands {
        assert_eq!(through.command(command), direct.command(command), "{command:?}");
    }
}

#[test]
fn the_servers_own_words() {
    require_server!("redis7");
    own_words("redis7");
}

#[test]
fn the_own_words_of_redis_8() {
    require_server!("redis8");
    own_words("redis8");
}

#[test]
fn the_own_words_of_valkey() {
    require_server!("valkey");
    own_words("valkey");
}

#[track_caller]
fn own_words(component: &str) {
    let users = users_of(component);
    same(
        &users,
        &DataPath::to(&users),
        &[
            &["AUTH", "writer", "wrong"],
            &["ACL", "WHOAMI"],
            &["AUTH", "nobody", "x"],
            &["AUTH", "reader", "r"],
            &["SET", "k", "v"],
            &["AUTH", "writer", "wrong"],
            &["ACL", "WHOAMI"],
            &["SET", "k", "v"],
            &["HELLO", "2", "AUTH", "writer", "bad"],
            &["HELLO", "9"],
            &["ACL", "WHOAMI"],
            &["AUTH", "writer", "w"],
            &["SET", "k", "v"],
            &["AUTH"],
            &["AUTH", "a", "b", "c"],
        ],
    );
    let locked = RedisServer::builder(component).set("requirepass", "secret").start();
    same(
        &locked,
        &DataPath::to(&locked),
        &[
            &["GET", "k"],
            &["MULTI"],
            &["SELECT", "1"],
            &["HELLO", "3"],
            &["AUTH", "no"],
            &["GET", "k"],
            &["AUTH", "secret"],
            &["SELECT", "1"],
            &["SET", "k", "v"],
            &["AUTH", "default", "no"],
            &["GET", "k"],
        ],
    );
}

/// Who logs in keeps the database that was selected before, though this user may not select any.
#[test]
fn a_database_outlives_a_login() {
    require_server!("redis7");
    let server = server_of_users();
    let path = DataPath::to(&server);
    let commands: [&[&str]; 10] = [
        &["SELECT", "3"],
        &["AUTH", "stayer", "s"],
        &["SET", "where", "3"],
        &["SELECT", "4"],
        &["MULTI"],
        &["GET", "where"],
        &["EXEC"],
        &["HELLO", "2", "AUTH", "writer", "w"],
        &["SELECT", "3"],
        &["GET", "where"],
    ];
    let mut raw = path.raw();
    let replies: Vec<_> = commands.iter().map(|command| raw.command(command)).collect();
    assert_eq!(replies[..3], [ok(), ok(), ok()]);
    assert!(error(replies[3].clone()).starts_with("NOPERM"));
    assert_eq!(replies[4..7], [ok(), Reply::Simple("QUEUED".into()), Reply::Array(vec![bulk("3")])]);
    assert_eq!(replies[8..], [ok(), bulk("3")]);
}

#[test]
fn a_login_in_the_middle_of_a_pipeline() {
    require_server!("redis7");
    let server = server_of_users();
    let path = DataPath::to(&server);
    let mut raw = path.raw();
    raw.send("ACL WHOAMI\r\nAUTH reader r\r\nACL WHOAMI\r\nSET a 1\r\nAUTH writer bad\r\nACL WHOAMI\r\n");
    raw.send("HELLO 3 AUTH writer w SETNAME shop\r\nACL WHOAMI\r\nSET a 1\r\nCLIENT GETNAME\r\nGET none\r\n");
    assert_eq!(raw.reply(), bulk("default"));
    assert_eq!(raw.reply(), ok());
    assert_eq!(raw.reply(), bulk("reader"));
    assert!(error(raw.reply()).starts_with("NOPERM"));
    assert!(error(raw.reply()).starts_with("WRONGPASS"));
    assert_eq!(raw.reply(), bulk("reader"));
    assert!(matches!(raw.reply(), Reply::Array(_)));
    assert_eq!(raw.reply(), bulk("writer"));
    assert_eq!(raw.reply(), ok());
    assert_eq!(raw.reply(), bulk("shop"));
    raw.expect("_\r\n");
}

/// Many users, databases and protocols interleaved: each command runs as who sent it, where it was sent.
#[test]
fn nobody_is_ever_somebody_else() {
    require_server!("redis7");
    let server = server_of_users();
    let path = DataPath::to(&server);
    let mut sessions: Vec<(Raw, &str, usize, bool)> = Vec::new();
    for (user, secret) in [("writer", "w"), ("reader", "r")] {
        for database in 0..3 {
            for three in [false, true] {
                let mut raw = path.raw();
                raw.command(&["HELLO", if three { "3" } else { "2" }, "AUTH", user, secret]);
                assert_eq!(raw.command(&["SELECT", &database.to_string()]), ok());
                sessions.push((raw, user, database, three));
            }
        }
    }
    for (raw, user, database, _) in &mut sessions {
        if *user == "writer" {
            assert_eq!(raw.command(&["SET", "where", &database.to_string()]), ok());
        }
    }
    for _ in 0..20 {
        for (raw, ..) in &mut sessions {
            raw.send("ACL WHOAMI\r\nGET where\r\nGET none\r\nSET x y\r\n");
        }
        for (raw, user, database, three) in &mut sessions {
            assert_eq!(raw.reply(), bulk(user));
            assert_eq!(raw.reply(), bulk(&database.to_string()));
            raw.expect(if *three { "_\r\n" } else { "$-1\r\n" });
            assert_eq!(raw.reply() == ok(), *user == "writer");
        }
    }
    let list = server.command(&["CLIENT", "LIST"]).text();
    let of = |user: &str, database: usize| {
        list.lines()
            .filter(|line| line.contains(&format!(" user={user} ")) && line.contains(&format!(" db={database} ")))
            .count()
    };
    for database in 0..3 {
        assert!(of("writer", database) >= 2 && of("reader", database) >= 2, "one a protocol at least:\n{list}");
    }
}

/// `ACL DELUSER` closes the server's connections of that user: sessions that were idle, busy, subscribed or in a transaction
/// end too, and all others stay.
#[test]
fn a_deleted_user_is_out_at_once() {
    require_server!("redis7");
    let server = server_of_users();
    let path = DataPath::to(&server);
    let login = || {
        let mut raw = path.raw();
        assert_eq!(raw.command(&["AUTH", "reader", "r"]), ok());
        assert_eq!(raw.command(&["GET", "k"]), Reply::Null);
        raw
    };
    let mut idle = login();
    let mut subscriber = login();
    subscriber.send("SUBSCRIBE news\r\n").reply();
    let mut other = path.raw();
    assert_eq!(other.command(&["AUTH", "writer", "w"]), ok());
    assert_eq!(other.command(&["ACL", "DELUSER", "reader"]), Reply::Integer(1));
    idle.expect_closed();
    let last = String::from_utf8(subscriber.until_closed()).expect("text");
    assert!(last.is_empty() || last.starts_with("-WRONGPASS"), "{last}");
    let mut late = path.raw();
    assert!(error(late.command(&["AUTH", "reader", "r"])).starts_with("WRONGPASS"));
    assert_eq!(late.command(&["ACL", "WHOAMI"]), bulk("default"));
    assert_eq!(other.command(&["SET", "k", "v"]), ok());
}

/// `ACL SETUSER ... resetpass` lets who is logged in go on, as on a direct connection, and nobody else in.
#[test]
fn a_revoked_password_lets_nobody_in() {
    require_server!("redis7");
    let server = server_of_users();
    let path = DataPath::to(&server);
    let mut old = path.raw();
    assert_eq!(old.command(&["AUTH", "reader", "r"]), ok());
    assert_eq!(old.command(&["ACL", "WHOAMI"]), bulk("reader"));
    assert_eq!(server.command(&["ACL", "SETUSER", "reader", "resetpass", ">new"]), ok());
    let mut new = path.raw();
    assert!(error(new.command(&["AUTH", "reader", "r"])).starts_with("WRONGPASS"));
    assert_eq!(old.command(&["ACL", "WHOAMI"]), bulk("reader"));
    assert_eq!(new.command(&["AUTH", "reader", "new"]), ok());
    assert_eq!(new.command(&["ACL", "WHOAMI"]), bulk("reader"));
    server.command(&["CLIENT", "KILL", "USER", "reader"]);
    wait_for("the one with the new password is served again", PATIENCE, || {
        new.command(&["ACL", "WHOAMI"]) == bulk("reader")
    });
    let last = String::from_utf8(old.until_closed()).expect("text");
    assert!(last.is_empty() || last.starts_with("-WRONGPASS"), "{last}");
}

/// Who was there stays, and who comes has to log in; and the other way round when the password is taken away.
#[test]
fn a_password_set_on_a_running_server_is_asked_of_newcomers() {
    require_server!("redis7");
    let server = RedisServer::builder("redis7").user("admin on >a ~* &* +@all").start();
    let path = DataPath::to(&server);
    let mut admin = server.raw();
    assert_eq!(admin.command(&["AUTH", "admin", "a"]), ok());
    let mut early = path.raw();
    early.send("SET k v\r\nMULTI\r\nEXEC\r\n").expect("+OK\r\n+OK\r\n*0\r\n");
    assert_eq!(admin.command(&["CONFIG", "SET", "requirepass", "secret"]), ok());
    for words in [&["GET", "k"][..], &["MULTI"]] {
        wait_for("newcomers have to log in", PATIENCE, || {
            path.raw().command(words) == Reply::Error("NOAUTH Authentication required.".into())
        });
    }
    let mut late = path.raw();
    assert_eq!(error(late.command(&["GET", "k"])), "NOAUTH Authentication required.");
    assert_eq!(late.command(&["AUTH", "secret"]), ok());
    assert_eq!(late.command(&["GET", "k"]), bulk("v"));
    assert_eq!(late.command(&["RESET"]), Reply::Simple("RESET".into()));
    assert_eq!(error(late.command(&["GET", "k"])), "NOAUTH Authentication required.");
    early.send("GET k\r\nMULTI\r\nEXEC\r\n").expect("$1\r\nv\r\n+OK\r\n*0\r\n");
    assert_eq!(admin.command(&["CONFIG", "SET", "requirepass", ""]), ok());
    wait_for("nobody has to log in any more", PATIENCE, || path.raw().command(&["GET", "k"]) == bulk("v"));
}
