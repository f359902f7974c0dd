//! A store that is as unkind as DynamoDB may be, and as no emulator is.
//!
//! A commit is atomic for other commits, but its items become visible to reads one by one and in any order, up to
//! [`LAG`] later. A query walks the keys one step at a time while all that goes on, and may stop early. Transactions meet
//! and refuse each other, refusals come with images or without, answers get lost on the way, and clocks differ.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard},
    task::Poll,
    time::Duration,
};

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp};
use shared::{
    ApiError,
    delta::{
        Item,
        store::{Check, Commit, Found, Range, Refusal, Store, When},
    },
};

/// The longest that an item of a finished commit stays hidden.
pub(crate) const LAG: SignedDuration = SignedDuration::from_secs(20);
/// The most that a clock is wrong.
pub(crate) const SKEW: Duration = Duration::from_secs(8);

type Key = (String, String);

/// One change as it was committed.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    pub(crate) seq: u64,
    pub(crate) id: String,
    pub(crate) version: u64,
    /// The text; `None` for a tombstone.
    pub(crate) text: Option<String>,
    pub(crate) at: Timestamp,
    /// First and last seq of the commit.
    pub(crate) commit: (u64, u64),
    pub(crate) atomic: bool,
}

/// What a run may do to the store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Temper {
    /// How likely one hidden item becomes visible at each tick.
    pub(crate) show: f64,
    /// How likely a commit is refused for no reason of its own, or its answer is lost.
    pub(crate) trouble: f64,
}

pub(crate) struct World {
    pub(crate) rng: fastrand::Rng,
    pub(crate) now: Timestamp,
    temper: Temper,
    committed: BTreeMap<Key, Item>,
    visible: BTreeMap<Key, Item>,
    hidden: BTreeMap<Key, VecDeque<(Timestamp, Item)>>,
    /// Every change since the beginning, by seq; a restore cuts it.
    pub(crate) history: Vec<Logged>,
    /// Rows that the time to live has taken: they begin anew.
    pub(crate) forgotten: BTreeSet<String>,
    /// Items that reads have returned.
    pub(crate) items_read: usize,
    pub(crate) queries: usize,
}

/// What a backup holds.
#[derive(Clone)]
pub(crate) struct Backup(BTreeMap<Key, Item>, Vec<Logged>);

