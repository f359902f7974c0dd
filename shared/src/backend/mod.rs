//! Where data comes from: DynamoDB and HTTP upstreams.

pub mod aws;
pub mod dynamo;
mod queue;
pub mod upstream;
