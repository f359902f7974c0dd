//! The ten properties of delta sync, on a store that does whatever DynamoDB may do.
//!
//! Each run is one seed: writers that lose answers and try again, phones that sync in between, backups that are
//! restored, months that pass. A failure prints its seed; `SYNC_SEED=<seed> cargo test -p shared --test sync` runs it
//! again, step by step the same. `SYNC_RUNS` sets how many seeds are run.
//!
//! 1. Seqs have no gaps, and each version follows the one before.
//! 2. When all is quiet, every client equals the server.
//! 3. A page of the log leaves the client at exactly the state of its token, and never inside an atomic batch.
//! 4. Tokens never go backward.
//! 5. Nothing comes back that is gone.
//! 6. Each success is in the log exactly once, what changes nothing never; a conflict has no effect, a retry at most one.
//! 7. A position that the log does not reach is 410, and no other is.
//! 8. Tokens of others and tampered ones are refused.
//! 9. A first sync is exact, whatever is written meanwhile.
//! 10. An idle poll reads one item; a delta reads what has changed.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod executor;
mod note;
mod phone;
mod world;
mod writer;

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use executor::{Task, run};
use jiff::SignedDuration;
use phone::Phone;
use world::{Adversary, Temper, World};
use writer::Writer;

const RUNS: u64 = 3000;
const ROUNDS: usize = 5;
const WRITERS: usize = 4;
const PHONES: usize = 3;

#[test]
fn the_properties_hold_under_any_interleaving() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = match number("SYNC_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SYNC_RUNS").unwrap_or(RUNS),
    };
    for seed in seeds {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| scenario(seed))) {
            eprintln!("run it again: SYNC_SEED={seed} cargo test -p shared --test sync");
            resume_unwind(panic);
        }
    }
}

fn scenario(seed: u64) {
    // The service's own dice, for its pauses.
    fastrand::seed(seed);
    let show = if seed.is_multiple_of(3) { 0.5 } else { 0.03 };
    let trouble = if seed.is_multiple_of(2) { 0.1 } else { 0.0 };
    let store = Adversary::new(seed, Temper { show, trouble });
    let mut writers: Vec<Writer> = (0..WRITERS).map(|n| Writer::new(&store, format!("w{n}"))).collect();
    let mut phones: Vec<Phone> = (0..PHONES).map(|_| Phone::new(&store)).collect();
    let mut backup = store.world().backup();
    for _ in 0..ROUNDS {
        let mut tasks: Vec<Task<'_>> = Vec::new();
        tasks.extend(writers.iter_mut().map(|writer| Box::pin(writer.live()) as Task<'_>));
        tasks.extend(phones.iter_mut().map(|phone| Box::pin(phone.live()) as Task<'_>));
        run(&store, tasks);
        let mut world = store.world();
        check_history(&world);
        let rest = match world.rng.u8(..10) {
            0 => SignedDuration::from_hours(9 * 24),
            1 | 2 => SignedDuration::from_mins(11),
            3 | 4 => SignedDuration::from_secs(90),
            _ => SignedDuration::from_secs(1),
        };
        world.rest(rest);
        match world.rng.u8(..10) {
            0 | 1 => backup = world.backup(),
            2 => world.restore(backup.clone()),
            _ => {}
        }
    }
    // Quiet: everything is visible, and nothing is under way.
    store.world().rest(SignedDuration::from_secs(120));
    run(&store, phones.iter_mut().map(|phone| Box::pin(phone.catch_up()) as Task<'_>).collect());
    for phone in &mut phones {
        run(&store, vec![Box::pin(phone.check_at_rest())]);
    }
}

/// No gaps, no jumps, nothing that changes nothing, and whole commits.
fn check_history(world: &World) {
    let mut rows: BTreeMap<&str, (u64, &Option<String>)> = BTreeMap::new();
    for (index, change) in world.history.iter().enumerate() {
        assert_eq!(change.seq, index as u64 + 1, "a gap in the log");
        let (version, text) = rows.get(change.id.as_str()).copied().unwrap_or((0, &None));
        let anew = change.version == 1 && world.forgotten.contains(&change.id);
        assert!(
            change.version == version + 1 || anew,
            "{} goes from version {version} to {}",
            change.id,
            change.version
        );
        assert!(*text != change.text || anew, "{} did not change at seq {}", change.id, change.seq);
        rows.insert(&change.id, (change.version, &change.text));
    }
}
