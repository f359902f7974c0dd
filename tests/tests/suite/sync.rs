//! Delta sync on real stores: whatever happens between its calls, a client that follows its tokens ends equal to the
//! server.

use std::{collections::BTreeMap, time::Duration};

use aws_sdk_dynamodb::types::AttributeValue;
use shared::{
    ApiError, Code,
    delta::{Bookmark, Change, ChangeLog, Delta, Position, Record, Retention, SyncRequest},
};

use tests::{emulator::Store, on_every_store};

use crate::store::{Paint, Paints, SCOPE, delete, id, paint, put};

const VIEW: &str = "view";

/// What a phone does: stores items and token, and drops what a full sync has not shown.
#[derive(Clone, Debug, Default)]
struct Phone {
    rows: BTreeMap<String, (u64, String)>,
    seen: Option<BTreeMap<String, (u64, String)>>,
    bookmark: Option<Bookmark>,
}

impl Phone {
    /// One call. Says whether there is more.
    async fn step(&mut self, paints: &ChangeLog<Paint>, limit: u16) -> Result<bool, ApiError> {
        let since = self.bookmark.clone();
        let starts = since.is_none();
        let page = paints.changes(SCOPE, &SyncRequest { since, limit, view: VIEW.into() }).await?;
        self.take(page, starts);
        Ok(self.seen.is_some() || !matches!(self.bookmark, Some(Bookmark { position: Position::Log { .. }, .. })))
    }

    fn take(&mut self, page: Delta<Paint>, starts: bool) {
        let mut ids: Vec<_> = page.items.iter().map(|item| item.id.clone()).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), page.items.len(), "an id comes once a page");
        if starts {
            self.seen = Some(BTreeMap::new());
        }
        let rows = self.seen.as_mut().unwrap_or(&mut self.rows);
        for item in page.items {
            match item.value {
                Some(value) => drop(rows.insert(item.id.to_string(), (item.version, value.name))),
                None => drop(rows.remove(item.id.as_str())),
            }
        }
        assert_eq!(page.full_sync, self.seen.is_some(), "a full sync says so on each of its pages");
        if !page.has_more
            && let Some(seen) = self.seen.take()
        {
            self.rows = seen;
        }
        self.bookmark = Some(page.bookmark);
    }

    /// Calls until there is nothing more.
    async fn sync(&mut self, paints: &ChangeLog<Paint>, limit: u16) {
        for _ in 0..1000 {
            let since = self.bookmark.clone();
            let starts = since.is_none();
            let page = paints.changes(SCOPE, &SyncRequest { since, limit, view: VIEW.into() }).await.expect("a page");
            let more = page.has_more;
            self.take(page, starts);
            if !more {
                return;
            }
        }
        panic!("a sync that never ends");
    }

    fn seq(&self) -> u64 {
        match self.bookmark.as_ref().expect("synced").position {
            Position::Log { seq } => seq,
            ref other => panic!("not in step: {other:?}"),
        }
    }
}

/// What the server has.
async fn server_rows(store: &Store) -> BTreeMap<String, (u64, String)> {
    let live = store.items("O#").await.into_iter().filter(|item| !item.contains_key("deleted"));
    live.map(|item| {
        let name = item["data"].as_m().unwrap()["name"].as_s().unwrap().clone();
        (item["id"].as_s().unwrap().clone(), (item["version"].as_n().unwrap().parse().unwrap(), name))
    })
    .collect()
}

async fn request(paints: &ChangeLog<Paint>, since: Option<Bookmark>) -> Result<Delta<Paint>, ApiError> {
    paints.changes(SCOPE, &SyncRequest { since, limit: 100, view: VIEW.into() }).await
}

fn reason(result: Result<Delta<Paint>, ApiError>) -> String {
    let error = result.expect_err("refused");
    assert_eq!(error.code(), Code::SyncTokenExpired, "{error:?}");
    error.details().unwrap()["reason"].as_str().unwrap().to_owned()
}

on_every_store!(
    an_empty_scope_has_a_token_that_stays_good,
    a_first_sync_is_exact_in_any_page_size,
    changes_come_once_and_in_their_last_state,
    every_page_boundary_is_an_exact_state,
    what_the_log_no_longer_has_is_told,
    a_new_epoch_starts_every_client_again,
    a_gap_that_closes_is_waited_for_and_one_that_does_not_is_retryable,
    phones_that_sync_while_others_write_end_equal,
);

async fn an_empty_scope_has_a_token_that_stays_good(store: Store) {
    let paints = store.paints();
    let mut phone = Phone::default();
    phone.sync(&paints, 10).await;
    assert!(phone.rows.is_empty());
    phone.sync(&paints, 10).await;
    put(&paints, "a", paint("ash", None)).await.unwrap();
    phone.sync(&paints, 10).await;
    assert_eq!(phone.rows, server_rows(&store).await);
    assert_eq!(phone.rows.len(), 1);
}

