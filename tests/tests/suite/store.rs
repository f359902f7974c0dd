//! The change log on real stores.

use std::collections::HashSet;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};
use shared::{
    ApiError, Code, Id,
    delta::{Change, ChangeLog, Effect, Entity, Index, Mutation, Once, Outcome, Record, Verdict, judge},
    http::{page::PageQuery, precondition::State},
};

use tests::{emulator::Store, on_every_store};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Paint {
    pub(crate) name: String,
    colour: Option<String>,
}

impl Entity for Paint {
    fn index_attributes(&self) -> Vec<(&'static str, String)> {
        self.colour.iter().map(|colour| ("colour", colour.clone())).collect()
    }
}

pub(crate) const SCOPE: &str = "U#painter";
const BY_COLOUR: Index = Index { name: "byColour", attribute: "colour" };

/// What these tests look at in a store.
pub(crate) trait Paints {
    fn paints(&self) -> ChangeLog<Paint>;
    /// The stored items of the scope whose sort keys begin so, in their order.
    async fn items(&self, prefix: &str) -> Vec<shared::delta::Item>;
    /// The log as it is stored: seq, id, version, deleted.
    async fn log(&self) -> Vec<(u64, String, u64, bool)>;
    async fn head(&self) -> shared::delta::Item;
}

impl Paints for Store {
    fn paints(&self) -> ChangeLog<Paint> {
        ChangeLog::new(self.aws.dynamodb.clone(), self.table.clone())
    }

    async fn items(&self, prefix: &str) -> Vec<shared::delta::Item> {
        let text = |value: &str| AttributeValue::S(value.into());
        let query = self.aws.dynamodb.query().table_name(&self.table).consistent_read(true);
        let query = query.key_condition_expression("pk = :pk AND begins_with(sk, :prefix)");
        let query = query.expression_attribute_values(":pk", text(SCOPE));
        query.expression_attribute_values(":prefix", text(prefix)).send().await.unwrap().items.unwrap()
    }

    async fn log(&self) -> Vec<(u64, String, u64, bool)> {
        let items = self.items("C#0").await;
        let number = |item: &shared::delta::Item, name: &str| item[name].as_n().unwrap().parse::<u64>().unwrap();
        items
            .iter()
            .map(|item| {
                let id = item["id"].as_s().unwrap().clone();
                (number(item, "seq"), id, number(item, "version"), item.contains_key("deleted"))
            })
            .collect()
    }

    async fn head(&self) -> shared::delta::Item {
        let key = |value: &str| AttributeValue::S(value.into());
        let get = self.aws.dynamodb.get_item().table_name(&self.table).key("pk", key(SCOPE)).key("sk", key("C#HEAD"));
        get.consistent_read(true).send().await.unwrap().item.expect("a head")
    }
}

pub(crate) fn id(text: &str) -> Id {
    text.parse().unwrap()
}

pub(crate) fn paint(name: &str, colour: Option<&str>) -> Paint {
    Paint { name: name.into(), colour: colour.map(Into::into) }
}

pub(crate) async fn put(paints: &ChangeLog<Paint>, key: &str, value: Paint) -> Result<Outcome<Paint>, ApiError> {
    paints.write(SCOPE, &id(key), |_: Option<&Record<Paint>>| Ok::<_, ApiError>(Change::Put(value.clone()))).await
}

pub(crate) async fn delete(paints: &ChangeLog<Paint>, key: &str) -> Outcome<Paint> {
    paints.write(SCOPE, &id(key), |_: Option<&Record<Paint>>| Ok::<_, ApiError>(Change::Delete)).await.unwrap()
}

on_every_store!(
    versions_and_log_agree,
    a_write_that_keeps_leaves_no_trace,
    writers_of_one_scope_leave_a_gapless_log,
    of_writers_with_one_base_one_wins,
    a_broken_log_is_a_fault_and_not_a_reason_to_wait,
    two_batches_at_once_are_one_after_the_other,
    an_edit_on_a_refused_edit_is_refused_with_it,
    a_key_makes_one_row_however_often_and_at_once,
    pages_hold_every_live_row_once,
    an_index_has_only_the_rows_with_its_attribute,
    recent_shows_each_changed_row_once,
);

