//! What each content coding costs and saves at each level, on real answers, through the coders that the service uses.

use std::time::Instant;

use axum::body::Body;
use dev::{app, database::Database, demo};
use http::Request;
use http_body_util::BodyExt;
use shared::http::compress::{Coding, encode};
use tower::ServiceExt;

use crate::{Failure, stats::median};

/// A small page, an ordinary one and the largest.
const TARGETS: [(&str, &str); 3] = [
    ("20 products, minimal", "/api/v2/products?level=minimal"),
    ("20 products, detail", "/api/v2/products"),
    ("100 products, full", "/api/v2/products?limit=100&level=full"),
];
const LEVELS: [(Coding, &[i32]); 3] = [
    (Coding::Br, &[1, 2, 3, 4, 5, 6, 9, 11]),
    (Coding::Zstd, &[1, 2, 3, 5, 7, 9, 12, 19]),
    (Coding::Gzip, &[1, 2, 3, 4, 5, 6, 7, 9]),
];

pub(crate) async fn run(runs: usize) -> Result<(), Failure> {
    let database = Database::in_memory().await?;
    demo::prepare(&database, demo::TEST_EPOCH).await?;
    let service = app::service(&app::on(&database.endpoint())?)?;
    for (name, target) in TARGETS {
        let answer = service.clone().oneshot(Request::get(target).body(Body::empty())?).await?;
        let body = answer.into_body().collect().await?.to_bytes();
        println!("\n{name}: {} bytes\n\n| coding | level | bytes | of the original | microseconds |", body.len());
        println!("| --- | --- | --- | --- | --- |");
        for (coding, levels) in LEVELS {
            for &level in levels {
                let (bytes, micros) = measure(&body, coding, level, runs).await?;
                let share = 100 * bytes / body.len();
                println!("| {} | {level} | {bytes} | {share} % | {micros:.0} |", coding.name());
            }
        }
    }
    database.stop().await;
    Ok(())
}

/// The size of the coded body, and the median time to make it.
async fn measure(body: &[u8], coding: Coding, level: i32, runs: usize) -> Result<(usize, f64), Failure> {
    let (mut bytes, mut micros) = (0, Vec::with_capacity(runs));
    for _ in 0..runs {
        let start = Instant::now();
        bytes = encode(body, coding, level).await?.len();
        micros.push(start.elapsed().as_secs_f64() * 1e6);
    }
    Ok((bytes, median(&micros)))
}
