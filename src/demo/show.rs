//! The show: a line a second, two switches, a crash, and the lines for scripts at the end.

use super::{Options, crash::crash, load::Load, scene::Scene, tally::Tally};
use std::{
    cell::Cell,
    io::IsTerminal,
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::LocalSet,
    time::{MissedTickBehavior, interval},
};

/// A switch is felt until this long after it was reported as done.
const AFTERWARDS: Duration = Duration::from_millis(500);
/// How long the last messages may take to arrive.
const LAST_ONES: Duration = Duration::from_secs(5);

/// One switch, as the load felt it.
struct Felt {
    done: bool,
    errors: u64,
    stall: Duration,
    lost: u64,
}

impl Felt {
    fn kept(&self) -> bool {
        self.done && self.errors == 0 && self.lost == 0
    }
}

/// Runs it until its end or until a signal; everything that was started is ended then. True if the promises held.
pub(super) async fn run(options: &Options) -> Result<bool, String> {
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| format!("signals: {error}"))?;
    let stopped = async {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
    };
    tokio::pin!(stopped);
    let (local, verdict) = (LocalSet::new(), Cell::new(None));
    // Dropped with the futures, the scene kills what it has started.
    tokio::select! {
        result = local.run_until(whole(options, &verdict)) => result,
        () = &mut stopped => verdict.get().ok_or_else(|| "stopped before its end".to_owned()),
    }
}

/// The whole show. `verdict` is set when it is known, before it lingers.
async fn whole(options: &Options, verdict: &Cell<Option<bool>>) -> Result<bool, String> {
    say!("starting two Redis servers and a Pointsman in front of them …");
    let mut scene = Scene::start(&options.redis_server).await?;
    let tally = Rc::new(Tally::default());
    let mut load = Load::start(scene.port, &tally).await.map_err(|error| format!("the load: {error}"))?;
    say!(
        "applications connect to 127.0.0.1:{}; {} clients write, count in transactions, publish, subscribe, block on a queue",
        scene.port,
        load.clients()
    );
    let felt = perform(&mut scene, &mut load, &tally, options.seconds).await?;
    load.stop(LAST_ONES).await;
    let lost = load.lost().await.map_err(|error| format!("reading back: {error}"))?;
    say!("read back at the end: {}; lost {lost}", load.summary());
    scene.wait_ready().await?;
    let crash = crash(&mut scene, &tally).await?;
    for words in tally.words.borrow().iter() {
        say!("  ! {words}");
    }
    let kept = felt.iter().all(Felt::kept) && lost == 0 && tally.errors.get() == 0;
    say!("{}", if kept { "the promises held" } else { "the promises did NOT hold" });
    for switch in &felt {
        let stall = switch.stall.as_secs_f64() * 1000.0;
        say!("demo store=redis operation=planned errors={} stall_ms={stall:.1} lost={}", switch.errors, switch.lost);
    }
    let gap = crash.gap.as_secs_f64() * 1000.0;
    let (errors, unknown, lost) = (crash.errors, crash.unknown, crash.lost);
    say!("demo store=redis operation=crash errors={errors} stall_ms={gap:.1} lost={lost} unknown={unknown}");
    verdict.set(Some(kept));
    if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
        linger(&scene).await;
    }
    scene.end().await;
    Ok(kept)
}

/// The seconds of the show with its two switches.
async fn perform(scene: &mut Scene, load: &mut Load, tally: &Tally, seconds: u64) -> Result<Vec<Felt>, String> {
    let mut tick = interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick.tick().await;
    let (mut felt, mut before, mut since) = (Vec::new(), 0, Instant::now());
    for second in 1..=seconds {
        tick.tick().await;
        scene.alive()?;
        let commands = tally.commands.get();
        let each_second = Duration::from_secs(commands - before).div_duration_f64(since.elapsed());
        say!(
            "{second:>4} s {each_second:>7.0} commands/s   errors {}   longest wait {:>5.1} ms",
            tally.errors.get(),
            tally.take_second().as_secs_f64() * 1000.0
        );
        (before, since) = (commands, Instant::now());
        if second == seconds / 3 {
            felt.push(switch(scene, load, tally, "spare").await?);
        } else if second == seconds * 2 / 3 {
            felt.push(switch(scene, load, tally, "main").await?);
        }
    }
    Ok(felt)
}

/// One planned switch under the load.
async fn switch(scene: &Scene, load: &Load, tally: &Tally, to: &str) -> Result<Felt, String> {
    say!("     $ pointsman switchover demo --to {to}");
    let errors = tally.errors.get();
    tally.take_stall();
    let begin = Instant::now();
    let (code, report) = scene.ask(&["switchover", "demo", "--to", to, "--reason", "demo", "--json"]).await?;
    let took = begin.elapsed();
    tokio::time::sleep(AFTERWARDS).await;
    let stall = tally.take_stall();
    let lost = load.lost().await.map_err(|error| format!("reading back: {error}"))?;
    // Code 0 also means that there was nothing to do: only a route that moved counts.
    let done = code == 0 && report["epoch_after"].as_u64() > report["epoch_before"].as_u64();
    let word = if done { "done" } else { "NOT done" };
    say!(
        "     {word} in {:.0} ms; the longest wait of any command was {:.1} ms",
        took.as_secs_f64() * 1000.0,
        stall.as_secs_f64() * 1000.0
    );
    if !done {
        say!("     code {code}: {report}");
    }
    Ok(Felt { done, errors: tally.errors.get() - errors, stall, lost })
}

/// Keeps the scene for whoever looks at it; a signal ends it.
async fn linger(scene: &Scene) {
    let admin = scene.admin();
    say!("\nIt all still runs, until Ctrl-C. In another terminal:");
    say!("  export POINTSMAN_ADMIN={admin}");
    say!("  pointsman status --watch");
    say!("  pointsman history demo");
    say!("  redis-cli -p {}     (the server that is left: {})", scene.port, scene.servers[1]);
    std::future::pending::<()>().await;
}