async fn a_first_sync_is_exact_in_any_page_size(store: Store) {
    let paints = store.paints();
    for n in 0..25 {
        put(&paints, &format!("p{n:02}"), paint("x", None)).await.unwrap();
    }
    for n in [0, 7, 8, 9, 24] {
        delete(&paints, &format!("p{n:02}")).await;
    }
    for limit in [1, 4, 25, 26, 500] {
        let mut phone = Phone::default();
        phone.sync(&paints, limit).await;
        assert_eq!(phone.rows, server_rows(&store).await, "limit {limit}");
        assert_eq!(phone.seq(), 30);
    }
    // Writes on both sides of the scan, between its pages.
    let mut phone = Phone::default();
    for n in 0..40 {
        let more = phone.step(&paints, 3).await.unwrap();
        put(&paints, &format!("p{:02}", (n * 7) % 26), paint(&format!("during {n}"), None)).await.unwrap();
        if n % 3 == 0 {
            delete(&paints, &format!("p{:02}", (n * 5) % 26)).await;
        }
        if !more {
            break;
        }
    }
    phone.sync(&paints, 3).await;
    assert_eq!(phone.rows, server_rows(&store).await);
}

async fn changes_come_once_and_in_their_last_state(store: Store) {
    let paints = store.paints();
    put(&paints, "a", paint("ash", None)).await.unwrap();
    let mut phone = Phone::default();
    phone.sync(&paints, 10).await;
    for name in ["one", "two", "three"] {
        put(&paints, "a", paint(name, None)).await.unwrap();
    }
    put(&paints, "b", paint("bone", None)).await.unwrap();
    delete(&paints, "b").await;
    let page = request(&paints, phone.bookmark.clone()).await.unwrap();
    let shown: Vec<_> =
        page.items.iter().map(|item: &Record<Paint>| (item.id.as_str(), item.version, item.value.is_some())).collect();
    assert_eq!(shown, [("a", 4, true), ("b", 2, false)]);
    assert!(!page.has_more && !page.full_sync);
    // Keeping leaves no change behind.
    paints.write(SCOPE, &id("a"), |_: Option<&Record<Paint>>| Ok::<_, ApiError>(Change::Keep)).await.unwrap();
    let idle = request(&paints, Some(page.bookmark.clone())).await.unwrap();
    assert!(idle.items.is_empty() && idle.bookmark == page.bookmark);
}

async fn every_page_boundary_is_an_exact_state(store: Store) {
    let paints = store.paints();
    put(&paints, "start", paint("x", None)).await.unwrap();
    let mut phone = Phone::default();
    phone.sync(&paints, 10).await;
    let mut states = BTreeMap::from([(phone.seq(), phone.rows.clone())]);
    for n in 0..20 {
        let key = format!("p{}", n % 4);
        let seq = if n % 5 == 4 {
            delete(&paints, &key).await.record.unwrap().seq
        } else {
            put(&paints, &key, paint(&format!("{n}"), None)).await.unwrap().record.unwrap().seq
        };
        states.insert(seq, server_rows(&store).await);
    }
    for limit in [1, 2, 3, 7] {
        let mut phone = phone.clone();
        while phone.seq() < 21 {
            phone.step(&paints, limit).await.unwrap();
            assert_eq!(phone.rows, states[&phone.seq()], "limit {limit}, seq {}", phone.seq());
        }
    }
}

async fn what_the_log_no_longer_has_is_told(store: Store) {
    let paints = store.paints();
    for name in ["one", "two", "three"] {
        put(&paints, "a", paint(name, None)).await.unwrap();
    }
    let at = |seq: u64, epoch: &str, view: &str| {
        Some(Bookmark { position: Position::Log { seq }, epoch: epoch.into(), view: view.into() })
    };
    let epoch = store.head().await["epoch"].as_s().unwrap().clone();
    assert_eq!(request(&paints, at(1, &epoch, VIEW)).await.unwrap().items.len(), 1);
    assert_eq!(reason(request(&paints, at(1, &epoch, "another view")).await), "scopeChanged");
    assert_eq!(reason(request(&paints, at(4, &epoch, VIEW)).await), "unknown");
    assert_eq!(reason(request(&paints, at(1, "another epoch", VIEW)).await), "unknown");
    // As the time to live does it: the entry goes, the rows stay, and all of it is some time ago.
    let text = |value: &str| AttributeValue::S(value.into());
    let key = |sort: &str| [("pk".to_owned(), text(SCOPE)), ("sk".to_owned(), text(sort))].into();
    let gone = store.aws.dynamodb.delete_item().table_name(&store.table);
    gone.set_key(Some(key("C#00000000000000000002"))).send().await.unwrap();
    for sort in ["C#HEAD", "C#00000000000000000003"] {
        let age = store.aws.dynamodb.update_item().table_name(&store.table).set_key(Some(key(sort)));
        let age = age.update_expression("SET #at = :ago, #before = :ago");
        let age = age.expression_attribute_names("#at", "at").expression_attribute_names("#before", "before");
        let ago = jiff::Timestamp::now().as_millisecond() - 120_000;
        age.expression_attribute_values(":ago", AttributeValue::N(ago.to_string())).send().await.unwrap();
    }
    assert_eq!(reason(request(&paints, at(1, &epoch, VIEW)).await), "expired");
    assert_eq!(request(&paints, at(2, &epoch, VIEW)).await.unwrap().items.len(), 1, "what is still whole is served");
    // An entry may outlive its time by days. It is not read then.
    let impatient = paints.clone().keeping(Retention::of(Duration::from_mins(1)));
    assert_eq!(reason(request(&impatient, at(2, &epoch, VIEW)).await), "expired");
    assert!(request(&impatient, at(3, &epoch, VIEW)).await.unwrap().items.is_empty(), "an idle client stays in step");
    // The remedy works.
    let mut phone = Phone::default();
    phone.sync(&paints, 10).await;
    assert_eq!(phone.rows, server_rows(&store).await);
}

