//! The tables as the template declares them, for emulators.

use aws_sdk_dynamodb::{
    Client,
    error::DisplayErrorContext,
    operation::create_table::CreateTableError,
    types::{
        AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection, ProjectionType,
        ScalarAttributeType,
    },
};

use crate::settings;

struct Table {
    /// The setting that holds its name.
    variable: &'static str,
    /// Partition key, and sort key if there is one.
    keys: &'static [&'static str],
    /// Secondary indexes: name and partition key.
    indexes: &'static [(&'static str, &'static str)],
}

const TABLES: [Table; 4] = [
    Table { variable: "USERS_TABLE", keys: &["id"], indexes: &[] },
    Table {
        variable: "PRODUCTS_TABLE",
        keys: &["pk", "sk"],
        indexes: &[("byCategory", "category"), ("featured", "featured")],
    },
    Table { variable: "ORDERS_TABLE", keys: &["pk", "sk"], indexes: &[] },
    Table { variable: "RATE_LIMIT_TABLE", keys: &["pk"], indexes: &[] },
];

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Creates the tables of users, products, orders and request counters, those that are not there yet.
///
/// # Errors
/// When the store refuses.
pub async fn create(client: &Client) -> Result<(), Failure> {
    let existing = client.list_tables().send().await.map_err(explain)?.table_names.unwrap_or_default();
    for Table { variable, keys, indexes } in TABLES {
        let name = settings::value(variable);
        if !existing.iter().any(|table| table == name) {
            create_one(client, name, keys, indexes).await?;
        }
    }
    Ok(())
}

/// Creates one table with string keys: the partition key first, then a sort key if there is one. An index has a
/// partition key of its own and the sort key `sk`.
///
/// # Errors
/// When the store refuses.
pub async fn create_one(client: &Client, name: &str, keys: &[&str], indexes: &[(&str, &str)]) -> Result<(), Failure> {
    let attributes = keys.iter().copied().chain(indexes.iter().map(|(_, attribute)| *attribute));
    let mut request = client
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .set_attribute_definitions(Some(attributes.map(attribute).collect::<Result<_, _>>()?))
        .set_key_schema(Some(key_schema(keys)?));
    for (index, attribute) in indexes {
        let projection = Projection::builder().projection_type(ProjectionType::All).build();
        let index = GlobalSecondaryIndex::builder()
            .index_name(*index)
            .set_key_schema(Some(key_schema(&[attribute, "sk"])?))
            .projection(projection);
        request = request.global_secondary_indexes(index.build()?);
    }
    match request.send().await {
        // The client has asked again after a late answer, and found what its first attempt has made.
        Err(error) if error.as_service_error().is_some_and(CreateTableError::is_resource_in_use_exception) => Ok(()),
        other => other.map(drop).map_err(explain),
    }
}

fn attribute(name: &str) -> Result<AttributeDefinition, Failure> {
    Ok(AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S).build()?)
}

fn key_schema(names: &[&str]) -> Result<Vec<KeySchemaElement>, Failure> {
    let kinds = [KeyType::Hash, KeyType::Range];
    let keys = names.iter().zip(kinds);
    keys.map(|(name, kind)| Ok(KeySchemaElement::builder().attribute_name(*name).key_type(kind).build()?)).collect()
}

fn explain(error: impl std::error::Error) -> Failure {
    DisplayErrorContext(error).to_string().into()
}
