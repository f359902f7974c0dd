//! What delta sync costs: capacity units as the store counts them, and whether a delta gets slower with the number of
//! orders that it is not about.

use std::time::Instant;

use aws_sdk_dynamodb::Client;
use dev::{app, database::Database, settings, tables};
use jiff::Timestamp;
use orders::{Line, Order, Status};
use shared::{
    ApiError, Id,
    delta::{Bookmark, Change, ChangeLog, MAX_BATCH, Mutation, Position, Record, SyncRequest, initial_items},
    values::Money,
};

use crate::{
    Failure,
    meter::{Meter, Units},
    stats::median,
};

/// How many orders a small and a large customer have.
const SMALL: usize = 100;
const LARGE: usize = 10_000;
/// How many changes a delta brings.
const CHANGES: usize = 100;
/// How often each delta is timed.
const ROUNDS: usize = 200;

/// A customer with orders, and a phone in step with them.
struct Customer {
    name: String,
    scope: String,
    orders: ChangeLog<Order>,
    meter: Meter,
    bookmark: Bookmark,
}

impl Customer {
    async fn with(database: &Database, client: &Client, meter: &Meter, count: usize) -> Result<Self, Failure> {
        let scope = format!("U#customer-of-{count}");
        let table = settings::value("ORDERS_TABLE");
        let owned = (0..count).map(|n| Ok((id(n)?, order(0)))).collect::<Result<Vec<(Id, Order)>, Failure>>()?;
        let long_ago = Timestamp::now() - jiff::SignedDuration::from_mins(10);
        database.import(table, initial_items(&scope, owned, "bench", long_ago).map_err(text)?)?;
        let mut customer = Self {
            name: format!("{count} orders"),
            scope,
            orders: ChangeLog::new(client.clone(), table),
            meter: meter.clone(),
            bookmark: Bookmark {
                position: Position::Log { seq: count as u64 },
                epoch: "bench".into(),
                view: String::new(),
            },
        };
        customer.delta().await?;
        Ok(customer)
    }

    async fn delta(&mut self) -> Result<usize, Failure> {
        let since = Some(self.bookmark.clone());
        let limit = u16::try_from(CHANGES)?;
        let page = self.orders.changes(&self.scope, &SyncRequest { since, limit, view: String::new() }).await;
        let page = page.map_err(text)?;
        self.bookmark = page.bookmark;
        Ok(page.items.len())
    }

    async fn change(&self, number: usize, quantity: u32) -> Result<(), Failure> {
        let write = |_: Option<&Record<Order>>| Ok::<_, ApiError>(Change::Put(order(quantity)));
        self.orders.write(&self.scope, &id(number)?, write).await.map(drop).map_err(text)
    }

    async fn batch(&self, count: usize, quantity: u32) -> Result<(), Failure> {
        let write = move |_: Option<&Record<Order>>| Ok::<_, ApiError>(Change::Put(order(quantity)));
        let mutation = |n| Ok(Mutation { id: id(n)?, mutation_id: None, decision: write });
        let mut batch = (0..count).map(mutation).collect::<Result<Vec<_>, Failure>>()?;
        let outcomes = self.orders.write_batch(&self.scope, &mut batch, false).await.map_err(text)?;
        outcomes.into_iter().try_for_each(|outcome| outcome.map(drop).map_err(text))
    }

    /// The units of each kind of call, with the most that they may be.
    async fn costs(&mut self) -> Result<[Cost; 4], Failure> {
        self.meter.take();
        self.delta().await?;
        let idle = self.meter.take();
        self.change(0, 1).await?;
        let write = self.meter.take();
        self.batch(MAX_BATCH, 2).await?;
        let batch = self.meter.take();
        self.delta().await?;
        for n in 0..CHANGES {
            self.change(n, 3).await?;
        }
        self.meter.take();
        let items = self.delta().await?;
        if items != CHANGES {
            return Err(format!("a delta of {items} items").into());
        }
        let delta = self.meter.take();
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let rows = MAX_BATCH as f64;
        let most = |read, written, transactions| Units { read, written, transactions };
        Ok([
            ("an idle poll", idle, most(1.0, 0.0, 0)),
            ("a delta of 100 changes", delta, most(26.0, 0.0, 0)),
            ("a write", write, most(2.0, 6.0, 1)),
            ("a batch of 49 writes", batch, most(rows + 1.0, 4.0 * rows + 2.0, 1)),
        ])
    }
}

/// What it is, what it has consumed, and the most that it may consume.
type Cost = (&'static str, Units, Units);

#[expect(clippy::needless_pass_by_value, reason = "map_err gives the error away")]
fn text(error: ApiError) -> Failure {
    error.causes().unwrap_or_else(|| error.message().to_owned()).into()
}

fn id(n: usize) -> Result<Id, Failure> {
    Ok(format!("order-{n:05}").parse()?)
}

/// An order whose log entry has a little less than 1 KB.
fn order(quantity: u32) -> Order {
    let money = |amount| Money { amount, currency: "USD".into() };
    let line = |n: u32| Line {
        product_id: format!("p-{n:04}").parse().unwrap_or_else(|_| Id::generate()),
        name: "Travel Atlas".into(),
        quantity,
        unit_price: money(2799),
    };
    let now = Timestamp::from_second(1_800_000_000).unwrap_or_default();
    Order {
        items: (1..=7).map(line).collect(),
        status: Status::Pending,
        total: money(19_593),
        note: Some("Leave it at the door, please, and ring the bell twice.".into()),
        shipping_address: None,
        created_at: now,
        updated_at: now,
    }
}

/// Measures and prints; fails when the units are more than is promised.
pub(crate) async fn run() -> Result<(), Failure> {
    let database = Database::in_memory().await?;
    let plain = app::on(&database.endpoint())?.aws.dynamodb;
    tables::create(&plain).await?;
    let meter = Meter::default();
    let client = meter.on(&plain);
    let mut small = Customer::with(&database, &client, &meter, SMALL).await?;
    let mut large = Customer::with(&database, &client, &meter, LARGE).await?;

    println!("| what | of | read units | write units | transactions |\n| --- | --- | --- | --- | --- |");
    for customer in [&mut small, &mut large] {
        for (what, used, most) in customer.costs().await? {
            let Units { read, written, transactions } = used;
            println!("| {what} | {} | {read} | {written} | {transactions} |", customer.name);
            if read > most.read || written > most.written || transactions != most.transactions {
                return Err(format!("{what} may consume {most:?} and has consumed {used:?}").into());
            }
        }
    }

    // In turns, so that both see the same machine.
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (customer, times) in [&mut small, &mut large].into_iter().zip(&mut times) {
            let before = customer.bookmark.clone();
            if let Position::Log { seq } = &mut customer.bookmark.position {
                *seq -= CHANGES as u64;
            }
            let start = Instant::now();
            let items = customer.delta().await?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
            if items != CHANGES || customer.bookmark != before {
                return Err(format!("a delta of {items} items").into());
            }
        }
    }
    let [small, large] = times.map(|times| median(&times));
    println!(
        "\n100 changes out of {SMALL} orders: {small:.2} ms; out of {LARGE}: {large:.2} ms; ratio {:.2}",
        large / small
    );
    Ok(())
}
