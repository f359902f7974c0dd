//! The golden cases of every route group, sent to the estate that `scripts/check-deploy` has deployed.
//!
//! What answers are the packages that `sam build` has made, through the deployed front door, with the deployed tables,
//! bucket and secrets, and with no more rights than the templates grant.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::{
    Client,
    types::{DeleteRequest, PutRequest, WriteRequest},
};
use dev::demo;
use serde::Deserialize;
use shared::{
    backend::aws::Aws,
    config::{Config, Env},
    delta::Item,
};
use tests::{
    case::{Request, Response},
    golden,
    server::{self, plain_client},
};

/// What `scripts/estate/check.py` writes down about the deployment.
#[derive(Deserialize)]
struct Estate {
    /// Address of the emulator.
    endpoint: String,
    /// Address of the front door, and the `Host` that goes with it.
    origin: String,
    host: String,
    /// Its name, for messages.
    door: String,
    /// The names of the tables, by the setting that holds them in `dev/local.env`.
    tables: BTreeMap<String, String>,
}

/// The route groups in an order in which none writes what a later one reads.
const GROUPS: [&str; 5] = ["products", "home", "thumbnails", "users", "orders"];

/// What the emulator's front doors do to a request that AWS's do not: they decode a path and a query, cut a slash off the
/// end of a path, and take every body for text.
const BEYOND_THE_EMULATOR: [&str; 6] = [
    "products/tests/cases/014-category-encoded.json",
    "thumbnails/tests/cases/024-up-one-folder.json",
    "thumbnails/tests/cases/027-no-key.json",
    "orders/tests/cases/301-post-gzip-v1.json",
    "orders/tests/cases/302-post-gzip-v2.json",
    "orders/tests/cases/304-post-gzip-too-large-inside.json",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_case_through_the_deployed_front_door() {
    let Some(file) = std::env::var_os("DEPLOYED_ESTATE") else {
        eprintln!("skipped: DEPLOYED_ESTATE is not set; `scripts/check-deploy` deploys an estate and sets it");
        return;
    };
    let estate: Estate = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    estate.load_demo_data().await;
    let client = plain_client();
    let mut differences = Vec::new();
    for group in GROUPS {
        let folder = format!("{}/../functions/{group}/tests/cases", env!("CARGO_MANIFEST_DIR"));
        let send = async |request: Request| {
            let answer = server::send_through(&client, &estate.origin, &estate.host, &request).await;
            let mut answer = Response::of(answer);
            // What the front doors add.
            answer.headers.remove("apigw-requestid");
            answer.headers.remove("server");
            if answer.status == 304 {
                answer.headers.remove("content-type");
            }
            answer
        };
        differences.extend(golden::differences(&estate.door, folder.as_ref(), false, send).await);
    }
    differences.retain(|difference| !BEYOND_THE_EMULATOR.iter().any(|case| difference.contains(case)));
    assert!(differences.is_empty(), "{} differ\n{}", differences.len(), differences.join("\n\n"));
}

impl Estate {
    /// Puts the demo data into the tables, in place of whatever is there.
    async fn load_demo_data(&self) {
        let client = self.administrator();
        for (name, items) in demo::items(demo::TEST_EPOCH).unwrap() {
            let setting = dev::settings::pairs().find(|(_, value)| *value == name).unwrap().0;
            let table = &self.tables[setting];
            empty(&client, table).await;
            let put = |item| PutRequest::builder().set_item(Some(item)).build().unwrap();
            let writes = items.into_iter().map(|item| WriteRequest::builder().put_request(put(item)).build());
            write(&client, table, writes.collect()).await;
        }
    }

    /// A client of whoever owns the account.
    fn administrator(&self) -> Client {
        let env = dev::settings::pairs().collect::<Env>().with([
            ("AWS_ENDPOINT_URL_DYNAMODB", self.endpoint.as_str()),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("STORE_TIMEOUT_MS", "60000"),
            ("STORE_ATTEMPT_TIMEOUT_MS", "60000"),
        ]);
        Aws::from_env(&env, Config::from_env(&env).unwrap().limits).unwrap().dynamodb
    }
}

async fn empty(client: &Client, table: &str) {
    let schema = client.describe_table().table_name(table).send().await.unwrap().table.unwrap();
    let keys: Vec<String> = schema.key_schema().iter().map(|key| key.attribute_name().to_owned()).collect();
    let mut pages = client.scan().table_name(table).into_paginator().items().send();
    let mut writes = Vec::new();
    while let Some(item) = pages.next().await {
        let mut item = item.unwrap();
        let key: Item = keys.iter().map(|name| (name.clone(), item.remove(name).unwrap())).collect();
        let delete = DeleteRequest::builder().set_key(Some(key)).build().unwrap();
        writes.push(WriteRequest::builder().delete_request(delete).build());
    }
    write(client, table, writes).await;
}

async fn write(client: &Client, table: &str, writes: Vec<WriteRequest>) {
    for batch in writes.chunks(25) {
        let answer = client.batch_write_item().request_items(table, batch.to_vec()).send().await.unwrap();
        assert!(answer.unprocessed_items().is_none_or(std::collections::HashMap::is_empty));
    }
}
