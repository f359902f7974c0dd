//! Lists in pages: `limit`, `cursor`, and the shape of a page.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Deserialize;

use crate::{ApiError, Code, Id};

const DEFAULT_LIMIT: u16 = 20;
const MAX_LIMIT: u16 = 100;
/// Versions the cursor, so that a later format can tell the old one.
const PREFIX: &str = "1:";

/// The query parameters of a list.
#[derive(Debug, Default, Deserialize)]
pub struct PageQuery {
    limit: Option<String>,
    cursor: Option<String>,
}

/// Where a page starts and how long it may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// At most this many items, 1 to 100.
    pub limit: u16,
    /// The last item of the page before.
    pub after: Option<Id>,
}

impl PageQuery {
    /// Checks the parameters.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` for a `limit` outside 1 to 100, `INVALID_CURSOR` for a cursor that no page gave out.
    pub fn check(&self) -> Result<PageRequest, ApiError> {
        let limit = limit(self.limit.as_deref(), DEFAULT_LIMIT, MAX_LIMIT)?;
        let after = self.cursor.as_deref().map(read_cursor).transpose()?;
        Ok(PageRequest { limit, after })
    }
}

/// The query parameter `limit`.
pub(super) fn limit(text: Option<&str>, default: u16, max: u16) -> Result<u16, ApiError> {
    let limit = text.map_or(Some(default), |text| text.parse().ok());
    limit
        .filter(|limit| (1..=max).contains(limit))
        .ok_or_else(|| ApiError::validation("limit", format!("must be a whole number from 1 to {max}")))
}

/// The cursor that continues after an item.
///
/// It names a position, not a right: the store's partition always comes from the caller or the route.
pub fn cursor_after(id: &Id) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!("{PREFIX}{id}"))
}

fn read_cursor(cursor: &str) -> Result<Id, ApiError> {
    BASE64_URL_SAFE_NO_PAD
        .decode(cursor)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| text.strip_prefix(PREFIX)?.parse().ok())
        .ok_or_else(|| ApiError::new(Code::InvalidCursor, "The cursor is not one that this list gave out."))
}

/// One page of a list on the wire: `{"items":[…],"nextCursor":"…"}`; no `nextCursor` on the last page.
#[derive(Debug)]
pub struct Page<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// Continues the list.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// The views of the items, without those that have none.
    pub fn views<'a, U>(&'a self, view: impl FnMut(&'a T) -> Option<U>) -> Page<U> {
        Page { items: self.items.iter().filter_map(view).collect(), next_cursor: self.next_cursor.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_come_back_and_garbage_does_not() {
        let id: Id = "order_1".parse().expect("legal");
        assert_eq!(read_cursor(&cursor_after(&id)).expect("ours"), id);
        for bad in ["", "!", "b3JkZXI", "MTo", &cursor_after(&id)[1..]] {
            assert_eq!(read_cursor(bad).expect_err(bad).code(), Code::InvalidCursor);
        }
    }

    #[test]
    fn limits_are_checked() {
        let check = |limit: &str| PageQuery { limit: Some(limit.into()), cursor: None }.check();
        assert_eq!(check("1").expect("edge").limit, 1);
        assert_eq!(check("100").expect("edge").limit, 100);
        for bad in ["0", "101", "-1", "65536", "x", ""] {
            assert_eq!(check(bad).expect_err("out of range").code(), Code::ValidationError);
        }
    }
}
