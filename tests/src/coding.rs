//! Content codings as a phone undoes them.

use std::io::{Read, Write};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};

/// The gzip of some bytes.
///
/// # Panics
/// Never: memory takes everything.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// What is inside a body with this `Content-Encoding`. A body without bytes, as `HEAD` has it, has no coding either.
///
/// # Panics
/// When the body is not what the header says.
pub fn decoded(coding: Option<&str>, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = match coding {
        _ if body.is_empty() => Ok(0),
        None => return body.to_vec(),
        Some("gzip") => GzDecoder::new(body).read_to_end(&mut bytes),
        Some("br") => brotli::Decompressor::new(body, 4096).read_to_end(&mut bytes),
        Some("zstd") => zstd::Decoder::new(body).and_then(|mut decoder| decoder.read_to_end(&mut bytes)),
        Some(other) => panic!("a coding that nobody asked for: {other}"),
    };
    read.unwrap_or_else(|error| panic!("not {coding:?}: {error}"));
    bytes
}
