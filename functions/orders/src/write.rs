//! What a write does to an order, whatever the version of the API.

use shared::{
    ApiError, Id,
    delta::{Change, Outcome, Record, Verdict, judge},
    http::{
        edit::Edit,
        precondition::{Expected, SaidIn, State as Expectation},
    },
};

use crate::{
    model::{Order, OrderDraft},
    pricing::Prices,
    routes::State,
    store::scope_of,
};

/// A write that did not happen.
pub(crate) enum Refused {
    /// The order is not what the write is based on; the server's copy, if it has one.
    Conflict(Expected, Option<Box<Record<Order>>>),
    /// Anything else.
    Error(ApiError),
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self::Error(error)
    }
}

/// Creates or replaces an order.
pub(crate) async fn put(
    state: &State,
    user: &Id,
    id: &Id,
    expected: Expected,
    draft: &OrderDraft,
) -> Result<Outcome<Order>, Refused> {
    draft.validate()?;
    let prices = Prices::of(draft, &state.products).await?;
    change(state, user, id, expected, |current| prices.apply(draft, current)).await
}

/// Applies a merge patch to an order that exists.
pub(crate) async fn patch(
    state: &State,
    user: &Id,
    id: &Id,
    expected: Expected,
    edit: &Edit,
) -> Result<Outcome<Order>, Refused> {
    let scope = scope_of(user);
    // Read once outside the write, to know which products need a price.
    let current = state.orders.get(&scope, id).await?.and_then(|record| record.value).ok_or_else(|| unknown(id))?;
    let prices = Prices::of(&patched(edit, &current)?, &state.products).await?;
    change(state, user, id, expected, |current| {
        let current = current.ok_or_else(|| unknown(id))?;
        prices.apply(&patched(edit, current)?, Some(current))
    })
    .await
}

fn patched(edit: &Edit, current: &Order) -> Result<OrderDraft, ApiError> {
    let draft: OrderDraft = edit.merge_into(&current.draft())?;
    draft.validate()?;
    Ok(draft)
}

async fn change(
    state: &State,
    user: &Id,
    id: &Id,
    expected: Expected,
    next: impl Fn(Option<&Order>) -> Result<Order, ApiError>,
) -> Result<Outcome<Order>, Refused> {
    let decide = |row: Option<&Record<Order>>| {
        let stored = row.and_then(|row| row.value.as_ref());
        let proposed = next(stored)?;
        match judge(row, expected.state, Some(&proposed)) {
            Verdict::Apply => Ok(Change::Put(proposed)),
            Verdict::Unchanged => Ok(Change::Keep),
            Verdict::Conflict => Err(Refused::Conflict(expected, row.cloned().map(Box::new))),
        }
    };
    state.orders.write(&scope_of(user), id, decide).await
}

/// Deletes an order. Without an expectation, whatever is there goes; what is gone already stays gone.
pub(crate) async fn delete(
    state: &State,
    user: &Id,
    id: &Id,
    expected: Option<Expected>,
) -> Result<Outcome<Order>, Refused> {
    let decide = |row: Option<&Record<Order>>| {
        let live = row.is_some_and(|row| row.value.is_some());
        match expected {
            _ if !live => Ok(Change::Keep),
            None => Ok(Change::Delete),
            Some(expected) => match judge(row, expected.state, None::<&Order>) {
                Verdict::Apply => Ok(Change::Delete),
                Verdict::Unchanged => Ok(Change::Keep),
                Verdict::Conflict => Err(Refused::Conflict(expected, row.cloned().map(Box::new))),
            },
        }
    };
    state.orders.write(&scope_of(user), id, decide).await
}

/// The expectation of an order that the server names: that there is none.
pub(crate) const fn absent() -> Expected {
    Expected { state: Expectation::Absent, said_in: SaidIn::Body }
}

fn unknown(id: &Id) -> ApiError {
    ApiError::not_found(format!("There is no order {id}."))
}
