//! A phone that syncs as the documentation says.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;

use crate::client::Client;

pub(crate) struct Phone {
    client: Client,
    limit: u64,
    token: String,
    rows: BTreeMap<String, (u64, String)>,
    seen: Option<BTreeSet<String>>,
}

impl Phone {
    pub(crate) fn new(client: Client, limit: u64) -> Self {
        Self { client, limit, token: String::new(), rows: BTreeMap::new(), seen: None }
    }

    pub(crate) fn rows(&self) -> &BTreeMap<String, (u64, String)> {
        &self.rows
    }

    pub(crate) async fn sync_until(mut self, done: impl Fn() -> bool) -> Self {
        while !done() {
            self.sync().await;
            // Now and then it is installed anew.
            if fastrand::u8(..) < 4 {
                self = Self::new(self.client, self.limit);
            }
        }
        self
    }

    /// Until there is nothing more.
    pub(crate) async fn sync(&mut self) {
        loop {
            let path = format!("/delta?fields=id,version,note&limit={}&since={}", self.limit, self.token);
            let answer = self.client.send(&Method::GET, &path, None, None).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            let page = answer.body;
            if self.token.is_empty() {
                self.seen = Some(BTreeSet::new());
            }
            for item in page["items"].as_array().expect("items") {
                let id = item["id"].as_str().expect("an id").to_owned();
                if item["deleted"] == true {
                    self.seen.as_mut().map(|seen| seen.remove(&id));
                    self.rows.remove(&id);
                } else {
                    self.seen.as_mut().map(|seen| seen.insert(id.clone()));
                    let note = item["note"].as_str().expect("a note").to_owned();
                    self.rows.insert(id, (item["version"].as_u64().expect("a version"), note));
                }
            }
            page["syncToken"].as_str().expect("a token").clone_into(&mut self.token);
            if page["hasMore"] == false {
                if let Some(seen) = self.seen.take() {
                    self.rows.retain(|id, _| seen.contains(id));
                }
                return;
            }
        }
    }
}
