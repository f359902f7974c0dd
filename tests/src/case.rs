//! A golden case: a request and its answer.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::coding;

/// One file of a `cases` folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Case {
    /// What is sent.
    pub request: Request,
    /// What must come back; absent in a new file until the first `UPDATE_GOLDEN=1` run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Response>,
    /// Settings of the service that differ from those of all other cases. Only cases of the container have them; the word
    /// `{silent}` in a value stands for the address of a store that never answers, and `{throttling}` for one that refuses.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// Parts of the answer that differ from run to run: JSON pointers into the body, and `header:<name>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub varies: Vec<String>,
    /// Why users and products of another service are answered for in another way; then the case is for tables only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables_only: Option<String>,
}

/// A request, whatever the front door.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// HTTP method.
    pub method: String,
    /// Path and query as a client writes them, percent-encoded.
    pub target: String,
    /// The user whose token goes along; nobody's without one.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Headers besides the token and the content type of a JSON body.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// A JSON body; or a text that is sent as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
}

/// An answer as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers in their order.
    pub headers: Vec<(String, String)>,
    /// Every byte of the body.
    pub body: Vec<u8>,
}

/// An answer, without what belongs to one connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Headers by name, repeated ones joined.
    pub headers: BTreeMap<String, String>,
    /// A JSON body; or the text of any other, or what stands for it if it has none; null when there is no body. Without
    /// the coding that the headers name.
    pub body: Value,
}

impl Case {
    /// Reads a file.
    pub fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Writes a file.
    pub fn write(&self, path: &Path) {
        let text = serde_json::to_string_pretty(self).expect("a case is JSON");
        fs::write(path, text + "\n").unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

/// The files of a folder in the order of their names, which is the order in which they are sent.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    assert!(!files.is_empty(), "{} has no cases", folder.display());
    files
}

impl Request {
    /// All headers that go over the wire.
    pub fn wire_headers(&self) -> Vec<(String, String)> {
        let mut headers: Vec<(String, String)> =
            self.headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect();
        let has = |headers: &[(String, String)], name: &str| headers.iter().any(|(given, _)| given == name);
        if let Some(user) = &self.user {
            let user = user.parse().expect("a legal user id");
            headers.push(("authorization".into(), format!("Bearer {}", dev::token::issue(&user, None))));
        }
        if self.body.is_some() && !has(&headers, "content-type") {
            headers.push(("content-type".into(), "application/json".into()));
        }
        if !has(&headers, "x-request-id") {
            headers.push(("x-request-id".into(), "golden".into()));
        }
        headers
    }

    /// The body as it goes over the wire: packed, if a `content-encoding: gzip` among the headers says so.
    pub fn wire_body(&self) -> Option<Vec<u8>> {
        let text = self.body.as_ref().map(|body| body.as_str().map_or_else(|| body.to_string(), str::to_owned))?;
        let gzip = self.headers.get("content-encoding").is_some_and(|coding| coding == "gzip");
        Some(if gzip { coding::gzip(text.as_bytes()) } else { text.into_bytes() })
    }

    /// The path without the query, and the query without its question mark.
    pub fn path_and_query(&self) -> (&str, &str) {
        self.target.split_once('?').unwrap_or((&self.target, ""))
    }
}

/// Stands for a body that is no text: its kind and size, and a hash that no other body has.
pub fn binary(body: &[u8]) -> String {
    let hash = Sha256::digest(body).first_chunk().map_or(0, |start| u64::from_be_bytes(*start));
    format!("{} bytes, sha256 {hash:016x}…", body.len())
}

/// Headers of one connection, or of one moment.
const CONNECTION_HEADERS: [&str; 4] = ["connection", "content-length", "date", "transfer-encoding"];

impl Response {
    /// Reads an answer.
    pub fn of(answer: Answer) -> Self {
        let Answer { status, headers, body } = answer;
        let mut joined: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in headers {
            let name = name.to_lowercase();
            if !CONNECTION_HEADERS.contains(&name.as_str()) {
                joined.entry(name).and_modify(|all| *all = format!("{all}, {value}")).or_insert(value);
            }
        }
        let body = coding::decoded(joined.get("content-encoding").map(String::as_str), &body);
        let text = String::from_utf8(body).unwrap_or_else(|error| binary(error.as_bytes()));
        let body = serde_json::from_str(&text).unwrap_or(if text.is_empty() { Value::Null } else { text.into() });
        Self { status, headers: joined, body }
    }

    /// Replaces what varies by a mark, and returns what was to be replaced but is not there.
    pub fn redact(&mut self, varies: &[String]) -> Vec<String> {
        let mut missing = Vec::new();
        for part in varies {
            let mark = "(varies)".to_owned();
            let found = match part.strip_prefix("header:") {
                Some(name) => self.headers.get_mut(name).map(|value| *value = mark),
                None => self.body.pointer_mut(part).map(|value| *value = mark.into()),
            };
            if found.is_none() {
                missing.push(part.clone());
            }
        }
        missing
    }
}