async fn versions_and_log_agree(store: Store) {
    let paints = store.paints();
    let first = put(&paints, "a", paint("ash", None)).await.unwrap().record.unwrap();
    assert_eq!((first.version, first.seq), (1, 1));
    let second = put(&paints, "a", paint("bone", Some("white"))).await.unwrap().record.unwrap();
    assert_eq!((second.version, second.seq), (2, 2));
    let stored: Record<Paint> = paints.get(SCOPE, &id("a")).await.unwrap().unwrap();
    assert_eq!(stored, second);
    let gone = delete(&paints, "a").await.record.unwrap();
    assert_eq!((gone.version, gone.seq, gone.value), (3, 3, None));
    assert_eq!(paints.get("U#other", &id("a")).await.unwrap(), None);

    let log = store.log().await;
    let expected = [(1, "a".into(), 1, false), (2, "a".into(), 2, false), (3, "a".into(), 3, true)];
    assert_eq!(log, expected);
    let head = store.head().await;
    assert_eq!(head["seq"].as_n().unwrap(), "3");
    assert!(!head["epoch"].as_s().unwrap().is_empty());
}

async fn a_write_that_keeps_leaves_no_trace(store: Store) {
    let paints = store.paints();
    let kept =
        paints.write(SCOPE, &id("a"), |_: Option<&Record<Paint>>| Ok::<_, ApiError>(Change::Keep)).await.unwrap();
    assert!(kept.record.is_none() && kept.effect == Effect::None);
    put(&paints, "a", paint("ash", None)).await.unwrap();
    let kept =
        paints.write(SCOPE, &id("a"), |_: Option<&Record<Paint>>| Ok::<_, ApiError>(Change::Keep)).await.unwrap();
    assert_eq!(kept.record.unwrap().version, 1);
    assert_eq!(store.log().await.len(), 1);
}

/// A phone that pushes its offline queue in parallel: every write gets through.
async fn writers_of_one_scope_leave_a_gapless_log(store: Store) {
    let paints = store.paints();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let paints = paints.clone();
        writers.spawn(async move {
            for round in 0..6 {
                let outcome =
                    put(&paints, &format!("w{writer}"), paint(&format!("{round}"), None)).await.expect("written");
                assert_eq!(outcome.effect, if round == 0 { Effect::Created } else { Effect::Changed });
            }
        });
    }
    writers.join_all().await;
    let log = store.log().await;
    assert_eq!(log.iter().map(|entry| entry.0).collect::<Vec<_>>(), (1..=48).collect::<Vec<_>>());
    let mut versions = std::collections::HashMap::new();
    for (_, id, version, _) in log {
        let last = versions.entry(id).or_insert(0);
        assert_eq!(version, *last + 1);
        *last = version;
    }
}

/// A log entry that is ahead of its head cannot come from here; it must not look like a busy scope.
async fn a_broken_log_is_a_fault_and_not_a_reason_to_wait(store: Store) {
    let paints = store.paints();
    put(&paints, "a", paint("ash", None)).await.unwrap();
    let text = |value: &str| AttributeValue::S(value.into());
    let planted = store.aws.dynamodb.put_item().table_name(&store.table).item("pk", text(SCOPE));
    planted.item("sk", text("C#00000000000000000002")).send().await.unwrap();
    assert_eq!(put(&paints, "a", paint("bone", None)).await.unwrap_err().code(), Code::Internal);
    assert_eq!(paints.get(SCOPE, &id("a")).await.unwrap().unwrap().version, 1);
}

async fn of_writers_with_one_base_one_wins(store: Store) {
    let paints = store.paints();
    put(&paints, "a", paint("ash", None)).await.unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let paints = paints.clone();
        writers.spawn(async move {
            let proposed = paint(&format!("by {writer}"), None);
            let decide = |current: Option<&Record<Paint>>| match judge(current, &State::Versions(vec![1]), |stored| {
                *stored == proposed
            }) {
                Verdict::Apply => Ok(Change::Put(proposed.clone())),
                Verdict::Unchanged => Ok(Change::Keep),
                Verdict::Conflict => Err(ApiError::new(Code::Conflict, "lost")),
            };
            paints.write(SCOPE, &id("a"), decide).await.map(|outcome| outcome.effect == Effect::Changed)
        });
    }
    let results = writers.join_all().await;
    assert_eq!(results.iter().filter(|result| matches!(result, Ok(true))).count(), 1, "{results:?}");
    for lost in results.into_iter().filter_map(Result::err) {
        assert_eq!(lost.code(), Code::Conflict);
    }
    assert_eq!(store.log().await.len(), 2);
}

