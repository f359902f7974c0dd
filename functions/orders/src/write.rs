//! What a write does to an order, whatever the version of the API.

use shared::{
    ApiError, Id,
    delta::{Change, Decide, Record, Verdict, judge, judge_deletion},
    http::{
        batch::{BatchMutation, Op},
        edit::Edit,
        precondition::{Expected, Preconditions, SaidIn, State as Expectation},
    },
};

use crate::{
    model::{Order, OrderDraft, Status},
    pricing::Pricing,
    store::Orders,
};

type Row = Record<Order>;

/// What stands where an id would: an order of such a name could not be asked for.
const ROUTES: [&str; 2] = ["delta", "batch"];

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

/// Any write to an order.
pub(crate) enum Write {
    Put(Put),
    Patch(Patch),
    Delete(Delete),
    /// One that cannot be, whatever the order is.
    Invalid(ApiError),
}

impl Decide<Order> for Write {
    type Refused = Refused;

    async fn decide(&mut self, row: Option<&Row>) -> Result<Change<Order>, Refused> {
        match self {
            Self::Put(put) => put.decide(row).await,
            Self::Patch(patch) => patch.decide(row).await,
            Self::Delete(delete) => delete.decide(row),
            Self::Invalid(error) => Err(error.clone().into()),
        }
    }

    fn refuse_after_another(&mut self, row: Option<&Row>) -> Refused {
        match self {
            Self::Put(Put { expected, .. })
            | Self::Patch(Patch { expected, .. })
            | Self::Delete(Delete(Some(expected))) => conflict(expected, row),
            Self::Delete(Delete(None)) => conflict(&absent(), row),
            Self::Invalid(error) => error.clone().into(),
        }
    }
}

impl Write {
    /// A mutation of a batch, under the rules of the single writes.
    pub(crate) fn of(mutation: &BatchMutation, pricing: &Pricing, merge: Option<&Merge>) -> Self {
        Self::read(mutation, pricing, merge).unwrap_or_else(Self::Invalid)
    }

    fn read(mutation: &BatchMutation, pricing: &Pricing, merge: Option<&Merge>) -> Result<Self, ApiError> {
        let (edit, header) = (mutation.edit()?, Preconditions::default());
        if ROUTES.contains(&mutation.id.as_str()) {
            return Err(ApiError::validation("id", "is the name of a route"));
        }
        Ok(match mutation.op {
            Op::Put => {
                let draft = edit.parse()?;
                Self::Put(Put::new(pricing.clone(), header.require(edit.version)?, draft)?)
            }
            Op::Patch => {
                let expected = header.require(edit.version)?;
                Self::Patch(Patch::new(pricing.clone(), mutation.id.clone(), expected, edit, merge.cloned()))
            }
            Op::Delete => Self::Delete(Delete(header.join(edit.version)?)),
        })
    }

    /// The products that the write names. Those that the order has already are not needed, but that is not known yet.
    pub(crate) fn products(&self) -> impl Iterator<Item = &Id> {
        let draft = if let Self::Put(put) = self { Some(&put.draft) } else { None };
        draft.into_iter().flat_map(|draft| &draft.items).map(|line| &line.product_id)
    }
}

/// Creates or replaces an order.
pub(crate) struct Put {
    pricing: Pricing,
    expected: Expected,
    draft: OrderDraft,
}

impl Put {
    pub(crate) fn new(pricing: Pricing, expected: Expected, draft: OrderDraft) -> Result<Self, ApiError> {
        draft.validate()?;
        Ok(Self { pricing, expected, draft })
    }

    async fn decide(&self, row: Option<&Row>) -> Result<Change<Order>, Refused> {
        change(row, &self.expected, &self.draft, &self.pricing).await
    }
}

/// Applies a merge patch to an order that exists.
pub(crate) struct Patch {
    pricing: Pricing,
    id: Id,
    expected: Expected,
    edit: Edit,
    merge: Option<Merge>,
}

/// Where a patch that was made for an older version finds that version.
#[derive(Clone)]
pub(crate) struct Merge {
    pub(crate) orders: Orders,
    pub(crate) scope: String,
}

impl Patch {
    pub(crate) fn new(pricing: Pricing, id: Id, expected: Expected, edit: Edit, merge: Option<Merge>) -> Self {
        Self { pricing, id, expected, edit, merge }
    }

    async fn decide(&self, row: Option<&Row>) -> Result<Change<Order>, Refused> {
        let Some(found) = row else { return Err(unknown(&self.id).into()) };
        let Some(current) = &found.value else { return Err(conflict(&self.expected, row)) };
        let current = current.draft();
        let merged = self.edit.merge_into(&current);
        let draft = match merged.and_then(|draft: OrderDraft| draft.validate().map(|()| draft)) {
            Ok(draft) => draft,
            // What does not fit may have fitted what the client has seen.
            Err(_) if !self.expected.state.holds(Some(found.version)) => return Err(conflict(&self.expected, row)),
            Err(error) => return Err(error.into()),
        };
        if self.merges(found, &current).await? {
            let as_it_is = Expected { state: Expectation::Versions(vec![found.version]), ..self.expected.clone() };
            return change(row, &as_it_is, &draft, &self.pricing).await;
        }
        change(row, &self.expected, &draft, &self.pricing).await
    }

    /// Whether the patch was made for an older version, and nobody has touched since what it changes.
    async fn merges(&self, found: &Row, current: &OrderDraft) -> Result<bool, ApiError> {
        let (Some(merge), Expectation::Versions(versions)) = (&self.merge, &self.expected.state) else {
            return Ok(false);
        };
        let [base] = versions[..] else { return Ok(false) };
        if base >= found.version {
            return Ok(false);
        }
        let base = merge.orders.at_version(&merge.scope, &self.id, base).await?;
        match base.and_then(|base| base.value) {
            Some(base) => self.edit.is_untouched(&base.draft(), current),
            None => Ok(false),
        }
    }
}

async fn change(
    row: Option<&Row>,
    expected: &Expected,
    draft: &OrderDraft,
    pricing: &Pricing,
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

impl Delete {
    fn decide(&self, row: Option<&Row>) -> Result<Change<Order>, Refused> {
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
