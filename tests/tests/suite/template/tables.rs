//! The tables of `infra/data.yaml`, and those of emulators.

use dev::{app, settings};
use serde_json::{Value, json};
use tests::{
    server::empty_database,
    template::{list, load},
};

use super::{code_of, quoted};

const TABLES: [(&str, &str); 4] = [
    ("UsersTable", "USERS_TABLE"),
    ("ProductsTable", "PRODUCTS_TABLE"),
    ("OrdersTable", "ORDERS_TABLE"),
    ("RateLimitTable", "RATE_LIMIT_TABLE"),
];

#[tokio::test]
async fn the_tables_are_those_that_tests_and_local_development_have() {
    let template = load("infra/data.yaml");
    let declared: Vec<&str> =
        tests::template::resources(&template, "AWS::DynamoDB::Table").map(|(name, _)| name).collect();
    assert_eq!(declared, TABLES.map(|(name, _)| name));
    let database = empty_database().await;
    let client = app::on(&database.endpoint()).unwrap().aws.dynamodb;
    for (name, setting) in TABLES {
        let made = client.describe_table().table_name(settings::value(setting)).send().await.unwrap().table.unwrap();
        let keys = |schema: &[aws_sdk_dynamodb::types::KeySchemaElement]| -> Vec<Value> {
            let key = |key: &aws_sdk_dynamodb::types::KeySchemaElement| json!({ "AttributeName": key.attribute_name(), "KeyType": key.key_type().as_str() });
            schema.iter().map(key).collect()
        };
        let attribute = |made: &aws_sdk_dynamodb::types::AttributeDefinition| json!({ "AttributeName": made.attribute_name(), "AttributeType": made.attribute_type().as_str() });
        let indexes = made.global_secondary_indexes().iter().map(|index| {
            let projection = index.projection().unwrap().projection_type().unwrap().as_str();
            json!({
                "IndexName": index.index_name(),
                "KeySchema": keys(index.key_schema()),
                "Projection": { "ProjectionType": projection },
            })
        });
        let properties = &template["Resources"][name]["Properties"];
        assert_eq!(properties["KeySchema"], Value::from(keys(made.key_schema())), "{name}");
        assert_eq!(sorted(&properties["GlobalSecondaryIndexes"]), sorted(&indexes.collect()), "{name}");
        assert_eq!(
            sorted(&properties["AttributeDefinitions"]),
            sorted(&made.attribute_definitions().iter().map(attribute).collect()),
            "{name}"
        );
        assert_eq!(properties["BillingMode"], "PAY_PER_REQUEST", "{name}");
        assert_eq!(properties["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"], true, "{name}");
        // What is written with an expiry is in a table that minds it.
        let expires = json!({ "AttributeName": "expiresAt", "Enabled": true });
        assert_eq!(
            properties["TimeToLiveSpecification"],
            if name == "UsersTable" { Value::Null } else { expires },
            "{name}"
        );
    }
    assert!(quoted(&code_of("shared/src/delta")).contains("expiresAt"));
    assert!(code_of("shared/src/http/limit").contains("expiresAt = "));
}

fn sorted(items: &Value) -> Vec<String> {
    let mut items: Vec<String> = list(items).into_iter().map(Value::to_string).collect();
    items.sort();
    items
}
