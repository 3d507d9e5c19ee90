//! Managers among enemies, for as long as `SOAK_SECONDS` says: strangers, liars that know the key, and clients that are killed
//! at any moment. A good client is served all the while, and the servers' memory and descriptors are flat. Does nothing when
//! that is not set.
//!
//! `SOAK_SECONDS=3600 cargo bench --bench hostile`

mod good;
mod killed;
mod liars;
mod strangers;
mod target;
mod watch;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use good::Good;
use target::{Noise, Target};
use watch::Watch;

/// Loans last a minute; what they hold does not grow any more then.
const LOAN: Duration = Duration::from_secs(65);

/// How many attacks there were, and whether they are to go on.
#[derive(Debug, Default)]
pub struct War {
    over: AtomicBool,
    strangers: AtomicU64,
    liars: AtomicU64,
    killed: AtomicU64,
}

impl War {
    /// Attacks until it is over, and counts what reached the server.
    fn wage(&self, count: &AtomicU64, mut attack: impl FnMut() -> bool) {
        while !self.over.load(Ordering::Relaxed) {
            count.fetch_add(attack().into(), Ordering::Relaxed);
        }
    }
}

/// Ends the war also when an assertion fails: the attackers would go on for ever.
struct Peace<'w>(&'w War);

impl Drop for Peace<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Relaxed);
    }
}

fn main() {
    let seconds = std::env::var("SOAK_SECONDS").ok().and_then(|text| text.parse().ok());
    let Some(seconds) = seconds else {
        println!("SOAK_SECONDS is not set: nothing to do");
        return;
    };
    let targets = [Target::tcp(), Target::unix()];
    let mut all: Vec<_> =
        targets.iter().map(|target| (Good::new(target), Watch::new(target))).collect();
    let war = War::default();
    let rounds = std::thread::scope(|scope| {
        let peace = Peace(&war);
        for (number, (target, (good, _))) in (1..).zip(targets.iter().zip(&all)) {
            let (war, scene) = (&war, good.scene());
            let noise = move |role: u64| Noise::new(number * 100 + role);
            scope.spawn(move || strangers::attack(target, war, noise(1)));
            scope.spawn(move || strangers::attack(target, war, noise(2)));
            scope.spawn(move || liars::attack(target, war, noise(3)));
            scope.spawn(move || killed::attack(scene, war, noise(4)));
        }
        let rounds = serve(&mut all, Duration::from_secs(seconds));
        drop(peace);
        rounds
    });
    for (good, watch) in &mut all {
        watch.calm_down();
        good.finish();
        println!("{watch}; {good}");
    }
    report(&war, rounds);
}

fn serve(all: &mut [(Good, Watch)], time: Duration) -> u64 {
    let (begun, warm_up, mut rounds) = (Instant::now(), LOAN.min(time / 2), 0);
    while begun.elapsed() < time {
        for (good, watch) in all.iter_mut() {
            good.round(rounds);
            watch.look(begun.elapsed() < warm_up);
        }
        rounds += 1;
    }
    rounds
}

fn report(war: &War, rounds: u64) {
    let count = |number: &AtomicU64| number.load(Ordering::Relaxed);
    println!(
        "{rounds} rounds of the good client; {} strangers, {} liars, {} clients killed",
        count(&war.strangers),
        count(&war.liars),
        count(&war.killed)
    );
}
