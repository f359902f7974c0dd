//! A device that writes in every way there is, and remembers what it was told.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Answer, Client};

/// How many orders each writer has to itself, and how many all of them share.
const OWN: usize = 30;
const SHARED: usize = 20;
/// Mutations of the largest batch.
const BATCH: usize = 24;

/// What became of one write: its unique note, and the id and version that the server has acknowledged.
pub(crate) struct Fate {
    pub(crate) note: String,
    pub(crate) acknowledged: Option<(String, u64)>,
}

/// Acknowledged writes, of all writers.
pub(crate) fn total(progress: &AtomicUsize) -> usize {
    progress.load(Ordering::Relaxed)
}

pub(crate) struct Writer {
    client: Client,
    number: usize,
    progress: Arc<AtomicUsize>,
    made: usize,
    done: usize,
    versions: HashMap<String, u64>,
    fates: Vec<Fate>,
}

impl Writer {
    pub(crate) fn new(client: Client, number: usize, progress: Arc<AtomicUsize>) -> Self {
        Self { client, number, progress, made: 0, done: 0, versions: HashMap::new(), fates: Vec::new() }
    }

    /// Writes until so many writes were acknowledged.
    pub(crate) async fn run(mut self, writes: usize) -> Vec<Fate> {
        while self.done < writes {
            match fastrand::u8(..10) {
                0 => self.post().await,
                1 => self.delete().await,
                2..7 => self.batch(writes - self.done).await,
                7 => self.patch().await,
                _ => self.put().await,
            }
        }
        self.fates
    }

    fn note(&mut self) -> String {
        self.made += 1;
        format!("writer {}, write {}", self.number, self.made)
    }

    fn target(&self) -> (String, u64) {
        let id = if fastrand::u8(..4) > 0 {
            format!("order-{}-{}", self.number, fastrand::usize(..OWN))
        } else {
            format!("order-{}", fastrand::usize(..SHARED))
        };
        let version = self.versions.get(&id).copied().unwrap_or(0);
        (id, version)
    }

    fn acknowledge(&mut self, note: String, id: &str, version: u64) {
        self.versions.insert(id.to_owned(), version);
        self.fates.push(Fate { note, acknowledged: Some((id.to_owned(), version)) });
        self.done += 1;
        self.progress.fetch_add(1, Ordering::Relaxed);
    }

    /// A write that was refused, or whose version is not known: it may be in the log if an earlier try had no answer.
    fn doubtful(&mut self, note: String) {
        self.fates.push(Fate { note, acknowledged: None });
    }

    /// The answer to a write of one order, or to one mutation of a batch.
    fn settle(&mut self, note: String, id: &str, status: u16, answer: &Value, doubt: bool) {
        match status {
            // An earlier try may have written, and another writer after it: then this is not the version that it made.
            200 | 201 if answer["note"] == note.as_str() || !doubt => {
                self.acknowledge(note, id, answer["version"].as_u64().expect("a version"));
            }
            200 | 201 => {
                self.versions.insert(id.to_owned(), answer["version"].as_u64().expect("a version"));
                self.doubtful(note);
            }
            409 => {
                let current = answer["details"]["currentVersion"].as_u64().expect("a version");
                self.versions.insert(id.to_owned(), current);
                self.doubtful(note);
            }
            404 => {
                self.versions.insert(id.to_owned(), 0);
                self.doubtful(note);
            }
            _ => panic!("{status} {answer}"),
        }
    }

    async fn put(&mut self) {
        let ((id, version), note) = (self.target(), self.note());
        let body = json!({ "version": version, "items": items(), "note": note });
        let Answer { status, body, doubt } = self.client.send(&Method::PUT, &format!("/{id}"), None, Some(&body)).await;
        self.settle(note, &id, status, &body, doubt);
    }

    async fn patch(&mut self) {
        let ((id, version), note) = (self.target(), self.note());
        if version == 0 {
            return;
        }
        let path = format!("/{id}?onConflict=merge");
        let body = json!({ "version": version, "note": note });
        let Answer { status, body, doubt } = self.client.send(&Method::PATCH, &path, None, Some(&body)).await;
        self.settle(note, &id, status, &body, doubt);
    }

    async fn post(&mut self) {
        let note = self.note();
        let body = json!({ "items": items(), "note": note });
        let answer = self.client.send(&Method::POST, "", Some(&note.replace(' ', "-")), Some(&body)).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        let id = answer.body["id"].as_str().expect("an id").to_owned();
        self.acknowledge(note, &id, 1);
    }

    async fn delete(&mut self) {
        let (id, _) = self.target();
        let answer = self.client.send(&Method::DELETE, &format!("/{id}"), None, None).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        self.versions.insert(id, answer.body["version"].as_u64().expect("a version"));
    }

    async fn batch(&mut self, most: usize) {
        let atomic = fastrand::bool();
        let count = fastrand::usize(1..=most.min(BATCH));
        let mut notes = Vec::new();
        let mut mutations = Vec::new();
        for _ in 0..count {
            let ((id, version), note) = (self.target(), self.note());
            mutations.push(json!({
                "mutationId": note.replace([' ', ','], "-"), "op": "put", "id": id, "version": version,
                "data": { "items": items(), "note": note }
            }));
            notes.push((note, id));
        }
        let body = json!({ "atomic": atomic, "mutations": mutations });
        let Answer { status, body, doubt } = self.client.send(&Method::POST, "/batch", None, Some(&body)).await;
        if atomic && status == 409 {
            for result in body["details"]["results"].as_array().expect("results") {
                let version = result["error"]["details"]["currentVersion"].as_u64().expect("a version");
                self.versions.insert(result["id"].as_str().expect("an id").to_owned(), version);
            }
            for (note, _) in notes {
                self.doubtful(note);
            }
            return;
        }
        assert_eq!(status, 200, "{body}");
        for ((note, id), result) in notes.into_iter().zip(body["results"].as_array().expect("results")) {
            let status = result["status"].as_u64().and_then(|status| u16::try_from(status).ok()).expect("a status");
            let said = result.get("item").or(result.get("error")).expect("an item or an error");
            self.settle(note, &id, status, said, doubt);
        }
    }
}

fn items() -> Value {
    json!([{ "productId": format!("p-{:04}", fastrand::u8(1..10)), "quantity": fastrand::u8(1..9) }])
}