impl World {
    fn new(seed: u64, temper: Temper) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(seed),
            now: Timestamp::from_second(1_900_000_000).expect("a time"),
            temper,
            committed: BTreeMap::new(),
            visible: BTreeMap::new(),
            hidden: BTreeMap::new(),
            history: Vec::new(),
            forgotten: BTreeSet::new(),
            items_read: 0,
            queries: 0,
        }
    }

    /// A moment passes; perhaps an item becomes visible.
    pub(crate) fn tick(&mut self) {
        self.now += SignedDuration::from_millis(self.rng.i64(0..50));
        let due: Vec<Key> =
            self.hidden.iter().filter(|(_, queue)| queue[0].0 < self.now).map(|(key, _)| key.clone()).collect();
        for key in &due {
            self.show(key);
        }
        if !self.hidden.is_empty() && self.rng.f64() < self.temper.show {
            let index = self.rng.usize(..self.hidden.len());
            let key = self.hidden.keys().nth(index).expect("counted").clone();
            self.show(&key);
        }
    }

    fn show(&mut self, key: &Key) {
        let Some(queue) = self.hidden.get_mut(key) else { return };
        if let Some((_, item)) = queue.pop_front() {
            self.visible.insert(key.clone(), item);
        }
        if queue.is_empty() {
            self.hidden.remove(key);
        }
    }

    /// Time passes while nobody asks for anything.
    pub(crate) fn rest(&mut self, time: SignedDuration) {
        self.now += time;
        if time > LAG {
            while let Some(key) = self.hidden.keys().next().cloned() {
                self.show(&key);
            }
            self.expire();
        }
    }

    /// The time to live takes some of what is past its time.
    fn expire(&mut self) {
        let past = |item: &Item| item.contains_key("expiresAt") && number(item, "expiresAt") < self.now.as_second();
        let past: Vec<Key> = self.committed.iter().filter(|(_, item)| past(item)).map(|(key, _)| key.clone()).collect();
        for key in past {
            if self.rng.f64() < 0.7 {
                self.committed.remove(&key);
                self.visible.remove(&key);
                if let Some(id) = key.1.strip_prefix("O#") {
                    self.forgotten.insert(id.to_owned());
                }
            }
        }
    }

    pub(crate) fn backup(&self) -> Backup {
        Backup(self.committed.clone(), self.history.clone())
    }

    /// As whoever restores it has to: with a new epoch.
    pub(crate) fn restore(&mut self, Backup(items, history): Backup) {
        self.committed = items;
        let epoch = format!("{:016x}", self.rng.u64(..));
        for (key, item) in &mut self.committed {
            if key.1 == "C#HEAD" {
                item.insert("epoch".to_owned(), AttributeValue::S(epoch.clone()));
            }
        }
        self.visible = self.committed.clone();
        self.hidden.clear();
        self.history = history;
    }

    /// What a client with every change up to a seq has: version and text by id.
    pub(crate) fn state_at(&self, seq: u64) -> BTreeMap<String, (u64, String)> {
        let mut state = BTreeMap::new();
        for change in self.history.iter().take_while(|change| change.seq <= seq) {
            match &change.text {
                Some(text) => drop(state.insert(change.id.clone(), (change.version, text.clone()))),
                None => drop(state.remove(&change.id)),
            }
        }
        state
    }

    pub(crate) fn head(&self) -> u64 {
        self.history.last().map_or(0, |last| last.seq)
    }

    pub(crate) fn epoch(&self) -> String {
        let head = self.committed.iter().find(|(key, _)| key.1 == "C#HEAD");
        head.map_or_else(String::new, |(_, head)| string(head, "epoch"))
    }

    pub(crate) fn is_stored(&self, scope: &str, seq: u64) -> bool {
        self.committed.contains_key(&(scope.to_owned(), format!("C#{seq:020}")))
    }

    fn check(&mut self, key: &Key, held: bool) -> Check {
        match (held, self.committed.get(key)) {
            (true, _) if self.rng.f64() < 0.05 => Check::Unknown,
            (true, _) => Check::Held,
            // Not every store returns the image, and another transaction may have been met first.
            (false, Some(item)) if self.rng.f64() < 0.8 => Check::Found(item.clone()),
            (false, _) => Check::Unknown,
        }
    }

    fn commit(&mut self, commit: &Commit<'_>) -> Result<(), Refusal> {
        let head = (commit.scope.to_owned(), "C#HEAD".to_owned());
        let stored = self.committed.get(&head);
        let head_held =
            stored.map_or(commit.from == 0, |item| number(item, "seq") == i64::try_from(commit.from).expect("small"));
        let holds = |put: &shared::delta::store::Put| {
            let stored = self.committed.get(&key_of(&put.item));
            match put.when {
                When::Absent => stored.is_none(),
                When::Version(version) => {
                    stored.is_some_and(|item| number(item, "version") == i64::try_from(version).expect("small"))
                }
                When::AbsentOrExpired(now) => stored.is_none_or(|item| number(item, "expiresAt") < now),
            }
        };
        let fulfilled: Vec<bool> = commit.puts.iter().map(holds).collect();
        if !head_held || fulfilled.contains(&false) {
            let head = self.check(&head, head_held);
            let puts = commit.puts.iter().zip(fulfilled);
            let puts = puts.map(|(put, held)| self.check(&key_of(&put.item), held)).collect();
            return Err(Refusal::Stale { head, puts });
        }
        let epoch = stored.map_or(AttributeValue::S(commit.epoch.clone()), |item| item["epoch"].clone());
        let number = |n: i128| AttributeValue::N(n.to_string());
        let moved = Item::from([
            ("pk".to_owned(), AttributeValue::S(head.0.clone())),
            ("sk".to_owned(), AttributeValue::S(head.1.clone())),
            ("seq".to_owned(), number(commit.to.into())),
            ("epoch".to_owned(), epoch),
            ("at".to_owned(), number(commit.at.as_millisecond().into())),
        ]);
        self.log(commit);
        for item in commit.puts.iter().map(|put| put.item.clone()).chain([moved]) {
            let key = key_of(&item);
            self.committed.insert(key.clone(), item.clone());
            self.hidden.entry(key).or_default().push_back((self.now + LAG, item));
        }
        Ok(())
    }

    fn log(&mut self, commit: &Commit<'_>) {
        for item in commit.puts.iter().map(|put| &put.item).filter(|item| string(item, "sk").starts_with("C#")) {
            self.history.push(Logged {
                seq: number(item, "seq").unsigned_abs(),
                id: string(item, "id"),
                version: number(item, "version").unsigned_abs(),
                text: item.get("data").map(|data| string(data.as_m().expect("a map"), "text")),
                at: commit.at,
                commit: (commit.from + 1, commit.to),
                atomic: item.contains_key("until"),
            });
        }
    }
}

