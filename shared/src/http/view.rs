//! Answers with as much of a resource as the client asked for.

use std::io;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    context::{ApiVersion, Version},
    page::Page,
    record::WholeSize,
};
use crate::{
    error::ApiError,
    slim::{Level, Selection, SelectionError, Slim, Slimmed},
    telemetry::timing,
};

/// The query parameters that choose a view.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ViewQuery {
    level: Option<String>,
    fields: Option<String>,
}

/// How one version of the API shows what is stored. `S` is the state of the route group, for what the view needs
/// besides, such as image addresses.
pub trait Shape<T: 'static, S>: Version {
    /// What the client sees.
    type View<'a>: Slim;

    /// The view of a stored thing; `None` when there is nothing to show, as with a deleted row.
    fn view<'a>(stored: &'a T, state: &S) -> Option<Self::View<'a>>;

    /// What the view depends on besides what is stored. When it changes, whoever keeps a copy needs all of it anew.
    fn edition(_state: &S) -> String {
        String::new()
    }
}

impl ViewQuery {
    /// Checks the parameters against the view of a version and the most that the caller may see.
    ///
    /// # Errors
    /// `FORBIDDEN` for more than the ceiling, `VALIDATION_ERROR` for a level or a field that there is not. `fields` is
    /// a parameter of version 2.
    pub fn select<V: Shape<T, S>, T: 'static, S>(&self, ceiling: Level) -> Result<Selection, ApiError> {
        if V::VERSION == ApiVersion::V1 && self.fields.is_some() {
            return Err(ApiError::validation("fields", "is a parameter of version 2"));
        }
        let level = self.level.as_deref().map(str::parse::<Level>).transpose();
        let level = level.map_err(|why| ApiError::validation("level", why))?;
        Selection::parse::<V::View<'static>>(level, self.fields.as_deref(), ceiling).map_err(|error| match error {
            SelectionError::AboveCeiling { .. } => ApiError::forbidden(error.to_string()),
            error => ApiError::validation(error.parameter(), error),
        })
    }

    /// The answer to a write: everything, unless the client asks for less.
    ///
    /// # Errors
    /// As [`select`](Self::select).
    pub fn select_after_write<V: Shape<T, S>, T: 'static, S>(&self) -> Result<Selection, ApiError> {
        match self {
            Self { level: None, fields: None } => Ok(Selection::at(Level::Full)),
            _ => self.select::<V, T, S>(Level::Full),
        }
    }
}

/// One resource as a JSON answer.
///
/// # Errors
/// `INTERNAL` when the view cannot be written as JSON.
pub fn one<T: Slim>(view: &T, selection: &Selection) -> Result<Response, ApiError> {
    let response = json(StatusCode::OK, &Slimmed::new(view, selection))?;
    measured(response, &Slimmed::new(view, &Selection::at(Level::Full)))
}

/// One resource as a JSON value, for the server's copy in a conflict.
///
/// # Errors
/// `INTERNAL` when the view cannot be written as JSON.
pub fn value<T: Slim>(view: &T, selection: &Selection) -> Result<Value, ApiError> {
    serde_json::to_value(Slimmed::new(view, selection)).map_err(ApiError::internal)
}

/// A page of resources as a JSON answer: `{"items":[…],"nextCursor":"…"}`; no `nextCursor` on the last page.
///
/// # Errors
/// `INTERNAL` when a view cannot be written as JSON.
pub fn page<T: Slim>(page: &Page<T>, selection: &Selection) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a, I> {
        items: I,
        #[serde(skip_serializing_if = "Option::is_none")]
        next_cursor: Option<&'a str>,
    }
    let next_cursor = page.next_cursor.as_deref();
    let response = json(StatusCode::OK, &Body { items: Slimmed::new(&page.items, selection), next_cursor })?;
    measured(response, &Body { items: Slimmed::new(&page.items, &Selection::at(Level::Full)), next_cursor })
}

/// Notes for the log how long the answer would be with everything in it.
fn measured(mut response: Response, whole: &impl Serialize) -> Result<Response, ApiError> {
    let mut count = Count(0);
    serde_json::to_writer(&mut count, whole).map_err(ApiError::internal)?;
    response.extensions_mut().insert(WholeSize(count.0));
    Ok(response)
}

/// Counts bytes without keeping them.
struct Count(u64);

impl io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Any JSON answer.
///
/// # Errors
/// `INTERNAL` when the body cannot be written as JSON.
pub fn json(status: StatusCode, body: &impl Serialize) -> Result<Response, ApiError> {
    let bytes = timing::sync_part("render", || serde_json::to_vec(body)).map_err(ApiError::internal)?;
    let content_type = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok((status, [content_type], bytes).into_response())
}
