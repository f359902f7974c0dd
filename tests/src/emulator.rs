//! The stores that a test runs on.

use dev::{database::Database, tables};
use shared::{
    backend::aws::Aws,
    config::{Config, Env},
};

/// A DynamoDB with a table of its own, or nothing when this machine has no such emulator.
pub struct Store {
    /// Clients of its endpoint.
    pub aws: Aws,
    /// Where it listens.
    pub endpoint: String,
    /// A fresh table with the keys `pk` and `sk`.
    pub table: String,
    /// A fresh table of request counters.
    pub counters: String,
    embedded: Option<Database>,
}

impl Store {
    /// Whether this is the fast one, in this process.
    pub fn is_embedded(&self) -> bool {
        self.embedded.is_some()
    }
}

/// The variable that names the independent emulator: `scripts/with-emulator` sets it.
const EMULATOR: &str = "AWS_EMULATOR_URL";

/// A fresh embedded server.
pub async fn embedded() -> Store {
    let database = Database::in_memory().await.expect("an embedded DynamoDB");
    on(&database.endpoint(), "rows".into(), Some(database)).await
}

/// A fresh table on the independent emulator.
pub async fn independent() -> Option<Store> {
    let endpoint = independent_endpoint()?;
    Some(on(&endpoint, format!("rows-{}", shared::Id::generate()), None).await)
}

/// Where the independent emulator is, if there is one; says so if there is none.
pub fn independent_endpoint() -> Option<String> {
    let endpoint = std::env::var(EMULATOR).ok();
    if endpoint.is_none() {
        eprintln!("skipped: {EMULATOR} is not set; `scripts/with-emulator cargo test` sets it");
    }
    endpoint
}

async fn on(endpoint: &str, table: String, embedded: Option<Database>) -> Store {
    let env: Env = dev::settings::pairs().collect();
    let aws = Aws::local(endpoint, Config::from_env(&env).expect("good settings").limits).expect("good settings");
    tables::create_one(&aws.dynamodb, &table, &["pk", "sk"], &[("byColour", "colour")]).await.expect("a new table");
    let counters = format!("{table}-counters");
    tables::create_one(&aws.dynamodb, &counters, &["pk"], &[]).await.expect("a new table");
    Store { aws, endpoint: endpoint.to_owned(), table, counters, embedded }
}

/// Declares a test twice: on the embedded server and on the independent one.
#[macro_export]
macro_rules! on_every_store {
    ($($name:ident),+ $(,)?) => {
        $(
            mod $name {
                #[tokio::test(flavor = "multi_thread")]
                async fn embedded() {
                    super::$name($crate::emulator::embedded().await).await;
                }

                #[tokio::test(flavor = "multi_thread")]
                async fn independent() {
                    if let Some(store) = $crate::emulator::independent().await {
                        super::$name(store).await;
                    }
                }
            }
        )+
    };
}
