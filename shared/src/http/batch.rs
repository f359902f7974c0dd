//! Many writes in one request: what a phone that was offline has to say, and in the same answer what it has missed.

use axum::response::Response;
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    edit::Edit,
    sync::{self, DeltaPage, Source, SyncQuery, Tombstone},
    view::{self, Shape},
};
use crate::{
    Id,
    delta::{Effect, Entity, MAX_BATCH, Mutation, MutationId, Outcome, Record},
    error::{ApiError, Code, Summary},
    slim::Selection,
};

/// Largest body of a batch, in bytes.
pub const BATCH_BODY_LIMIT: usize = 1024 * 1024;

/// The body: `{"atomic":false,"mutations":[{"mutationId","op","id","version","data"}],"since"?}`.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a batch object")]
pub struct Batch {
    /// Whether all mutations are applied or none.
    #[serde(default)]
    pub atomic: bool,
    /// The writes, in the order in which they happen.
    #[schemars(length(max = MAX_BATCH))]
    pub mutations: Vec<BatchMutation>,
    /// A sync token; the answer then has the delta that follows it, and that holds what the batch has written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// One write.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mutation object")]
pub struct BatchMutation {
    /// The client's id for this write. One that comes again with the same content is not applied again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mutation_id: Option<Id>,
    /// What to do.
    pub op: Op,
    /// The thing.
    pub id: Id,
    /// The version that the write is based on; 0 to create. A deletion may go without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The whole new content of a put, the merge patch of a patch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Map<String, Value>>,
}

/// What a mutation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// Creates or replaces.
    Put,
    /// Changes some members (RFC 7396).
    Patch,
    /// Leaves a tombstone.
    Delete,
}

impl Batch {
    /// The mutations for the change log, each with its decision.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` when there are more than 49.
    pub fn mutations<D>(&self, mut decide: impl FnMut(&BatchMutation) -> D) -> Result<Vec<Mutation<D>>, ApiError> {
        if self.mutations.len() > MAX_BATCH {
            return Err(ApiError::validation("mutations", format!("must have up to {MAX_BATCH} elements")));
        }
        let mutation = |mutation: &BatchMutation| Mutation {
            id: mutation.id.clone(),
            mutation_id: mutation.tagged(),
            decision: decide(mutation),
        };
        Ok(self.mutations.iter().map(mutation).collect())
    }
}

impl BatchMutation {
    /// The content with its version, as in the body of a single write.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` when `data` is missing, or is there for a deletion.
    pub fn edit(&self) -> Result<Edit, ApiError> {
        let content = match (&self.data, self.op) {
            (Some(data), Op::Put | Op::Patch) => data.clone(),
            (None, Op::Delete) => Map::new(),
            (None, Op::Put | Op::Patch) => return Err(ApiError::validation("data", "is missing")),
            (Some(_), Op::Delete) => return Err(ApiError::validation("data", "has no place in a deletion")),
        };
        Ok(Edit { version: self.version, content })
    }

    /// The order of members does not count: some JSON libraries of phones write them in another one each time. Nor does
    /// the version, since the same edit may come again on a newer base.
    fn tagged(&self) -> Option<MutationId> {
        let mut content = json!([self.op, self.data]);
        content.sort_all_objects();
        Some(MutationId::new(self.mutation_id.clone()?, content.to_string().as_bytes()))
    }
}

/// The answer of one mutation.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Item<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    mutation_id: Option<&'a Id>,
    id: &'a Id,
    status: u16,
    #[serde(flatten)]
    said: Said<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
enum Said<'a> {
    Item(Value),
    Error(Summary<'a>),
}

/// What became of the mutations of a batch, in their order.
#[derive(Debug)]
pub struct Results<'a> {
    batch: &'a Batch,
    outcomes: Vec<Result<(StatusCode, Value), ApiError>>,
}

impl<'a> Results<'a> {
    /// Shows each outcome as the answer to a single write would.
    ///
    /// # Errors
    /// `INTERNAL` when a view cannot be written as JSON.
    pub fn new<V, E, S>(
        batch: &'a Batch,
        outcomes: impl IntoIterator<Item = Result<Outcome<E>, ApiError>>,
        selection: &Selection,
        state: &S,
    ) -> Result<Self, ApiError>
    where
        V: Shape<Record<E>, S>,
        E: Entity,
    {
        let shown = |(mutation, outcome): (&BatchMutation, Result<Outcome<E>, ApiError>)| {
            let outcome = match outcome {
                Ok(outcome) => outcome,
                Err(error) => return Ok(Err(error)),
            };
            let created = outcome.effect == Effect::Created && mutation.op != Op::Delete;
            let status = if created { StatusCode::CREATED } else { StatusCode::OK };
            let version = outcome.record.as_ref().map_or(0, |record| record.version);
            let item = match outcome.record {
                Some(record) if record.value.is_some() => sync::item::<V, E, S>(&record, selection, state)?,
                _ => json!(Tombstone::new(&mutation.id, version)),
            };
            Ok(Ok((status, item)))
        };
        let outcomes = batch.mutations.iter().zip(outcomes).map(shown).collect::<Result<_, ApiError>>()?;
        Ok(Self { batch, outcomes })
    }

    fn items(&self) -> impl Iterator<Item = Item<'_>> {
        self.batch.mutations.iter().zip(&self.outcomes).map(|(mutation, outcome)| {
            let (status, said) = match outcome {
                Ok((status, item)) => (*status, Said::Item(item.clone())),
                Err(error) => (error.code().facts().status, Said::Error(error.summary())),
            };
            Item { mutation_id: mutation.mutation_id.as_ref(), id: &mutation.id, status: status.as_u16(), said }
        })
    }

    /// The whole answer: `{"results":[{"mutationId","id","status","item"|"error"}],"delta"?|"deltaError"?}`.
    ///
    /// The delta follows what the batch has written. A failure of the delta does not hide what became of the mutations.
    ///
    /// # Errors
    /// `CONFLICT` for an atomic batch with a mutation that was refused; `details.results` lists those. When one of them
    /// may do better later, it is its error.
    pub async fn answer<V, E, S>(&self, source: &Source<'_, E, S>, query: &SyncQuery) -> Result<Response, ApiError>
    where
        V: Shape<Record<E>, S>,
        E: Entity,
    {
        let refused: Vec<Item<'_>> = self.items().filter(|item| matches!(item.said, Said::Error(_))).collect();
        if self.batch.atomic && !refused.is_empty() {
            let failed = self.outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
            if let Some(failure) = failed.clone().find(|error| error.code().facts().retryable) {
                return Err(failure.clone());
            }
            let message = format!("Nothing was written: {} of the mutations cannot be.", refused.len());
            return Err(ApiError::new(Code::Conflict, message).with_details(json!({ "results": refused })));
        }
        let delta = match self.batch.since.as_deref() {
            Some(since) => Some(source.page::<V>(Some(since), query).await),
            None => None,
        };
        let (delta, delta_error) = match &delta {
            Some(Ok(page)) => (Some(page), None),
            Some(Err(error)) => {
                tracing::warn!(code = error.code().facts().name, cause = error.causes(), "the delta of a batch failed");
                (None, Some(error.summary()))
            }
            None => (None, None),
        };
        view::json(StatusCode::OK, &Body { results: self.items().collect(), delta, delta_error })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    results: Vec<Item<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delta: Option<&'a DeltaPage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delta_error: Option<Summary<'a>>,
}
