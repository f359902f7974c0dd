//! What a flood of thumbnails takes of the memory.

use std::{num::NonZeroUsize, thread::available_parallelism};

use axum::{Router, body::Bytes, extract::Path, routing::get};
use photos::Photo;
use tests::{
    container::Container,
    server::{plain_client, serve},
};

use crate::{container, dear};

const MB: u64 = 1024 * 1024;
/// The largest file that is read: docs/thumbnails.md.
const LARGEST: usize = 20 * 1024 * 1024;
/// Connections, and what the allocator keeps: for a thousand clients.
const REST: u64 = 96 * MB;

/// What one thumbnail of any picture takes at most: docs/thumbnails.md.
const DEAREST: u64 = 400 * MB;

/// A bucket with a small photo, and one in a file that is as large as a file may be.
async fn photos() -> String {
    let small = Bytes::from(Photo::of("small").jpeg(64, 48));
    let mut large = Photo::of("large").jpeg(2000, 1500);
    // What follows the end of a picture is read, and means nothing.
    large.resize(LARGEST, 0);
    let large = Bytes::from(large);
    bucket(move |key| if key == "large.jpg" { large.clone() } else { small.clone() }).await
}

/// A bucket that answers every key.
pub(crate) async fn bucket(object: impl Fn(&str) -> Bytes + Clone + Send + Sync + 'static) -> String {
    let object = async move |Path((_, key)): Path<(String, String)>| object(&key);
    serve(Router::new().route("/{bucket}/{*key}", get(object))).await
}

async fn status(container: &Container, client: &reqwest::Client, target: String) -> u16 {
    let answer = client.get(format!("http://{}{target}", container.address)).send().await.expect("an answer");
    let status = answer.status().as_u16();
    answer.bytes().await.expect("a whole answer");
    status
}

/// Sizes that no cache has, asked for all at once, of the largest file: as many as are made at a time are in memory,
/// whoever else waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_thumbnails_at_once_take_the_memory_of_those_that_are_made() {
    if !Container::is_the_process() {
        eprintln!("skipped: the memory of a container in an image cannot be looked at from here");
        return;
    }
    let bucket = photos().await;
    // Nothing of a thumbnail needs the database. The queue is what is looked at, not the limits in front of it.
    let limits = [("MAX_IN_FLIGHT", "2000"), ("MAX_WAIT_MS", "60000")];
    let changes = limits.into_iter().chain([("AWS_ENDPOINT_URL_S3", bucket.as_str())]);
    let (container, client) = (container("http://127.0.0.1:1", changes).await, plain_client());
    let status = async |target: String| status(&container, &client, target).await;
    assert_eq!(status("/images/small.jpg?w=32".into()).await, 200);
    let before = container.peak_memory();
    for width in [16, 32, 48] {
        assert_eq!(status(format!("/images/large.jpg?w={width}")).await, 200);
    }
    let one = container.peak_memory() - before;
    assert!(one >= LARGEST as u64, "the file is in memory once: {} MB", one / MB);

    let answers = (1..=1000).map(|height| status(format!("/images/large.jpg?w=320&h={height}&format=webp")));
    let answers = futures_util::future::join_all(answers).await;
    let turns = available_parallelism().map_or(1, NonZeroUsize::get) as u64;
    let (taken, bound) = (container.peak_memory() - before, turns * one + REST);
    println!("{} MB for one, {} MB for a thousand; at most {} MB", one / MB, taken / MB, bound / MB);
    assert!(taken <= bound, "{} MB for {turns} at a time, each {} MB", taken / MB, one / MB);

    let count = |status| answers.iter().filter(|answer| **answer == status).count();
    // Those at the end of the queue may be too late on a slow machine.
    assert_eq!(count(200) + count(429) + count(504), 1000, "{answers:?}");
    assert!(count(200) > 0 && count(429) > 0, "{answers:?}");
}

/// Pictures that are within every limit and as dear as they can be, in few bytes; and some that are not. Made large, since
/// the last step down is the one that needs all pixels.
#[tokio::test(flavor = "multi_thread")]
async fn no_picture_takes_more_than_the_docs_say() {
    type Maker = fn() -> Vec<u8>;
    if !Container::is_the_process() {
        eprintln!("skipped: the memory of a container in an image cannot be looked at from here");
        return;
    }
    let pictures: [(&str, Maker, u16); 6] = [
        ("still.gif", || dear::gif(7071, 1), 200),
        ("animated.gif", || dear::gif(5000, 2), 200),
        ("plain.png", || dear::png(7071, false), 200),
        ("interlaced.png", || dear::png(7071, true), 200),
        ("lossless.webp", || dear::webp(7000), 200),
        ("profile.png", || dear::png_with_profile(240), 413),
    ];
    for (name, make, expected) in pictures {
        // Made now: a thumbnail has ten seconds, and the bucket's time would count.
        let picture = Bytes::from(make());
        let bucket = bucket(move |_| picture.clone()).await;
        // Each in a process of its own, so that none hides behind another.
        let changes = [("AWS_ENDPOINT_URL_S3", bucket.as_str()), ("REQUEST_TIMEOUT_MS", "10000")];
        let (container, client) = (container("http://127.0.0.1:1", changes).await, plain_client());
        let before = container.peak_memory();
        for format in ["jpeg", "webp"] {
            let target = format!("/images/{name}?w=2048&format={format}");
            let mut answer = 504;
            // It has to be made, but a busy machine may take several tries.
            let mut tries = 0..6;
            while answer == 504 && tries.next().is_some() {
                answer = status(&container, &client, target.clone()).await;
            }
            assert_eq!(answer, expected, "{name} as {format}");
        }
        let taken = container.peak_memory() - before;
        println!("{name}: {} MB", taken / MB);
        assert!(taken <= DEAREST, "{name} takes {} MB", taken / MB);
    }
}
