//! The container's binary as a process that dies.

use std::{
    net::{Ipv4Addr, SocketAddr},
    process::Stdio,
    time::{Duration, Instant},
};

use dev::{demo, settings};
use tests::{emulator::Store, logs, server::SETTINGS};
use tokio::process::{Child, Command};

use crate::{
    Entry,
    client::{SCOPE, USER},
};

/// Panics when its log tells what it must not.
impl Drop for Server<'_> {
    fn drop(&mut self) {
        logs::check();
    }
}

pub(crate) struct Server<'a> {
    store: &'a Store,
    port: u16,
    process: Child,
}

impl<'a> Server<'a> {
    /// Starts on a store, with orders in its table, and the catalogue beside them.
    pub(crate) async fn start(store: &'a Store) -> Self {
        let epoch = demo::TEST_EPOCH;
        for (table, items) in demo::items(epoch).expect("the demo data") {
            if table == settings::value("PRODUCTS_TABLE") {
                // In the same table: scopes do not meet.
                for item in items.into_iter().take(2 * 10) {
                    let put = store.aws.dynamodb.put_item().table_name(&store.table).set_item(Some(item));
                    put.send().await.expect("a product is stored");
                }
            }
        }
        let port = free_port();
        let mut server = Self { store, port, process: spawn(store, port) };
        server.wait().await;
        server
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// SIGKILL: nothing is finished, nothing is said.
    pub(crate) async fn kill_and_restart(&mut self) {
        self.process.kill().await.expect("killed");
        self.process = spawn(self.store, self.port);
        self.wait().await;
    }

    async fn wait(&mut self) {
        let start = Instant::now();
        while tokio::net::TcpStream::connect(self.address()).await.is_err() {
            assert!(self.process.try_wait().expect("a child").is_none(), "the server stopped");
            assert!(start.elapsed() < Duration::from_secs(30), "the server does not listen");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The log as it is stored. In small pages, for a slow machine.
    pub(crate) async fn log(&self) -> Vec<Entry> {
        let text = |value: &str| aws_sdk_dynamodb::types::AttributeValue::S(value.to_owned());
        let query = self.store.aws.dynamodb.query().table_name(&self.store.table).consistent_read(true);
        let query = query.key_condition_expression("pk = :pk AND begins_with(sk, :log)");
        let query =
            query.expression_attribute_values(":pk", text(SCOPE)).expression_attribute_values(":log", text("C#0"));
        let items =
            query.into_paginator().page_size(100).items().send().collect::<Result<Vec<_>, _>>().await.expect("the log");
        let number =
            |item: &shared::delta::Item, name: &str| item[name].as_n().expect("a number").parse().expect("whole");
        let note = |item: &shared::delta::Item| {
            let order = item.get("data")?.as_m().expect("an order");
            Some(order["note"].as_s().expect("a note").clone())
        };
        let entry = |item: &shared::delta::Item| {
            (number(item, "seq"), item["id"].as_s().expect("an id").clone(), number(item, "version"), note(item))
        };
        items.iter().map(entry).collect()
    }
}

/// Below the ports that the system gives to clients: one that connects to a port of its own range may meet itself.
fn free_port() -> u16 {
    let free = |port: &u16| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    std::iter::repeat_with(|| fastrand::u16(15_000..30_000)).find(free).expect("a free port")
}

fn spawn(store: &Store, port: u16) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_container"))
        .env_clear()
        .envs(settings::pairs().filter(|(_, value)| !value.is_empty()))
        .env("AWS_ENDPOINT_URL_DYNAMODB", &store.endpoint)
        .env("ORDERS_TABLE", &store.table)
        .env("PRODUCTS_TABLE", &store.table)
        .env("RATE_LIMIT_TABLE", &store.counters)
        .envs(SETTINGS)
        // A slow machine is no reason to refuse a write.
        .env("RATE_LIMIT_TIMEOUT_MS", "5000")
        .env("LOG_LEVEL", "error")
        .env("PORT", port.to_string())
        .env("METRICS_PORT", "0")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{USER}'s server does not start: {error}"));
    logs::follow(child.stdout.take().expect("piped"));
    child
}
