//! Giving up in the middle.

use std::{
    io::{self, BufRead, Read, Seek, SeekFrom},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

/// Tells a running [`render`](crate::render) to stop. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Cancel {
    flag: Arc<AtomicBool>,
    deadline: Option<Instant>,
}

impl Cancel {
    /// Stops at this time, or when [`cancel`](Self::cancel) is called.
    pub fn at(deadline: Instant) -> Self {
        Self { flag: Arc::default(), deadline: Some(deadline) }
    }

    /// Stops only when [`cancel`](Self::cancel) is called.
    pub fn never() -> Self {
        Self { flag: Arc::default(), deadline: None }
    }

    /// Stops what runs.
    pub fn cancel(&self) {
        self.flag.store(true, Ordering::Relaxed);
    }

    /// Whether to stop.
    pub fn is_set(&self) -> bool {
        self.flag.load(Ordering::Relaxed) || self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// # Errors
    /// [`Error::Cancelled`](crate::Error::Cancelled) when it is time to stop.
    pub(crate) fn check(&self) -> Result<(), crate::Error> {
        if self.is_set() { Err(crate::Error::Cancelled) } else { Ok(()) }
    }
}

/// How many bytes a decoder gets before the next look at the clock: a row or two.
const PORTION: usize = 4096;

/// A file in memory for the decoders, which ends when it is time to stop. Not by an error: some decoders take a failed
/// read for a zero, but each of them knows an end.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    bytes: &'a [u8],
    at: usize,
    cancel: &'a Cancel,
}

impl<'a> Source<'a> {
    pub(crate) fn new(bytes: &'a [u8], cancel: &'a Cancel) -> Self {
        Self { bytes, at: 0, cancel }
    }
}

impl BufRead for Source<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let rest = &self.bytes[self.at.min(self.bytes.len())..];
        // The clock is asked once a portion, however small the reads are.
        if self.at.is_multiple_of(PORTION) && self.cancel.is_set() {
            return Ok(&[]);
        }
        let to_boundary = PORTION - self.at % PORTION;
        Ok(&rest[..rest.len().min(to_boundary)])
    }

    fn consume(&mut self, amount: usize) {
        self.at += amount;
    }
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buffer.len());
        buffer[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl Seek for Source<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let mut cursor = io::Cursor::new(self.bytes);
        cursor.set_position(self.at as u64);
        let position = cursor.seek(to)?;
        self.at = usize::try_from(position).map_err(io::Error::other)?;
        Ok(position)
    }
}
