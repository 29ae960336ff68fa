//! `pointsman status --watch` as an operator has it on a terminal, before a running Pointsman on real servers.

mod common;
#[path = "groups/members.rs"]
mod members;
#[path = "watch/screen.rs"]
mod screen;

use common::{PATIENCE, instance::Pointsman, ports::free_port, redis_server::RedisServer, wait_for};
use screen::Terminal;
use std::path::PathBuf;

/// A service `cart` over a primary in `main` and its replica in `spare`, both in one site.
struct Rig {
    pointsman: Pointsman,
    _servers: (RedisServer, RedisServer),
}

impl Rig {
    #[track_caller]
    fn start() -> Self {
        let (primary, replica) = RedisServer::pair("redis7");
        let pointsman = Pointsman::start(&format!(
            "[services.cart]\nkind = \"redis\"\nlisten = [\"127.0.0.1:{}\"]\n\
             [[services.cart.clusters]]\nname = \"main\"\nsite = \"east\"\nnodes = [\"{}\"]\n\
             [[services.cart.clusters]]\nname = \"spare\"\nsite = \"west\"\nnodes = [\"{}\"]\n",
            free_port(),
            primary.address(),
            replica.address()
        ));
        let rig = Self { pointsman, _servers: (primary, replica) };
        rig.wait_ready();
        rig
    }

    fn wait_ready(&self) {
        let ready = || self.pointsman.api("/v1/services/cart", None).1["switchover_ready"]["ready"] == true;
        wait_for("ready for a switch", PATIENCE, ready);
    }

    fn socket(&self) -> PathBuf {
        self.pointsman.folder().join("admin.sock")
    }
}

/// How often the head of the table stands on the screen.
fn tables(text: &str) -> usize {
    text.matches("Service").count()
}

#[test]
fn it_draws_in_place_and_leaves_the_terminal_as_it_was() {
    require_server!("redis7");
    let rig = Rig::start();
    let line = "echo before; before=$(stty -g); pointsman status --watch; echo code $?; [[ $before == $(stty -g) ]] && echo same";
    let mut terminal = Terminal::start(&rig.socket(), line, 80, 24);
    let first = terminal.wait("the table", |screen| screen.shows("main     east  primary  up"));
    assert!(first.second_page() && !first.cursor && !first.wraps, "{}", first.text());
    assert!(first.coloured && !first.shows("before"));
    rig.pointsman.cli_expect(&["switchover", "cart"], 0);
    let moved = terminal.wait("the switch is seen", |screen| screen.shows("spare    west  primary  up"));
    assert_eq!(tables(&moved.text()), 1, "{}", moved.text());
    assert!(!moved.overflowed);
    terminal.press("\x03");
    assert_eq!(terminal.end(), Some(0));
    let after = terminal.wait("the shell goes on", |screen| screen.shows("same"));
    assert!(after.cursor && after.wraps && !after.second_page());
    assert!(
        after.shows("before") && after.shows("code 0") && after.shows("spare    west  primary"),
        "{}",
        after.text()
    );
    assert_eq!(tables(&after.text()), 1, "the last picture stays: {}", after.text());
}

#[test]
fn a_group_is_watched_by_its_name() {
    require_server!("redis7");
    let (pointsman, _members) = members::services("", "", &[]);
    let socket = pointsman.folder().join("admin.sock");
    let mut terminal = Terminal::start(&socket, "pointsman status checkout --watch --no-color", 100, 24);
    let first = terminal.wait("the group", |screen| screen.shows("group checkout: together in east"));
    assert!(first.shows("orders") && first.shows("stock") && !first.shows("cart"), "{}", first.text());
    pointsman.cli_expect(&["switchover", "checkout"], 0);
    terminal.wait("the switch is seen", |screen| screen.shows("group checkout: together in west"));
    terminal.press("\x03");
    assert_eq!(terminal.end(), Some(0));
}

#[test]
fn a_restart_is_said_and_survived() {
    require_server!("redis7");
    let mut rig = Rig::start();
    let mut terminal = Terminal::start(&rig.socket(), "pointsman status cart --watch --no-color", 100, 12);
    terminal.wait("the table", |screen| screen.shows("primary"));
    rig.pointsman.kill();
    let said = ["LOST TOUCH since ", "what is shown is old", "primary"];
    let lost = terminal.wait("it is said", |screen| said.iter().all(|words| screen.shows(words)));
    assert!(!lost.coloured, "{}", lost.text());
    rig.pointsman.launch();
    terminal.wait("in touch again", |screen| !screen.shows("LOST TOUCH") && screen.shows("primary"));
    // Stopped in its tracks, it answers nobody; that must not look like a quiet night.
    rig.pointsman.freeze();
    terminal.wait("silence is said", |screen| screen.shows("did not answer"));
    rig.pointsman.thaw();
    terminal.wait("in touch again", |screen| !screen.shows("LOST TOUCH"));
    terminal.press("\x03");
    assert_eq!(terminal.end(), Some(0));
}

#[test]
fn a_narrow_and_low_terminal_shows_what_fits() {
    require_server!("redis7");
    let rig = Rig::start();
    rig.pointsman.cli_expect(&["pause", "cart", "--for", "1h", "--reason", "a long reason that can't fit one line"], 0);
    let mut terminal = Terminal::start(&rig.socket(), "NO_COLOR=1 pointsman status --watch", 40, 6);
    // A picture may be looked at while it is being drawn: what is waited for is its last line.
    let screen = terminal.wait("the table", |screen| screen.shows("primary") && screen.shows("more lines"));
    assert!(!screen.overflowed && !screen.coloured, "{}", screen.text());
    terminal.press("\x03");
    assert_eq!(terminal.end(), Some(0));
}

#[test]
fn resting_gives_the_terminal_back() {
    require_server!("redis7");
    let rig = Rig::start();
    let line = "set -m; pointsman status --watch; echo rested; fg >/dev/null; echo over";
    let mut terminal = Terminal::start(&rig.socket(), line, 80, 24);
    terminal.wait("the table", |screen| screen.shows("primary"));
    terminal.press("\x1a");
    terminal.wait("drawn again in the foreground", |screen| screen.second_page() && screen.shows("primary"));
    wait_for("the shell had its turn", PATIENCE, || terminal.sent().contains("rested"));
    terminal.wait("drawn again", |screen| screen.second_page() && screen.shows("primary"));
    terminal.press("\x03");
    terminal.end();
    let after = terminal.wait("over", |screen| screen.shows("over"));
    assert!(after.cursor && !after.second_page() && after.shows("rested"), "{}", after.text());
}

#[test]
fn without_a_terminal_it_is_plain_text_and_ends_with_its_reader() {
    require_server!("redis7");
    let rig = Rig::start();
    let mut terminal = Terminal::start(&rig.socket(), "pointsman status --watch | head -4 | cat -v", 80, 24);
    assert_eq!(terminal.end(), Some(0));
    let sent = terminal.sent();
    assert!(sent.contains("primary") && !sent.contains("^["), "{sent}");
    let mut nobody = Terminal::start(&PathBuf::from("/nonexistent/admin.sock"), "pointsman status --watch", 80, 24);
    assert_eq!(nobody.end(), Some(69));
    assert!(!nobody.sent().contains('\x1b'), "nothing is drawn: {}", nobody.sent());
}
