//! The network as a phone has it: an answer, or silence.

use std::{net::SocketAddr, time::Duration};

use reqwest::Method;
use serde_json::Value;

pub(crate) const USER: &str = "everyone";
pub(crate) const SCOPE: &str = "U#everyone";

#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        shared::backend::upstream::install_tls_provider();
        let http = reqwest::Client::builder().timeout(Duration::from_secs(20)).build().expect("a client");
        let token = dev::token::issue(&USER.parse().expect("a legal id"), None);
        Self { http, base: format!("http://{address}/api/v2/orders"), token }
    }

    /// Sends until there is an answer that is not "try again". Says whether an earlier try was without one, which may
    /// have been carried out.
    pub(crate) async fn send(&self, method: &Method, path: &str, key: Option<&str>, body: Option<&Value>) -> Answer {
        let mut doubt = false;
        loop {
            let mut request =
                self.http.request(method.clone(), format!("{}{path}", self.base)).bearer_auth(&self.token);
            if let Some(key) = key {
                request = request.header("idempotency-key", key);
            }
            if let Some(body) = body {
                request = request.header("content-type", "application/json").body(body.to_string());
            }
            let answer = match request.send().await {
                Ok(answer) => {
                    let status = answer.status().as_u16();
                    answer.bytes().await.ok().map(|bytes| (status, bytes))
                }
                Err(_) => None,
            };
            match answer {
                Some((status, bytes)) if status < 500 => {
                    let body = serde_json::from_slice(&bytes).expect("JSON");
                    return Answer { status, body, doubt };
                }
                Some((status, bytes)) => {
                    let body: Value = serde_json::from_slice(&bytes).expect("JSON");
                    assert_eq!(body["retryable"], true, "{status} {body}");
                    doubt = true;
                }
                None => doubt = true,
            }
            tokio::time::sleep(Duration::from_millis(fastrand::u64(10..60))).await;
        }
    }
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    /// Whether an earlier try had no answer.
    pub(crate) doubt: bool,
}