async fn pages_hold_every_live_row_once(store: Store) {
    let paints = store.paints();
    for n in 0..25 {
        put(&paints, &format!("p{n:02}"), paint("x", None)).await.unwrap();
    }
    // At both ends, and enough in a row to empty a page.
    let deleted: HashSet<String> = [0, 9, 10, 11, 12, 13, 14, 24].map(|n| format!("p{n:02}")).into();
    for key in &deleted {
        delete(&paints, key).await;
    }
    for limit in [1, 4, 7, 25, 100] {
        let mut seen = Vec::new();
        let mut cursor = None;
        loop {
            let page = query(limit, cursor.as_deref());
            let page = paints.list(SCOPE, &page).await.unwrap();
            assert!(page.items.len() <= usize::from(limit));
            seen.extend(page.items.iter().map(|record| record.id.to_string()));
            match page.next_cursor {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        let expected: Vec<String> =
            (0..25).rev().map(|n| format!("p{n:02}")).filter(|key| !deleted.contains(key)).collect();
        assert_eq!(seen, expected, "limit {limit}");
    }
}

fn query(limit: u16, cursor: Option<&str>) -> shared::http::page::PageRequest {
    let query: PageQuery =
        serde_json::from_value(serde_json::json!({ "limit": limit.to_string(), "cursor": cursor })).unwrap();
    query.check().unwrap()
}

async fn an_index_has_only_the_rows_with_its_attribute(store: Store) {
    let paints = store.paints();
    for (key, colour) in [("a", Some("red")), ("b", None), ("c", Some("red")), ("d", Some("blue")), ("e", Some("red"))]
    {
        put(&paints, key, paint("x", colour)).await.unwrap();
    }
    put(&paints, "c", paint("x", Some("blue"))).await.unwrap();
    delete(&paints, "e").await;
    let ids = async |colour: &str| {
        let page = paints.list_by(BY_COLOUR, colour, &query(10, None)).await.unwrap();
        page.items.iter().map(|record| record.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(ids("red").await, ["a"]);
    assert_eq!(ids("blue").await, ["d", "c"]);
    assert_eq!(ids("green").await, [""; 0]);
}

async fn recent_shows_each_changed_row_once(store: Store) {
    let paints = store.paints();
    for key in ["a", "b", "c", "b", "d"] {
        put(&paints, key, paint("x", None)).await.unwrap();
    }
    delete(&paints, "c").await;
    let recent = paints.recent(SCOPE, 2).await.unwrap();
    let shown: Vec<(String, u64)> = recent.iter().map(|record| (record.id.to_string(), record.version)).collect();
    assert_eq!(shown, [("d".into(), 1), ("b".into(), 2)]);
    assert!(paints.recent("U#nobody", 2).await.unwrap().is_empty());
}

async fn a_key_makes_one_row_however_often_and_at_once(store: Store) {
    let paints = store.paints();
    let once = Once::new("POST paints", "key", b"ash");
    let create = async |paints: ChangeLog<Paint>, id: String, once: Once| {
        let decide = |_: Option<&Record<Paint>>| Ok::<_, ApiError>(Change::Put(paint("ash", None)));
        paints.write_once(SCOPE, &self::id(&id), decide, Some(&once)).await
    };
    let mut requests = tokio::task::JoinSet::new();
    for n in 0..8 {
        requests.spawn(create(paints.clone(), format!("p{n}"), once.clone()));
    }
    let outcomes: Vec<_> = requests.join_all().await.into_iter().map(Result::unwrap).collect();
    assert_eq!(outcomes.iter().filter(|outcome| outcome.effect == Effect::Created).count(), 1);
    let first = outcomes[0].record.clone();
    assert!(outcomes.iter().all(|outcome| outcome.record == first), "all get the first answer");
    assert_eq!(store.log().await.len(), 1);

    // The answer stays what it was, also after the row has changed.
    let made = first.unwrap();
    put(&paints, made.id.as_str(), paint("bone", None)).await.unwrap();
    let late = create(paints.clone(), "late".into(), once.clone()).await.unwrap();
    assert_eq!((late.effect, late.record), (Effect::Replayed, Some(made)));

    let other = create(paints.clone(), "other".into(), Once::new("POST paints", "key", b"bone")).await;
    assert_eq!(other.unwrap_err().code(), Code::IdempotencyMismatch);
    let elsewhere = create(paints.clone(), "elsewhere".into(), Once::new("POST walls", "key", b"ash")).await.unwrap();
    assert_eq!(elsewhere.effect, Effect::Created);

    // Past its time the key is free again, although the record is still there.
    let text = |value: &str| AttributeValue::S(value.into());
    for key in store.items("K#").await {
        let expire = store.aws.dynamodb.update_item().table_name(&store.table).key("pk", text(SCOPE));
        let expire = expire.key("sk", key["sk"].clone()).update_expression("SET expiresAt = :long_ago");
        expire.expression_attribute_values(":long_ago", AttributeValue::N("1000".into())).send().await.unwrap();
    }
    let again = create(paints.clone(), "again".into(), once.clone()).await.unwrap();
    assert_eq!(again.effect, Effect::Created);
    assert_eq!(create(paints, "more".into(), once).await.unwrap().record, again.record);
}

/// Both name the same rows, each twice, and are as large as a batch may be: no write is lost, none is applied twice.
async fn two_batches_at_once_are_one_after_the_other(store: Store) {
    let paints = store.paints();
    let batch = |by: &'static str| {
        let paints = paints.clone();
        async move {
            let mutation = |n: usize| {
                let content = paint(&format!("{by} {n}"), None);
                let decision = move |_: Option<&Record<Paint>>| Ok::<_, ApiError>(Change::Put(content.clone()));
                Mutation { id: id(&format!("p{}", n % 24)), mutation_id: None, decision }
            };
            let mut batch: Vec<_> = (0..48).map(mutation).collect();
            paints.write_batch(SCOPE, &mut batch, true).await.unwrap()
        }
    };
    let (one, two) = tokio::join!(batch("one"), batch("two"));
    for outcomes in [&one, &two] {
        let seqs: Vec<u64> = outcomes.iter().map(|o| o.as_ref().unwrap().record.as_ref().unwrap().seq).collect();
        assert_eq!(seqs, (seqs[0]..seqs[0] + 48).collect::<Vec<_>>(), "nothing comes between");
    }
    let log = store.log().await;
    assert_eq!(log.iter().map(|entry| entry.0).collect::<Vec<_>>(), (1..=96).collect::<Vec<_>>());
    for n in 0..24 {
        let versions: Vec<u64> = log.iter().filter(|entry| entry.1 == format!("p{n}")).map(|entry| entry.2).collect();
        assert_eq!(versions, [1, 2, 3, 4]);
    }
}

/// A phone that was offline has edited one row twice and another once. The first edit is refused, so the second was made
/// for a state that never came about, even though the row is at the version that it names; the other row's is not touched.
async fn an_edit_on_a_refused_edit_is_refused_with_it(store: Store) {
    let paints = store.paints();
    put(&paints, "a", paint("ash", None)).await.unwrap();
    // Another device was faster: the row is at version 2 by now.
    put(&paints, "a", paint("bone", None)).await.unwrap();
    put(&paints, "b", paint("coal", None)).await.unwrap();
    let batch = || {
        let edit = |key: &str, name: &'static str, base: u64| {
            let decision = move |current: Option<&Record<Paint>>| {
                let proposed = paint(name, None);
                match judge(current, &State::Versions(vec![base]), |stored| *stored == proposed) {
                    Verdict::Apply => Ok(Change::Put(proposed)),
                    Verdict::Unchanged => Ok(Change::Keep),
                    Verdict::Conflict => Err(ApiError::new(Code::Conflict, "lost")),
                }
            };
            Mutation { id: id(key), mutation_id: None, decision }
        };
        // Version 2 is what the first edit would have made of version 1.
        [edit("a", "cream", 1), edit("a", "dust", 2), edit("b", "ebony", 1)]
    };
    let messages = |outcomes: &[Result<Outcome<Paint>, ApiError>]| -> Vec<Option<String>> {
        outcomes.iter().map(|outcome| outcome.as_ref().err().map(|error| error.message().to_owned())).collect()
    };
    let refused = Some("lost".to_owned());
    let with_it = Some("An earlier mutation of this batch and this row was refused.".to_owned());

    let atomic = paints.write_batch(SCOPE, &mut batch(), true).await.unwrap();
    assert_eq!(messages(&atomic)[..2], [refused.clone(), with_it.clone()]);
    assert_eq!(store.log().await.len(), 3, "nothing of an atomic batch is left");

    let outcomes = paints.write_batch(SCOPE, &mut batch(), false).await.unwrap();
    assert_eq!(messages(&outcomes), [refused, with_it, None]);
    assert!(outcomes[..2].iter().flatten().count() == 0);
    let stored: Vec<_> = [paints.get(SCOPE, &id("a")).await, paints.get(SCOPE, &id("b")).await]
        .map(|row| row.unwrap().map(|row| (row.version, row.value.map(|paint| paint.name))))
        .into();
    assert_eq!(stored, [Some((2, Some("bone".into()))), Some((2, Some("ebony".into())))]);
    assert_eq!(store.log().await.len(), 4);
}
