//! An entity of your own on the change log: a user's notes, with delta, batch and conflicts. `docs/sync.md` walks through
//! it.
//!
//! It needs a table with the keys `pk` and `sk` in `NOTES_TABLE`, and the settings that every function has.

use std::process::ExitCode;

use axum::{
    Router,
    extract::{DefaultBodyLimit, State as AxumState},
    response::Response,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::{
    ApiError, Id,
    config::ConfigError,
    delta::{Change, ChangeLog, Decide, Entity, Record, SyncTokens, Verdict, judge, judge_deletion},
    http::{
        auth::Caller,
        batch::{BATCH_BODY_LIMIT, Batch, BatchMutation, Op, Results},
        context::V2,
        extract::{Json, Query},
        precondition::{Expected, Preconditions, ServerCopy},
        sync::{self, Source, SyncQuery, Tombstone},
        view::{Shape, ViewQuery},
    },
    runtime::{self, App},
    slim::{Selection, Slim},
};

/// What is stored, and what a client writes. Id and version stand beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
}

impl Entity for Note {}

/// What a client sees.
#[derive(Debug, Slim)]
struct NoteView<'a> {
    id: &'a str,
    version: u64,
    #[slim(detail)]
    text: &'a str,
    #[slim(detail)]
    tag: Option<&'a str>,
}

impl Shape<Record<Note>, State> for V2 {
    type View<'a> = NoteView<'a>;

    fn view<'a>(record: &'a Record<Note>, _: &State) -> Option<NoteView<'a>> {
        let note = record.value.as_ref()?;
        let (text, tag) = (&*note.text, note.tag.as_deref());
        Some(NoteView { id: record.id.as_str(), version: record.version, text, tag })
    }
}

#[derive(Clone, Debug)]
struct State {
    notes: ChangeLog<Note>,
    tokens: SyncTokens,
}

impl State {
    fn new(app: &App) -> Result<Self, ConfigError> {
        let notes = ChangeLog::new(app.aws.dynamodb.clone(), app.env.required("NOTES_TABLE")?);
        Ok(Self { notes, tokens: SyncTokens::from_env(&app.env, &app.aws.secrets)? })
    }

    fn source<'a>(&'a self, scope: &'a str, view: &'a ViewQuery) -> Source<'a, Note, Self> {
        Source { log: &self.notes, tokens: &self.tokens, scope, view, state: self }
    }
}

/// What a mutation wants.
enum Write {
    Put(Expected, Note),
    Delete(Option<Expected>),
    Invalid(ApiError),
}

/// Why it does not happen.
enum Refused {
    Conflict(Expected, Option<Record<Note>>),
    Error(ApiError),
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self::Error(error)
    }
}

impl Decide<Note> for Write {
    type Refused = Refused;

    async fn decide(&mut self, current: Option<&Record<Note>>) -> Result<Change<Note>, Refused> {
        match self {
            Self::Put(expected, note) => match judge(current, &expected.state, |stored| stored == note) {
                Verdict::Apply => Ok(Change::Put(note.clone())),
                // A retry whose first answer was lost, or a write that changes nothing.
                Verdict::Unchanged => Ok(Change::Keep),
                Verdict::Conflict => Err(Refused::Conflict(expected.clone(), current.cloned())),
            },
            Self::Delete(expected) => {
                match (judge_deletion(current, expected.as_ref().map(|expected| &expected.state)), expected) {
                    (Verdict::Unchanged, _) => Ok(Change::Keep),
                    (Verdict::Conflict, Some(expected)) => Err(Refused::Conflict(expected.clone(), current.cloned())),
                    (Verdict::Apply | Verdict::Conflict, _) => Ok(Change::Delete),
                }
            }
            Self::Invalid(error) => Err(error.clone().into()),
        }
    }
}

impl Write {
    fn of(mutation: &BatchMutation) -> Self {
        Self::read(mutation).unwrap_or_else(Self::Invalid)
    }

    fn read(mutation: &BatchMutation) -> Result<Self, ApiError> {
        let (edit, header) = (mutation.edit()?, Preconditions::default());
        match mutation.op {
            Op::Put => Ok(Self::Put(header.require(edit.version)?, edit.parse()?)),
            Op::Delete => Ok(Self::Delete(header.join(edit.version)?)),
            Op::Patch => Err(ApiError::validation("op", "notes are put whole")),
        }
    }
}

/// The error of a refused write, with the server's copy as the caller may see it.
fn refusal(state: &State, id: &Id, selection: &Selection, refused: Refused) -> ApiError {
    let (expected, current) = match refused {
        Refused::Conflict(expected, current) => (expected, current),
        Refused::Error(error) => return error,
    };
    let version = current.as_ref().map_or(0, |record| record.version);
    let shown: Result<Value, ApiError> = match current.as_ref().filter(|record| record.value.is_some()) {
        Some(record) => sync::item::<V2, _, _>(record, selection, state),
        None => Ok(json!(Tombstone::new(id, version))),
    };
    shown.map_or_else(|error| error, |current| expected.refuse(ServerCopy { version, current }))
}

fn router(state: State) -> Router {
    Router::new()
        .route("/api/v2/notes/delta", get(delta))
        .route("/api/v2/notes/batch", post(batch).layer(DefaultBodyLimit::max(BATCH_BODY_LIMIT)))
        .with_state(state)
}

async fn delta(
    AxumState(state): AxumState<State>,
    caller: Caller,
    Query(query): Query<SyncQuery>,
    Query(view): Query<ViewQuery>,
) -> Result<Response, ApiError> {
    let scope = format!("U#{}", caller.user);
    state.source(&scope, &view).answer::<V2>(&query).await
}

async fn batch(
    AxumState(state): AxumState<State>,
    caller: Caller,
    Query(query): Query<SyncQuery>,
    Query(view): Query<ViewQuery>,
    Json(batch): Json<Batch>,
) -> Result<Response, ApiError> {
    let selection = view.select_after_write::<V2, Record<Note>, State>()?;
    let scope = format!("U#{}", caller.user);
    let source = state.source(&scope, &view);
    source.check::<V2>(&query)?;
    let mut writes = batch.mutations(Write::of)?;
    let outcomes = state.notes.write_batch(&scope, &mut writes, batch.atomic).await?;
    let outcomes = writes.iter().zip(outcomes);
    let outcomes =
        outcomes.map(|(write, outcome)| outcome.map_err(|refused| refusal(&state, &write.id, &selection, refused)));
    Results::new::<V2, _, _>(&batch, outcomes, &selection, &state)?.answer::<V2, _, _>(&source, &query).await
}

fn main() -> ExitCode {
    runtime::server(|app| Ok(router(State::new(app)?)))
}