fn key_of(item: &Item) -> Key {
    (string(item, "pk"), string(item, "sk"))
}

fn string(item: &Item, name: &str) -> String {
    item[name].as_s().expect("text").clone()
}

fn number(item: &Item, name: &str) -> i64 {
    item[name].as_n().expect("a number").parse().expect("a number")
}

/// The store as one instance of the service sees it, with a clock of its own.
#[derive(Clone)]
pub(crate) struct Adversary {
    world: Arc<Mutex<World>>,
    skew: SignedDuration,
}

impl std::fmt::Debug for Adversary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Adversary")
    }
}

impl Adversary {
    pub(crate) fn new(seed: u64, temper: Temper) -> Self {
        Self { world: Arc::new(Mutex::new(World::new(seed, temper))), skew: SignedDuration::ZERO }
    }

    /// The same store, seen with another clock.
    pub(crate) fn with_another_clock(&self) -> Self {
        let most = i64::try_from(SKEW.as_millis()).expect("small");
        let skew = SignedDuration::from_millis(self.world().rng.i64(-most..=most));
        Self { world: self.world.clone(), skew }
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("one thread")
    }

    /// Others come first, at least once.
    pub(crate) async fn others(&self) {
        loop {
            let mut waited = false;
            poll_fn(|_| if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }).await;
            if self.world().rng.f64() < 0.7 {
                return;
            }
        }
    }
}

impl Store for Adversary {
    async fn get(&self, scope: &str, sort_key: &str, _: bool) -> Result<Option<Item>, ApiError> {
        self.others().await;
        let mut world = self.world();
        let item = world.visible.get(&(scope.to_owned(), sort_key.to_owned())).cloned();
        world.items_read += usize::from(item.is_some());
        Ok(item)
    }

    async fn query(&self, range: Range<'_>) -> Result<Found, ApiError> {
        assert!(range.index.is_none(), "these tests use no index");
        self.world().queries += 1;
        let (mut low, mut high) = ((range.partition.to_owned(), range.first), (range.partition.to_owned(), range.last));
        let mut items = Vec::new();
        loop {
            if self.world().rng.f64() < 0.6 {
                self.others().await;
            }
            let mut world = self.world();
            if low > high {
                return Ok(Found { items, more: false });
            }
            let mut rest = world.visible.range(low.clone()..=high.clone());
            let next = if range.backward { rest.next_back() } else { rest.next() };
            let Some((key, item)) = next.map(|(key, item)| (key.clone(), item.clone())) else {
                return Ok(Found { items, more: false });
            };
            items.push(item);
            world.items_read += 1;
            // The end of the range, or of what the store puts into one answer.
            if items.len() == usize::from(range.limit) || (world.rng.f64() < 0.02) {
                return Ok(Found { items, more: true });
            }
            if range.backward {
                high = before(&key);
            } else {
                low = (key.0, format!("{}\0", key.1));
            }
        }
    }

    async fn commit(&self, commit: Commit<'_>) -> Result<Result<(), Refusal>, ApiError> {
        self.others().await;
        let (lost, refused) = {
            let mut world = self.world();
            let trouble = world.temper.trouble;
            (world.rng.f64() < trouble, world.rng.f64() < trouble)
        };
        if refused {
            return Ok(Err(Refusal::Contended));
        }
        if lost && self.world().rng.bool() {
            return Err(ApiError::timeout());
        }
        let done = self.world().commit(&commit);
        self.others().await;
        if lost { Err(ApiError::timeout()) } else { Ok(done) }
    }

    fn now(&self) -> Timestamp {
        self.world().now + self.skew
    }

    async fn sleep(&self, time: Duration) {
        let until = self.world().now + time;
        while self.world().now < until {
            self.others().await;
        }
    }
}

/// The greatest key below an ASCII one, for keys of this length.
fn before(key: &Key) -> Key {
    let mut sort_key = key.1.clone().into_bytes();
    let last = sort_key.pop().expect("not empty");
    sort_key.push(last - 1);
    sort_key.extend_from_slice(&[0x7f; 80]);
    (key.0.clone(), String::from_utf8(sort_key).expect("ASCII"))
}
