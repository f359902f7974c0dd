//! A client that writes, loses answers, tries again, and checks what each answer claims against the log.

use std::collections::BTreeMap;

use shared::{
    ApiError, Code, Id,
    delta::{
        Change, ChangeLog, Decide, Effect, Mutation, MutationId, Once, Outcome, Record, Verdict, judge, judge_deletion,
    },
    http::precondition::State,
};

use crate::{
    note::Note,
    phone::{SCOPE, notes},
    world::Adversary,
};

/// How often a client tries before it gives up.
const TRIES: usize = 6;

pub(crate) struct Writer {
    store: Adversary,
    notes: ChangeLog<Note, Adversary>,
    name: String,
    made: usize,
    /// The versions and texts that it believes in.
    known: BTreeMap<Id, (u64, Option<String>)>,
}

/// What a write asks for.
#[derive(Clone, Debug)]
enum Ask {
    Put(State, String),
    Delete(Option<State>),
    /// A put of what the client believes to be there already.
    Same(State, String),
    /// Not the same twice: only a mutation id tells a retry.
    Append(String),
}

enum Refused {
    Conflict(Option<Record<Note>>),
    Error(ApiError),
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self::Error(error)
    }
}

impl Decide<Note> for Ask {
    type Refused = Refused;

    async fn decide(&mut self, current: Option<&Record<Note>>) -> Result<Change<Note>, Refused> {
        let live = current.and_then(|record| record.value.as_ref());
        let verdict = match self {
            Self::Put(expected, text) | Self::Same(expected, text) => {
                judge(current, expected, |stored| stored.text == *text)
            }
            Self::Delete(expected) => judge_deletion(current, expected.as_ref()),
            Self::Append(_) if live.is_none() => Verdict::Conflict,
            Self::Append(_) => Verdict::Apply,
        };
        match (verdict, self) {
            (Verdict::Unchanged, _) => Ok(Change::Keep),
            (Verdict::Conflict, _) => Err(Refused::Conflict(current.cloned())),
            (Verdict::Apply, Self::Put(_, text) | Self::Same(_, text)) => Ok(Change::Put(Note { text: text.clone() })),
            (Verdict::Apply, Self::Delete(_)) => Ok(Change::Delete),
            (Verdict::Apply, Self::Append(tag)) => {
                Ok(Change::Put(Note { text: format!("{}{tag}", live.map_or("", |note| &note.text)) }))
            }
        }
    }
}

impl Ask {
    /// What can be found again in the log.
    fn tag(&self) -> Option<&str> {
        match self {
            Self::Put(_, text) | Self::Append(text) => Some(text),
            Self::Delete(_) | Self::Same(..) => None,
        }
    }
}

impl Writer {
    pub(crate) fn new(store: &Adversary, name: String) -> Self {
        let store = store.with_another_clock();
        Self { notes: notes(&store), store, name, made: 0, known: BTreeMap::new() }
    }

    pub(crate) async fn live(&mut self) {
        let writes = self.store.world().rng.usize(1..7);
        for _ in 0..writes {
            let kind = self.store.world().rng.u8(..10);
            match kind {
                0 => self.create_once().await,
                1..4 => self.batch().await,
                _ => self.single().await,
            }
            self.store.others().await;
        }
    }

    fn new_tag(&mut self) -> String {
        self.made += 1;
        format!("<{}.{}>", self.name, self.made)
    }

    fn ask(&mut self) -> (Id, Ask) {
        let (id, kind, behind) = {
            let rng = &mut self.store.world().rng;
            (rng.u8(..5), rng.u8(..10), rng.f64() < 0.1)
        };
        let id: Id = format!("n{id}").parse().expect("legal");
        let known = self.known.get(&id).cloned();
        let state = match &known {
            Some((version, _)) if *version > 0 => State::Versions(vec![if behind { version - 1 } else { *version }]),
            _ => State::Absent,
        };
        let ask = match kind {
            0 | 1 => Ask::Delete((kind == 0).then_some(state)),
            2 | 3 => Ask::Append(self.new_tag()),
            // As it is already.
            4 if let Some((_, Some(text))) = known => Ask::Same(state, text),
            5 => Ask::Put(State::Absent, self.new_tag()),
            _ => Ask::Put(state, self.new_tag()),
        };
        (id, ask)
    }

    /// A write as PUT and DELETE do it: nothing but its content tells a retry.
    async fn single(&mut self) {
        let (id, ask) = self.ask();
        if matches!(ask, Ask::Append(_)) {
            return;
        }
        let mut doubt = false;
        for _ in 0..TRIES {
            let answer = self.notes.write(SCOPE, &id, ask.clone()).await;
            if self.is_lost(answer.as_ref().err()) {
                doubt = true;
                continue;
            }
            self.learn(&id, &answer);
            return self.check(&id, &ask, &answer, doubt);
        }
    }

    /// Some edits build on the one before, with the version that it would make.
    fn chain(&mut self, asks: &mut [(Id, Ask)]) {
        for index in 1..asks.len() {
            if let (id, Ask::Put(State::Versions(base), _)) = &asks[index - 1]
                && self.store.world().rng.f64() < 0.4
            {
                let (id, next) = (id.clone(), State::Versions(vec![base[0] + 1]));
                asks[index] = (id, Ask::Put(next, self.new_tag()));
            }
        }
    }

