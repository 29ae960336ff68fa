//! Pointsman itself is killed, at any moment of a failover.

use crate::{
    common::{PATIENCE, redis_server::RedisServer, wait_for},
    rig::{Rig, fence},
    scene::{QUICK, durable, epoch, pass, prepared, servers, streams_key},
    survivors::Survivors,
    writers::Notes,
};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant, SystemTime},
};

/// How many failovers are broken, unless `POINTSMAN_MOMENTS` says otherwise.
const MOMENTS: u64 = 50;
/// How many clients write.
const WRITERS: usize = 8;
/// An answer that was on its way at the crash arrives within this time.
const UNDER_WAY: Duration = Duration::from_millis(50);
/// How long after its start Pointsman serves again, where a node can serve.
const SERVES: Duration = Duration::from_secs(10);

/// Moments by a seed, the same for the same seed (`SplitMix64`).
pub struct Dice(pub u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % limit
    }

    /// A time shorter than so many milliseconds.
    pub fn ms(&mut self, limit: u64) -> Duration {
        Duration::from_millis(self.below(limit))
    }
}

/// A number of the environment.
pub fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// `POINTSMAN_SEED`, else another one each time.
pub fn seed() -> u64 {
    asked("POINTSMAN_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        now.as_secs()
    })
}

/// What happens in a round, as of the primary's death.
struct Moments {
    /// Pointsman is killed.
    kill: Duration,
    /// It is started again.
    launch: Duration,
    /// The primary is started again.
    restart: Duration,
}

/// Each round: the primary is killed, Pointsman at a random moment of the first second after, both come back at random moments.
pub fn rounds() -> String {
    let (seed, moments) = (seed(), asked("POINTSMAN_MOMENTS").unwrap_or(MOMENTS));
    println!("POINTSMAN_SEED={seed}");
    let mut dice = Dice(seed);
    let mut nodes = servers(durable, 1);
    let mut rig = prepared(&nodes, &format!("{QUICK}\n[services.cart.failover]\ncooldown = \"0s\""));
    rig.pointsman.launch();
    let (mut flips, mut lost, mut slowest, mut read) = (0, 0, Duration::ZERO, 0);
    for number in 0..moments {
        // Most is decided in the first moments.
        let kill = dice.ms(if number % 2 == 0 { 150 } else { 1000 });
        let moment = Moments { kill, launch: kill + dice.ms(300), restart: dice.ms(3000) };
        let round = round(number, &mut rig, &mut nodes, &moment);
        check_journal(&rig, &mut read);
        (flips, lost) = (flips + usize::from(round.flipped), lost + round.lost);
        slowest = slowest.max(round.served);
        println!(
            "{number}: killed {} ms after, back {} ms, primary back {} ms; flipped {}, served {} ms after its start, lost {}",
            kill.as_millis(),
            moment.launch.as_millis(),
            moment.restart.as_millis(),
            round.flipped,
            round.served.as_millis(),
            round.lost
        );
    }
    format!(
        "{moments} kills, seed {seed}: {flips} flips, served again within {} ms of its start, {lost} writes lost of those under way",
        slowest.as_millis()
    )
}

struct Round {
    flipped: bool,
    served: Duration,
    lost: usize,
}

fn round(number: u64, rig: &mut Rig, nodes: &mut [RedisServer], moments: &Moments) -> Round {
    rig.wait_ready();
    let (before, old) = (epoch(rig), routed(rig, nodes));
    let writers = Survivors::start(rig.port, WRITERS, &format!("r{number}w"));
    writers.progress(50);
    streams_key(&nodes[1 - old], &format!("r{number}w0:0"));
    nodes[old].kill();
    let crash = Instant::now();
    let launched = play(rig, &mut nodes[old], moments, crash);
    rig.wait_steady();
    writers.progress(20);
    rig.wait_ready();
    let now = routed(rig, nodes);
    wait_for("one primary, one standby, no fence", PATIENCE, || {
        let standby = &nodes[1 - now];
        nodes[now].info("role") == "master"
            && standby.info("role") == "slave"
            && [&nodes[now], standby].iter().all(|node| fence(node) == "0")
    });
    let after = epoch(rig);
    assert!(after >= before, "epoch {after} after {before}");
    let noted = writers.finish();
    // Writes that follow one another are no proof for those that were acknowledged before: each is looked for.
    let lost = lost(&noted, &nodes[now], crash);
    let served = served(&noted, launched);
    assert!(served <= SERVES, "served {served:?} after its start");
    Round { flipped: now != old, served, lost }
}

/// Kills and starts, each at its moment; when Pointsman was started.
fn play(rig: &mut Rig, primary: &mut RedisServer, moments: &Moments, crash: Instant) -> Instant {
    let wait = |until: Duration| pass((crash + until).saturating_duration_since(Instant::now()));
    let mut back = false;
    let mut launched = crash;
    for (at, what) in [(moments.kill, 'k'), (moments.launch, 'l')] {
        if !back && moments.restart < at {
            wait(moments.restart);
            primary.restart();
            back = true;
        }
        wait(at);
        if what == 'k' {
            rig.pointsman.kill();
        } else {
            rig.pointsman.launch_only();
            launched = Instant::now();
        }
    }
    if !back {
        wait(moments.restart);
        primary.restart();
    }
    launched
}

/// The place of the routed server.
fn routed(rig: &Rig, nodes: &[RedisServer]) -> usize {
    let node = rig.service()["route"]["node"].clone();
    nodes.iter().position(|server| node == server.address()).expect("one of ours is routed")
}

/// How many acknowledged writes are gone. None that was acknowledged after the crash may be, whoever acknowledged it: else
/// two servers took writes. Of those before, as many as were under way.
fn lost(noted: &Notes, server: &RedisServer, crash: Instant) -> usize {
    let gone = noted.lost(server);
    let later: Vec<_> = gone.iter().filter(|(_, at)| *at > crash + UNDER_WAY).map(|(key, _)| key).collect();
    assert!(later.is_empty(), "acknowledged after the crash, and gone: {later:?}");
    assert!(gone.len() <= WRITERS, "{} lost", gone.len());
    gone.len()
}

/// How long after Pointsman's start the first write was acknowledged.
fn served(noted: &Notes, launched: Instant) -> Duration {
    let times = noted.acknowledged.iter().map(|(_, at)| *at).filter(|at| *at > launched);
    times.min().expect("it made progress") - launched
}

/// Every operation that began has ended, and no epoch went backward; `seen` is how much of it was looked at before.
pub fn check_journal(rig: &Rig, seen: &mut u64) {
    let records = rig.journal(&format!("svc=cart&after={seen}&limit=1000"));
    assert!(records.len() < 1000, "all of them");
    let ids = |what: &str| -> BTreeSet<String> {
        let of = records.iter().filter(|record| record["detail"]["what"] == what);
        of.map(|record| record["detail"]["operation"]["id"].as_str().expect("an id").to_owned()).collect()
    };
    let open: Vec<_> = ids("began").difference(&ids("ended")).cloned().collect();
    assert!(open.is_empty(), "operations that never ended: {open:?}");
    let epochs: Vec<u64> = records.iter().filter_map(|record| record["detail"]["route"]["epoch"].as_u64()).collect();
    assert!(epochs.is_sorted(), "an older epoch came back: {epochs:?}");
    *seen = records.last().and_then(|record| record["seq"].as_u64()).unwrap_or(*seen);
}
