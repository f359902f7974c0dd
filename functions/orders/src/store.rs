//! Orders in DynamoDB: one scope of a change log for each user.

use aws_sdk_dynamodb::Client;
use shared::{Id, delta::ChangeLog};

use crate::model::Order;

/// The change log of orders. The scope of every call comes from a verified token, never from a request.
pub type Orders = ChangeLog<Order>;

/// The scope of a user's orders.
pub fn scope_of(user: &Id) -> String {
    format!("U#{user}")
}

/// Orders in this table.
pub(crate) fn orders(client: Client, table: &str) -> Orders {
    ChangeLog::new(client, table)
}
