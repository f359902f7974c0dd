//! The floor that the functions are measured against: axum on `lambda_http`, and nothing else.
//!
//! It answers `GET /api/v2/users/me` with about as many bytes as the real function, but checks no token, reads no store
//! and writes no log.

use axum::{Router, http::header::CONTENT_TYPE, response::IntoResponse, routing::get};

const ANSWER: &str = concat!(
    r#"{"id":"user-1","name":"Example Person","email":"example-person@example.com","#,
    r#""avatar":{"url":"/images/avatars/user-1.jpg","srcset":["#,
    r#"{"w":320,"url":"/images/avatars/user-1.jpg?w=320"},"#,
    r#"{"w":640,"url":"/images/avatars/user-1.jpg?w=640"},"#,
    r#"{"w":1080,"url":"/images/avatars/user-1.jpg?w=1080"}]}}"#
);

async fn me() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], ANSWER)
}

// A runtime of one thread starts fastest, and a function has one request at a time.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    lambda_http::run(Router::new().route("/api/v2/users/me", get(me))).await
}
