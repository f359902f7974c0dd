//! What a write does to an order, whatever the version of the API.

use shared::{
    ApiError, Id,
    delta::{Change, Decide, Record, Verdict, judge, judge_deletion},
    http::{
        edit::Edit,
        precondition::{Expected, SaidIn, State as Expectation},
    },
};

use crate::{
    model::{Order, OrderDraft, Status},
    pricing::Pricing,
    routes::State,
};

type Row = Record<Order>;

/// A write that did not happen.
pub(crate) enum Refused {
    /// The order is not what the write is based on; the server's copy, if it has one.
    Conflict(Expected, Option<Box<Row>>),
    /// The shop has taken the order on: the app can no longer change it.
    Closed(Box<Row>),
    /// Anything else.
    Error(ApiError),
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self::Error(error)
    }
}

/// Creates or replaces an order.
pub(crate) struct Put<'a> {
    expected: Expected,
    draft: &'a OrderDraft,
    pricing: Pricing<'a>,
}

impl<'a> Put<'a> {
    pub(crate) fn new(state: &'a State, expected: Expected, draft: &'a OrderDraft) -> Result<Self, ApiError> {
        draft.validate()?;
        Ok(Self { expected, draft, pricing: Pricing::new(&state.products) })
    }
}

impl Decide<Order> for Put<'_> {
    type Refused = Refused;

    async fn decide(&mut self, row: Option<&Row>) -> Result<Change<Order>, Refused> {
        change(row, &self.expected, self.draft, &mut self.pricing).await
    }
}

/// Applies a merge patch to an order that exists.
pub(crate) struct Patch<'a> {
    id: &'a Id,
    expected: Expected,
    edit: &'a Edit,
    pricing: Pricing<'a>,
}

impl<'a> Patch<'a> {
    pub(crate) fn new(state: &'a State, id: &'a Id, expected: Expected, edit: &'a Edit) -> Self {
        Self { id, expected, edit, pricing: Pricing::new(&state.products) }
    }
}

impl Decide<Order> for Patch<'_> {
    type Refused = Refused;

    async fn decide(&mut self, row: Option<&Row>) -> Result<Change<Order>, Refused> {
        let Some(found) = row else { return Err(unknown(self.id).into()) };
        let Some(current) = &found.value else { return Err(conflict(&self.expected, row)) };
        let draft: OrderDraft = self.edit.merge_into(&current.draft())?;
        draft.validate()?;
        change(row, &self.expected, &draft, &mut self.pricing).await
    }
}

async fn change(
    row: Option<&Row>,
    expected: &Expected,
    draft: &OrderDraft,
    pricing: &mut Pricing<'_>,
) -> Result<Change<Order>, Refused> {
    match judge(row, &expected.state, |stored| stored.draft() == *draft) {
        Verdict::Unchanged => Ok(Change::Keep),
        Verdict::Conflict => Err(conflict(expected, row)),
        Verdict::Apply => {
            refuse_closed(row)?;
            Ok(Change::Put(pricing.apply(draft, row.and_then(|row| row.value.as_ref())).await?))
        }
    }
}

/// Deletes an order.
pub(crate) struct Delete(pub(crate) Option<Expected>);

impl Decide<Order> for Delete {
    type Refused = Refused;

    async fn decide(&mut self, row: Option<&Row>) -> Result<Change<Order>, Refused> {
        match (judge_deletion(row, self.0.as_ref().map(|expected| &expected.state)), &self.0) {
            (Verdict::Unchanged, _) => Ok(Change::Keep),
            (Verdict::Conflict, Some(expected)) => Err(conflict(expected, row)),
            (Verdict::Apply | Verdict::Conflict, _) => refuse_closed(row).map(|()| Change::Delete),
        }
    }
}

/// The expectation of an order that the server names: that there is none.
pub(crate) const fn absent() -> Expected {
    Expected { state: Expectation::Absent, said_in: SaidIn::Body }
}

fn conflict(expected: &Expected, row: Option<&Row>) -> Refused {
    Refused::Conflict(expected.clone(), row.cloned().map(Box::new))
}

/// Only an order that the shop has not taken on yet is the app's to change.
fn refuse_closed(row: Option<&Row>) -> Result<(), Refused> {
    match row {
        Some(row) if row.value.as_ref().is_some_and(|order| order.status != Status::Pending) => {
            Err(Refused::Closed(Box::new(row.clone())))
        }
        _ => Ok(()),
    }
}

fn unknown(id: &Id) -> ApiError {
    ApiError::not_found(format!("There is no order {id}."))
}
