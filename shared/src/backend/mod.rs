//! Where data comes from: DynamoDB and HTTP upstreams.

pub mod dynamo;
pub mod upstream;
