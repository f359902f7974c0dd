//! Delta sync with real processes: eight writers and four phones of one user, while the server is killed again and
//! again. Every phone ends equal to the server, every acknowledged write is in the log exactly once.

#![allow(clippy::expect_used)]

mod client;
mod phone;
mod server;
mod writer;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use client::Client;
use phone::Phone;
use server::Server;
use tests::{emulator::Store, on_every_store};
use tokio::task::JoinSet;
use writer::{Fate, Writer};

const WRITERS: usize = 8;
const PHONES: u64 = 4;
/// Acknowledged writes of one writer: 2,000 in all.
const WRITES: usize = 250;
/// The same on the independent store, which is slow: 800 in all.
const FEWER_WRITES: usize = 100;
/// How often the server is killed.
const KILLS: u32 = 5;

on_every_store!(phones_end_equal_although_the_server_is_killed);

async fn phones_end_equal_although_the_server_is_killed(store: Store) {
    let quota = if store.is_embedded() { WRITES } else { FEWER_WRITES };
    let mut server = Server::start(&store).await;
    let client = Client::new(server.address());
    let progress = Arc::default();

    let mut writers = JoinSet::new();
    for number in 0..WRITERS {
        let writer = Writer::new(client.clone(), number, Arc::clone(&progress));
        writers.spawn(writer.run(quota));
    }
    let mut phones = JoinSet::new();
    for number in 1..=PHONES {
        let (phone, progress) = (Phone::new(client.clone(), number * number * 10), Arc::clone(&progress));
        phones.spawn(phone.sync_until(move || writer::total(&progress) >= WRITERS * quota));
    }
    for kill in 1..=KILLS {
        let goal = WRITERS * quota * kill as usize / (KILLS as usize + 1);
        while writer::total(&progress) < goal {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server.kill_and_restart().await;
    }

    let fates: Vec<Fate> = writers.join_all().await.into_iter().flatten().collect();
    let log = server.log().await;
    check_log(&log, &fates);
    let rows = rows(&log);
    for mut phone in phones.join_all().await {
        phone.sync().await;
        assert_eq!(phone.rows(), &rows);
    }
    let mut newcomer = Phone::new(client, 7);
    newcomer.sync().await;
    assert_eq!(newcomer.rows(), &rows);
}

/// One entry of the log: seq, id, version, note; no note for a tombstone.
type Entry = (u64, String, u64, Option<String>);

fn check_log(log: &[Entry], fates: &[Fate]) {
    let mut versions: HashMap<&str, u64> = HashMap::new();
    let mut written: HashMap<&str, usize> = HashMap::new();
    for (index, (seq, id, version, note)) in log.iter().enumerate() {
        assert_eq!(*seq, index as u64 + 1, "a gap in the log");
        let last = versions.entry(id).or_default();
        assert_eq!(*version, *last + 1, "{id} at seq {seq}");
        *last = *version;
        if let Some(note) = note {
            *written.entry(note).or_default() += 1;
        }
    }
    let stored: HashMap<(&str, u64), &Option<String>> =
        log.iter().map(|(_, id, version, note)| ((id.as_str(), *version), note)).collect();
    let mut acknowledged: HashMap<(&str, u64), &str> = HashMap::new();
    for fate in fates {
        let times = written.get(fate.note.as_str()).copied().unwrap_or(0);
        match &fate.acknowledged {
            Some((id, version)) => {
                assert_eq!(times, 1, "{} was acknowledged and is in the log {times} times", fate.note);
                let found = stored.get(&(id.as_str(), *version)).and_then(|note| note.as_ref());
                assert_eq!(found, Some(&fate.note), "{id} at version {version}");
                let other = acknowledged.insert((id, *version), &fate.note);
                assert_eq!(other, None, "{id} at version {version} was acknowledged to two writes");
            }
            None => assert!(times <= 1, "{} is in the log {times} times", fate.note),
        }
    }
    let known: usize = written.keys().filter(|note| fates.iter().any(|fate| fate.note == ***note)).count();
    assert_eq!(known, written.len(), "a note that nobody wrote");
}

fn rows(log: &[Entry]) -> BTreeMap<String, (u64, String)> {
    let mut rows = BTreeMap::new();
    for (_, id, version, note) in log {
        match note {
            Some(note) => rows.insert(id.clone(), (*version, note.clone())),
            None => rows.remove(id),
        };
    }
    rows
}
