//! The show: a line a second, two switches, a crash, and the lines for scripts at the end.

use super::{Options, elastic::Elastic, mysql::Mysql, redis::Redis, scene::Scene, store::Show, tally::Tally};
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

/// The shows, one after the other. `verdict` is set when it is known, before the last one lingers.
async fn whole(options: &Options, verdict: &Cell<Option<bool>>) -> Result<bool, String> {
    let (mut lines, mut kept, mut last) = (Vec::new(), true, None);
    for store in options.stores.split_whitespace() {
        // Ended before the next one begins: a demo is to run on a small machine.
        if let Some(scene) = last.take() {
            Scene::end(scene).await;
        }
        let (scene, held) = match store {
            "mysql" => one::<Mysql>(options, &mut lines).await?,
            "elasticsearch" => one::<Elastic>(options, &mut lines).await?,
            _ => one::<Redis>(options, &mut lines).await?,
        };
        (kept, last) = (kept && held, Some(scene));
    }
    say!("{}", if kept { "the promises held" } else { "the promises did NOT hold" });
    for line in lines {
        say!("{line}");
    }
    verdict.set(Some(kept));
    if let Some(scene) = last {
        if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
            linger(&scene, options).await;
        }
        scene.end().await;
    }
    Ok(kept)
}

/// The show of one kind: what is left of its scene, and whether the promises held; `lines` for scripts are added to.
async fn one<S: Show>(options: &Options, lines: &mut Vec<String>) -> Result<(Scene, bool), String> {
    say!("starting {} and a Pointsman in front of them …", S::SERVERS);
    let mut scene = Scene::start::<S>(options).await?;
    let tally = Rc::new(Tally::default());
    let mut load = S::start(&scene, &tally).await.map_err(|error| format!("the load: {error}"))?;
    say!("applications connect to 127.0.0.1:{}; {}", scene.port, load.clients());
    let felt = perform(&mut scene, &load, &tally, options.seconds).await?;
    load.stop(LAST_ONES).await;
    let lost = load.lost(felt.len() as u64).await.map_err(|error| format!("reading back: {error}"))?;
    say!("read back at the end: {}; lost {lost}", load.summary());
    scene.wait_ready().await?;
    let crash = S::crash(&mut scene, options, &tally).await?;
    for words in tally.words.borrow().iter() {
        say!("  ! {words}");
    }
    let store = S::STORE;
    for switch in &felt {
        let (errors, lost, stall) = (switch.errors, switch.lost, switch.stall.as_secs_f64() * 1000.0);
        lines.push(format!("demo store={store} operation=planned errors={errors} stall_ms={stall:.1} lost={lost}"));
    }
    let gap = crash.gap.as_secs_f64() * 1000.0;
    let (errors, unknown, gone) = (crash.errors, crash.unknown, crash.lost);
    lines.push(format!(
        "demo store={store} operation=crash errors={errors} stall_ms={gap:.1} lost={gone} unknown={unknown}"
    ));
    let kept = felt.iter().all(Felt::kept) && lost == 0 && tally.errors.get() == 0;
    Ok((scene, kept))
}

/// The seconds of the show with its two switches.
async fn perform<S: Show>(scene: &mut Scene, load: &S, tally: &Tally, seconds: u64) -> Result<Vec<Felt>, String> {
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
            felt.push(switch(scene, load, tally, "spare", 1).await?);
        } else if second == seconds * 2 / 3 {
            felt.push(switch(scene, load, tally, "main", 2).await?);
        }
    }
    Ok(felt)
}

/// One planned switch under the load, the `number`th.
async fn switch<S: Show>(scene: &Scene, load: &S, tally: &Tally, to: &str, number: u64) -> Result<Felt, String> {
    say!("     $ pointsman switchover demo --to {to}");
    let errors = tally.errors.get();
    tally.take_stall();
    let begin = Instant::now();
    let (code, report) = scene.ask(&["switchover", "demo", "--to", to, "--reason", "demo", "--json"]).await?;
    let took = begin.elapsed();
    tokio::time::sleep(AFTERWARDS).await;
    let stall = tally.take_stall();
    let lost = load.lost(number).await.map_err(|error| format!("reading back: {error}"))?;
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
async fn linger(scene: &Scene, options: &Options) {
    let admin = scene.admin();
    let client = match options.stores.split_whitespace().next_back() {
        Some("mysql") => Mysql::by_hand(scene.port),
        Some("elasticsearch") => Elastic::by_hand(scene.port),
        _ => Redis::by_hand(scene.port),
    };
    say!("\nIt all still runs, until Ctrl-C. In another terminal:");
    say!("  export POINTSMAN_ADMIN={admin}");
    say!("  pointsman status --watch");
    say!("  pointsman history demo");
    say!("  {client}     (the server that is left: {})", scene.servers[1]);
    std::future::pending::<()>().await;
}
