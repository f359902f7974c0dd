//! Bodies that come in packed.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use tests::{
    coding::gzip,
    server::{Server, demo_database},
};

async fn post(server: &Server, body: Vec<u8>) -> (u16, serde_json::Value) {
    shared::backend::upstream::install_tls_provider();
    let answer = reqwest::Client::new()
        .post(format!("http://{}/api/v2/orders?level=minimal", server.address()))
        .bearer_auth(dev::token::issue(&"packer".parse().unwrap(), None))
        .header("content-type", "application/json")
        .header("content-encoding", "gzip")
        .body(body)
        .send()
        .await
        .unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap())
}

const ORDER: &[u8] = br#"{"items":[{"productId":"p-0001","quantity":1}]}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_packed_body_is_unpacked_up_to_the_limit_of_its_route() {
    let database = demo_database().await;
    let server = Server::on(&database.endpoint()).await;
    assert_eq!(post(&server, gzip(ORDER)).await.0, 201);
    let spaces = |n: usize| [ORDER, &vec![b' '; n - ORDER.len()]].concat();
    assert_eq!(post(&server, gzip(&spaces(65_536))).await.0, 201, "64 KiB inside");
    assert_eq!(post(&server, gzip(&spaces(65_537))).await.0, 413, "one byte more");
}

/// 100 MB of zeros in 100 KB, and a body that unpacks to nothing for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_is_too_large() {
    let database = demo_database().await;
    let server = Server::on(&database.endpoint()).await;
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..100 {
        bomb.write_all(&vec![0; 1_000_000]).unwrap();
    }
    let (status, error) = post(&server, bomb.finish().unwrap()).await;
    assert_eq!((status, error["code"].as_str()), (413, Some("PAYLOAD_TOO_LARGE")), "{error}");
    // The head of a gzip stream, and then empty stored blocks.
    let mut hollow = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    hollow.extend([0, 0, 0, 0xff, 0xff].repeat(400_000));
    let (status, error) = post(&server, hollow).await;
    assert_eq!((status, error["code"].as_str()), (413, Some("PAYLOAD_TOO_LARGE")), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_unpack_is_a_mistake_of_the_client() {
    let database = demo_database().await;
    let server = Server::on(&database.endpoint()).await;
    let packed = gzip(ORDER);
    let mut wrong_sum = packed.clone();
    let end = wrong_sum.len() - 6;
    wrong_sum[end] ^= 1;
    for body in [b"{}".to_vec(), packed[..packed.len() / 2].to_vec(), Vec::new(), wrong_sum] {
        let (status, error) = post(&server, body).await;
        assert_eq!((status, error["code"].as_str()), (400, Some("VALIDATION_ERROR")), "{error}");
    }
}

/// HEAD tells of the coding and its tag, and not of the length of another representation.
#[tokio::test(flavor = "multi_thread")]
async fn head_says_no_length_that_is_not_that_of_get() {
    let database = demo_database().await;
    let server = Server::on(&database.endpoint()).await;
    for coding in ["identity", "br", "zstd", "gzip"] {
        let send = async |method| {
            let url = format!("http://{}/api/v2/products", server.address());
            let request = reqwest::Client::new().request(method, url).header("accept-encoding", coding);
            request.send().await.unwrap()
        };
        let (head, get) = (send(reqwest::Method::HEAD).await, send(reqwest::Method::GET).await);
        for name in ["content-encoding", "content-type", "etag", "vary", "cache-control"] {
            assert_eq!(head.headers().get(name), get.headers().get(name), "{coding}: {name}");
        }
        let (said, length) = (head.headers().get("content-length"), get.headers().get("content-length"));
        assert!(length.is_some() && (said.is_none() || said == length), "{coding}: {said:?} {length:?}");
    }
}
