//! What is spoken on a connection, and where the parts of it end that are of interest here.

use memchr::memchr;

/// The first bytes of a connection of HTTP/2, and of no request of HTTP/1.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What is spoken.
#[derive(Clone, Copy)]
pub(super) enum Protocol {
    /// It is HTTP/2 if this comes next.
    Unknown(&'static [u8]),
    Http1,
    Http2,
}

impl Protocol {
    /// Before the first byte.
    pub(super) const NEW: Self = Self::Unknown(PREFACE);

    /// What is known of it after some more bytes.
    pub(super) fn after(self, bytes: &[u8]) -> Self {
        let Self::Unknown(rest) = self else { return self };
        match rest.split_at(rest.len().min(bytes.len())) {
            (now, _) if !bytes.starts_with(now) => Self::Http1,
            (_, []) => Self::Http2,
            (_, later) => Self::Unknown(later),
        }
    }
}

/// Looks for empty lines in HTTP/1. One ends each head, after which there is no other before the next request, and each
/// body that comes in chunks, which may have others.
#[derive(Clone, Copy, Default)]
pub(super) enum Lines {
    /// Those in front of a request do not count.
    #[default]
    Leading,
    Text,
    /// At the start of a line.
    Start,
}

impl Lines {
    /// How many bytes there are to the end of the next empty line, or to the end of what has come.
    pub(super) fn part(&mut self, bytes: &[u8]) -> usize {
        let mut place = 0;
        while let Some(byte) = bytes.get(place) {
            *self = match (*self, byte) {
                (Self::Start, b'\n') => {
                    *self = Self::Leading;
                    return place + 1;
                }
                (Self::Leading, b'\r' | b'\n') => Self::Leading,
                (Self::Start, b'\r') => Self::Start,
                _ => {
                    let Some(length) = memchr(b'\n', &bytes[place..]) else {
                        *self = Self::Text;
                        return bytes.len();
                    };
                    place += length;
                    Self::Start
                }
            };
            place += 1;
        }
        bytes.len()
    }

    /// Whether the last byte was that of an empty line, or nothing has come since but others.
    pub(super) const fn are_at_an_end(self) -> bool {
        matches!(self, Self::Leading)
    }
}

const HEADERS: u8 = 1;
const PUSH_PROMISE: u8 = 5;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// Frames of HTTP/2.
#[derive(Default)]
pub(super) struct Frames {
    /// What has come of the nine bytes in front of a frame.
    head: [u8; 9],
    known: usize,
    /// How much of the frame is still to come.
    left: usize,
    /// Whether it is the last of a block of headers.
    last: bool,
    open: bool,
}

impl Frames {
    /// Some more bytes. Says whether a block of headers goes on beyond its first frame, and has not come to its end.
    pub(super) fn is_open_after(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let (head, rest) = bytes.split_at(bytes.len().min(self.head.len() - self.known));
            self.head[self.known..][..head.len()].copy_from_slice(head);
            self.known += head.len();
            if !head.is_empty() && self.known == self.head.len() {
                self.begin();
            }
            let payload = rest.len().min(self.left);
            self.left -= payload;
            bytes = &rest[payload..];
            if self.known == self.head.len() && self.left == 0 {
                self.known = 0;
                self.open &= !self.last;
            }
        }
        self.open
    }

    fn begin(&mut self) {
        let [high, middle, low, kind, flags, ..] = self.head;
        self.left = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        self.last = kind == CONTINUATION && flags & END_HEADERS != 0;
        // What a client must not send is decoded before it is refused.
        self.open |= matches!(kind, HEADERS | PUSH_PROMISE) && flags & END_HEADERS == 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http2_is_told_by_its_whole_preface() {
        let known = |pieces: &[&[u8]]| pieces.iter().fold(Protocol::NEW, |known, piece| known.after(piece));
        assert!(matches!(known(&[PREFACE]), Protocol::Http2));
        assert!(matches!(known(&[b"PR", &PREFACE[2..], b"\0\0\0\x04"]), Protocol::Http2));
        assert!(matches!(known(&[b"PRI"]), Protocol::Unknown(b" * HTTP/2.0\r\n\r\nSM\r\n\r\n")));
        assert!(matches!(known(&[b"PR", b"IX / HTTP/1.1\r\n"]), Protocol::Http1));
        assert!(matches!(known(&[b"GET", PREFACE]), Protocol::Http1));
    }

    /// The parts of a text.
    fn parts(mut text: &str) -> Vec<&str> {
        let (mut parts, mut lines) = (Vec::new(), Lines::default());
        while !text.is_empty() {
            let (part, rest) = text.split_at(lines.part(text.as_bytes()));
            parts.push(part);
            text = rest;
        }
        parts
    }

    #[test]
    fn a_head_ends_with_an_empty_line() {
        let mut slow = Lines::default();
        let pieces = ["\r\nGET / HTTP/1.1\r", "\n", "\r", "\nGET"].map(|piece| slow.part(piece.as_bytes()));
        assert_eq!(pieces, [17, 1, 1, 1], "it may come in pieces");
        assert_eq!(parts("GET / HTTP/1.1\r\na: b\r\n\r\nGET"), ["GET / HTTP/1.1\r\na: b\r\n\r\n", "GET"]);
        assert_eq!(parts("\r\n\n\r\nGET /\n\n\r\nGET /\n\r\nG"), ["\r\n\n\r\nGET /\n\n", "\r\nGET /\n\r\n", "G"]);
        assert_eq!(parts("2\r\n\n\n\r\n0\r\n\r\nGET"), ["2\r\n\n", "\n\r\n0\r\n\r\n", "GET"], "of a body in chunks");
        assert_eq!(parts("\r\n"), ["\r\n"]);
    }

    #[test]
    fn a_block_of_headers_is_open_until_its_last_frame_has_come() {
        let frame = |kind, flags, length: u8| {
            [&[0, 0, length, kind, flags, 0, 0, 0, 1][..], &vec![b'x'; length.into()]].concat()
        };
        let settings = frame(4, END_HEADERS, 6);
        let whole = frame(HEADERS, END_HEADERS, 5);
        let (first, next, last) =
            (frame(HEADERS, 1, 5), frame(CONTINUATION, 0, 0), frame(CONTINUATION, END_HEADERS, 3));
        for (frames, open) in [
            ([&settings[..], &whole, &settings], false),
            ([&whole, &first, &next], true),
            ([&first, &next, &last[..11]], true),
            ([&first, &next, &last], false),
            ([&first, &last, &first], true),
            ([&frame(PUSH_PROMISE, 0, 4), &next, &next], true),
            // The flag of another kind of frame means something else.
            ([&first, &settings, &settings], true),
        ] {
            let bytes = frames.concat();
            assert_eq!(Frames::default().is_open_after(&bytes), open, "{frames:?}");
            let mut slow = Frames::default();
            let last = bytes.chunks(1).map(|byte| slow.is_open_after(byte)).last();
            assert_eq!(last, Some(open), "{frames:?} byte by byte");
        }
    }
}