    async fn batch(&mut self) {
        let (count, atomic) = {
            let rng = &mut self.store.world().rng;
            (rng.usize(1..6), rng.bool())
        };
        let mut asks: Vec<(Id, Ask)> = (0..count).map(|_| self.ask()).collect();
        self.chain(&mut asks);
        let name = format!("{}-{}", self.name, self.made);
        let mutation = |(index, (id, ask)): (usize, &(Id, Ask))| {
            let name = format!("{name}-{index}").parse().expect("legal");
            let mutation_id = Some(MutationId::new(name, format!("{ask:?}").as_bytes()));
            Mutation { id: id.clone(), mutation_id, decision: ask.clone() }
        };
        self.made += 1;
        let mut doubt = false;
        for _ in 0..TRIES {
            let mut batch: Vec<_> = asks.iter().enumerate().map(mutation).collect();
            let answer = self.notes.write_batch(SCOPE, &mut batch, atomic).await.map_err(Refused::from);
            if self.is_lost(answer.as_ref().err()) {
                doubt = true;
                continue;
            }
            let Ok(outcomes) = answer else { panic!("refused as a whole") };
            let refused = outcomes.iter().any(Result::is_err);
            for (index, outcome) in outcomes.iter().enumerate() {
                let follows = |other: usize| asks[other].0 == asks[index].0 && outcomes[other].is_err();
                let is_orphan = !doubt && (0..index).any(follows);
                assert!(!is_orphan || outcome.is_err(), "{:?} was applied without the one before", asks[index]);
            }
            for ((id, ask), outcome) in asks.iter().zip(&outcomes) {
                if atomic && refused {
                    let times = ask.tag().map_or(0, |tag| self.applied(id, tag));
                    assert!(doubt || times == 0, "{ask:?} of a refused atomic batch was applied");
                } else {
                    self.learn(id, outcome);
                    self.check(id, ask, outcome, doubt);
                    let lost = doubt && outcome.is_err() && ask.tag().is_some_and(|tag| self.applied(id, tag) > 0);
                    assert!(!lost, "{ask:?} was applied, and its retry was refused");
                }
            }
            return;
        }
    }

    /// A new note under a key: each try proposes another id, as a server does.
    async fn create_once(&mut self) {
        let text = self.new_tag();
        let once = Once::new("POST notes", &text, text.as_bytes());
        for number in 0..TRIES {
            let id: Id = format!("k-{}-{}-{number}", self.name, self.made).parse().expect("legal");
            let ask = Ask::Put(State::Absent, text.clone());
            let answer = self.notes.write_once(SCOPE, &id, ask, Some(&once)).await;
            if self.is_lost(answer.as_ref().err()) {
                continue;
            }
            let Ok(Outcome { record: Some(record), .. }) = answer else { panic!("a new note was refused") };
            let world = self.store.world();
            let made: Vec<_> = world.history.iter().filter(|change| change.text.as_ref() == Some(&text)).collect();
            assert_eq!(made.len(), 1, "{text} was made {} times", made.len());
            assert_eq!((made[0].id.as_str(), made[0].seq), (record.id.as_str(), record.seq), "another note was named");
            return;
        }
    }

    /// Whether the client has no answer: the store failed, or the network did behind it.
    fn is_lost(&self, error: Option<&Refused>) -> bool {
        match error {
            Some(Refused::Error(error)) => {
                assert!(matches!(error.code(), Code::Timeout | Code::Unavailable), "{error:?}");
                true
            }
            _ => self.store.world().rng.f64() < 0.15,
        }
    }

    fn learn(&mut self, id: &Id, answer: &Result<Outcome<Note>, Refused>) {
        let record = match answer {
            Ok(outcome) => outcome.record.clone(),
            Err(Refused::Conflict(current)) => current.clone(),
            Err(Refused::Error(_)) => return,
        };
        let known = record.map_or((0, None), |record| (record.version, record.value.map(|note| note.text)));
        self.known.insert(id.clone(), known);
    }

    /// How often a text was written to a row, not counting the versions that only carried it on.
    fn applied(&self, id: &Id, tag: &str) -> usize {
        let world = self.store.world();
        let mut had = false;
        let mut times = 0;
        for change in world.history.iter().filter(|change| change.id == id.as_str()) {
            let has = change.text.as_ref().is_some_and(|text| text.contains(tag));
            times += usize::from(has && !had);
            had = has;
        }
        times
    }

    /// Each success is in the log exactly once; what was refused is not there, unless an earlier try is.
    fn check(&self, id: &Id, ask: &Ask, answer: &Result<Outcome<Note>, Refused>, doubt: bool) {
        let times = ask.tag().map(|tag| self.applied(id, tag));
        if let Ok(outcome) = answer {
            assert!(times.is_none_or(|times| times == 1), "{ask:?} on {id} was applied {times:?} times");
            if matches!(outcome.effect, Effect::Created | Effect::Changed) {
                self.check_entry(ask, outcome.record.as_ref().expect("a record"));
            }
        } else {
            let most = usize::from(doubt);
            assert!(times.is_none_or(|times| times <= most), "{ask:?} on {id} was refused and is in the log");
        }
    }

    fn check_entry(&self, ask: &Ask, record: &Record<Note>) {
        let world = self.store.world();
        let entry = world.history.iter().find(|change| change.seq == record.seq).expect("an entry of this seq");
        let text = record.value.as_ref().map(|note| note.text.clone());
        assert_eq!((&entry.id[..], entry.version, &entry.text), (record.id.as_str(), record.version, &text));
        match ask {
            Ask::Put(State::Absent, _) => assert_eq!(record.version, 1, "a create came over what there was"),
            Ask::Put(State::Versions(base), _) => assert_eq!(record.version, base[0] + 1, "not on its base"),
            _ => {}
        }
    }
}