async fn a_new_epoch_starts_every_client_again(store: Store) {
    let paints = store.paints();
    for other in (0..30).map(|n| format!("U#{n}")) {
        let write = |_: Option<&Record<Paint>>| Ok::<_, ApiError>(Change::Put(paint("ash", None)));
        paints.write(&other, &id("a"), write).await.unwrap();
    }
    put(&paints, "a", paint("ash", None)).await.unwrap();
    let mut phone = Phone::default();
    phone.sync(&paints, 10).await;
    let (rows, head) = (store.items("O#").await, store.head().await);

    // As after a restore: the log goes on with a number that the phone has seen.
    assert_eq!(dev::epoch::renew(&store.aws.dynamodb, &store.table).await.unwrap(), 31);
    assert_eq!(reason(request(&paints, phone.bookmark).await), "unknown");
    let renewed = store.head().await;
    assert_ne!(renewed["epoch"], head["epoch"]);
    assert_eq!((&renewed["seq"], &renewed["at"]), (&head["seq"], &head["at"]));
    assert_eq!(store.items("O#").await, rows);
    // Writers go on, and the remedy works.
    put(&paints, "a", paint("birch", None)).await.unwrap();
    let mut phone = Phone::default();
    phone.sync(&paints, 10).await;
    assert_eq!(phone.rows, server_rows(&store).await);
    let refused = dev::epoch::renew(&store.aws.dynamodb, "no-such-table").await.expect_err("no such table");
    assert!(refused.to_string().contains("ResourceNotFound"), "{refused}");
}

/// A transaction's items become visible one by one: the head may be seen before the entry.
async fn a_gap_that_closes_is_waited_for_and_one_that_does_not_is_retryable(store: Store) {
    let paints = store.paints();
    put(&paints, "a", paint("ash", None)).await.unwrap();
    let mut phone = Phone::default();
    phone.sync(&paints, 10).await;
    put(&paints, "a", paint("bone", None)).await.unwrap();
    let text = |value: &str| AttributeValue::S(value.into());
    let key: shared::delta::Item =
        [("pk".to_owned(), text(SCOPE)), ("sk".to_owned(), text("C#00000000000000000002"))].into();
    let table = store.aws.dynamodb.clone();
    let get = table.get_item().table_name(&store.table).set_key(Some(key.clone())).send().await.unwrap();
    let hidden = get.item.unwrap();
    table.delete_item().table_name(&store.table).set_key(Some(key)).send().await.unwrap();

    let error = request(&paints, phone.bookmark.clone()).await.expect_err("still hidden");
    assert_eq!(error.code(), Code::Unavailable);

    let show = async {
        tokio::time::sleep(Duration::from_millis(250)).await;
        table.put_item().table_name(&store.table).set_item(Some(hidden)).send().await.unwrap();
    };
    let (page, ()) = tokio::join!(request(&paints, phone.bookmark.clone()), show);
    assert_eq!(page.unwrap().items.len(), 1);
}

async fn phones_that_sync_while_others_write_end_equal(store: Store) {
    let paints = store.paints();
    for n in 0..10 {
        put(&paints, &format!("p{n}"), paint("x", None)).await.unwrap();
    }
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4_u64 {
        let paints = paints.clone();
        writers.spawn(async move {
            for round in 0..12_u64 {
                let key = format!("p{}", (writer * 5 + round * 3) % 14);
                if round % 4 == 3 {
                    delete(&paints, &key).await;
                } else {
                    put(&paints, &key, paint(&format!("{writer}/{round}"), None)).await.unwrap();
                }
            }
        });
    }
    let mut phones = tokio::task::JoinSet::new();
    for limit in [1, 3, 50] {
        let paints = paints.clone();
        phones.spawn(async move {
            let mut phone = Phone::default();
            for _ in 0..10 {
                phone.sync(&paints, limit).await;
            }
            phone
        });
    }
    writers.join_all().await;
    let rows = server_rows(&store).await;
    for mut phone in phones.join_all().await {
        phone.sync(&paints, 7).await;
        assert_eq!(phone.rows, rows);
    }
}
