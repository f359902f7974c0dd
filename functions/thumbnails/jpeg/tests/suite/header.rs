//! What the header tells, and what it keeps from being decoded.

use thumbnails_jpeg::{Color, Error, Header, Limit, Limits, Scale};

use crate::support::encoder::{Layout, Picture, Scan};

const YCBCR: [(usize, usize); 3] = [(2, 2), (1, 1), (1, 1)];

fn picture(sampling: &[(usize, usize)]) -> Picture {
    Picture::random(90, 70, sampling, 1)
}

fn with_segments(picture: &Picture, segments: &[(u8, &[u8])]) -> Vec<u8> {
    let segments = segments.iter().map(|(marker, body)| (*marker, body.to_vec())).collect();
    picture.encode(&Layout { segments, ..picture.baseline() })
}

fn read(data: &[u8]) -> Result<Header<'_>, Error> {
    Header::read(data, &Limits::default())
}

/// Where the body of the first segment with this marker begins.
fn body_of(data: &[u8], marker: u8) -> usize {
    data.windows(2).position(|pair| pair == [0xFF, marker]).expect("such a segment") + 4
}

#[test]
fn size_components_and_kind() {
    let picture = picture(&[(2, 1), (1, 1), (1, 1)]);
    let data = picture.encode(&picture.progressive());
    let header = read(&data).expect("a header");
    assert_eq!((header.width(), header.height(), header.progressive()), (90, 70, true));
    assert_eq!(header.size_at(Scale::Eighth), (12, 9));
    let factors: Vec<_> = header.components().iter().map(|c| (c.id, c.horizontal, c.vertical)).collect();
    assert_eq!(factors, [(1, 2, 1), (2, 1, 1), (3, 1, 1)]);
    assert!(!read(&picture.encode(&picture.baseline())).expect("a header").progressive());
}

#[test]
fn bytes_between_segments_are_passed_over() {
    let picture = picture(&YCBCR);
    let data = picture.encode(&picture.baseline());
    let table = body_of(&data, 0xDB) - 4;
    // Zeros, a marker without a segment, a restart marker and an escaped byte.
    let junk = [&data[..table], &[0, 0, 0xFF, 0x01, 0xFF, 0xD3, 0xFF, 0], &data[table..]].concat();
    assert_eq!(read(&junk).expect("a header").width(), 90);
}

#[test]
fn color_spaces() {
    let adobe = |transform: u8| [b"Adobe\0\x64\0\0\0\0".as_slice(), &[transform]].concat();
    let jfif = b"JFIF\0\x01\x02\0\0\x01\0\x01\0\0".as_slice();
    let color = |count: usize, ids: Option<&[u8]>, segments: &[(u8, &[u8])]| {
        let mut picture = picture(&YCBCR.repeat(2)[..count]);
        for (component, id) in picture.components.iter_mut().zip(ids.unwrap_or(&[1, 2, 3, 4])) {
            component.id = *id;
        }
        read(&with_segments(&picture, segments)).expect("a header").color()
    };
    assert_eq!(color(1, None, &[]), Color::Grey);
    assert_eq!(color(3, None, &[]), Color::YCbCr);
    assert_eq!(color(3, Some(b"RGB"), &[]), Color::Rgb);
    assert_eq!(color(3, Some(b"RGB"), &[(0xE0, jfif)]), Color::YCbCr);
    assert_eq!(color(3, None, &[(0xEE, &adobe(0))]), Color::Rgb);
    assert_eq!(color(3, Some(b"RGB"), &[(0xEE, &adobe(1))]), Color::YCbCr);
    assert_eq!(color(3, None, &[(0xE0, jfif), (0xEE, &adobe(0))]), Color::YCbCr);
    let four = |segments: &[(u8, &[u8])]| {
        let picture = picture(&[(1, 1); 4]);
        let data = with_segments(&picture, segments);
        let header = read(&data).expect("a header");
        (header.color(), header.adobe())
    };
    assert_eq!(four(&[]), (Color::Cmyk, None));
    assert_eq!(four(&[(0xEE, &adobe(0))]), (Color::Cmyk, Some(0)));
    assert_eq!(four(&[(0xEE, &adobe(2))]), (Color::Ycck, Some(2)));
}

#[test]
fn exif_is_the_first_tiff_file() {
    let picture = picture(&YCBCR);
    assert!(read(&picture.encode(&picture.baseline())).expect("a header").exif().is_none());
    let xmp = b"http://ns.adobe.com/xap/1.0/\0<x/>".as_slice();
    let data = with_segments(&picture, &[(0xE1, xmp), (0xE1, b"Exif\0\0MM\0*"), (0xE1, b"Exif\0\0II*\0")]);
    assert_eq!(read(&data).expect("a header").exif(), Some(b"MM\0*".as_slice()));
}

#[test]
fn icc_profile_is_put_together() {
    let picture = picture(&YCBCR);
    let chunk = |number: u8, total: u8, body: &[u8]| [b"ICC_PROFILE\0".as_slice(), &[number, total], body].concat();
    let profile = |chunks: &[Vec<u8>]| {
        let segments: Vec<(u8, &[u8])> = chunks.iter().map(|chunk| (0xE2, chunk.as_slice())).collect();
        read(&with_segments(&picture, &segments)).expect("a header").icc()
    };
    assert_eq!(profile(&[]), None);
    assert_eq!(profile(&[chunk(1, 1, b"all")]), Some(b"all".to_vec()));
    assert_eq!(profile(&[chunk(3, 3, b"c"), chunk(1, 3, b"a"), chunk(2, 3, b"b")]), Some(b"abc".to_vec()));
    assert_eq!(profile(&[chunk(1, 3, b"a"), chunk(3, 3, b"c")]), None, "one is missing");
    assert_eq!(profile(&[chunk(1, 2, b"a"), chunk(1, 2, b"a")]), None, "one comes twice");
    assert_eq!(profile(&[chunk(1, 2, b"a"), chunk(2, 3, b"b")]), None, "they disagree");
    assert_eq!(profile(&[chunk(0, 0, b"a")]), None, "numbers begin at 1");
}

#[test]
fn limits_hold_before_anything_is_decoded() {
    let picture = picture(&YCBCR);
    let profile = [b"ICC_PROFILE\0\x01\x01".as_slice(), &[0; 100]].concat();
    let segments = vec![(0xE2, profile)];
    let data = picture.encode(&Layout { segments, ..picture.progressive() });
    let refused = |limits: Limits| match Header::read(&data, &limits) {
        Err(error) => Some(error),
        Ok(header) => header.decode(Scale::Full, 0..u32::MAX, || false).err(),
    };
    let free = Limits::default();
    let memory = read(&data).expect("a header").memory(Scale::Full, 0..u32::MAX);
    // Seventeen scans: two for the DC coefficients, five for each component's others.
    for (enough, too_few, limit) in [
        (Limits { pixels: 6300, ..free }, Limits { pixels: 6299, ..free }, Limit::Pixels),
        (Limits { side: 90, ..free }, Limits { side: 89, ..free }, Limit::Side),
        (Limits { icc: 100, ..free }, Limits { icc: 99, ..free }, Limit::Icc),
        (Limits { scans: 17, ..free }, Limits { scans: 16, ..free }, Limit::Scans),
        (Limits { memory, ..free }, Limits { memory: memory - 1, ..free }, Limit::Memory),
    ] {
        assert_eq!(refused(enough), None);
        assert_eq!(refused(too_few), Some(Error::TooLarge(limit)));
    }
}

#[test]
fn two_hundred_scans_are_read_and_one_more_is_not() {
    let picture = picture(&[(1, 1)]);
    let mut layout = picture.progressive();
    layout.scans = vec![Scan { components: vec![0], first: 0, last: 0, high: 0, low: 0 }];
    let again = Scan { components: vec![0], first: 1, last: 63, high: 0, low: 0 };
    for (count, error) in [(200, None), (201, Some(Error::TooLarge(Limit::Scans)))] {
        layout.scans.resize(count, again.clone());
        let data = picture.encode(&layout);
        let result = read(&data).expect("a header").decode(Scale::Quarter, 0..u32::MAX, || false);
        assert_eq!(result.err(), error);
    }
}

#[test]
fn the_beginning_of_a_header_is_truncated() {
    let picture = picture(&YCBCR);
    let data = with_segments(&picture, &[(0xE1, b"Exif\0\0MM\0*")]);
    let scan = body_of(&data, 0xDA) + 10;
    for length in 0..scan {
        assert_eq!(read(&data[..length]).err(), Some(Error::Truncated), "{length} bytes of {scan}");
    }
    assert!(read(&data[..scan]).is_ok());
}

#[test]
fn other_files_are_refused() {
    let picture = picture(&YCBCR);
    let good = picture.encode(&picture.baseline());
    let frame = body_of(&good, 0xC1);
    let changed = |at: usize, byte: u8| {
        let mut data = good.clone();
        data[at] = byte;
        read(&data).err()
    };
    let unsupported = |kind| Some(Error::Unsupported(kind));
    assert_eq!(read(b"\x89PNG\r\n\x1a\n").err(), Some(Error::NotJpeg));
    for marker in [0xC9, 0xCA, 0xCD, 0xCE] {
        assert_eq!(changed(frame - 3, marker), unsupported("arithmetic coding"));
    }
    for marker in [0xC3, 0xC7, 0xCB, 0xCF] {
        assert_eq!(changed(frame - 3, marker), unsupported("lossless"));
    }
    for marker in [0xC5, 0xC6] {
        assert_eq!(changed(frame - 3, marker), unsupported("hierarchical"));
    }
    assert_eq!(changed(frame, 12), unsupported("more than 8 bits a sample"));
    let malformed = |what| Some(Error::Malformed(what));
    assert_eq!(changed(frame + 7, 0x21), None);
    assert_eq!(changed(frame + 7, 0), malformed("frame header"), "no samples");
    assert_eq!(changed(frame + 6, 3), malformed("frame header"), "two components of one name");
    assert_eq!(changed(frame + 7, 0x52), malformed("frame header"), "too many samples");
    assert_eq!(changed(frame + 8, 4), malformed("frame header"), "no such table");
    assert_eq!(changed(frame + 5, 4), malformed("frame header"), "more components than there are");
    assert_eq!(changed(body_of(&good, 0xDB), 0x14), malformed("quantisation table"));
    assert_eq!(changed(body_of(&good, 0xC4), 0x04), malformed("Huffman table"));
    assert_eq!(changed(body_of(&good, 0xC4) + 1, 3), malformed("Huffman table"), "more codes than fit");

    let no_height = [&good[..=frame], &[0, 0], &good[frame + 3..]].concat();
    assert_eq!(read(&no_height).err(), unsupported("height that stands behind the first scan"));
    let no_width = [&good[..frame + 3], &[0, 0], &good[frame + 5..]].concat();
    assert_eq!(read(&no_width).err(), malformed("frame header"));
    let two = picture_of_two();
    assert_eq!(read(&two).err(), unsupported("number of components"));
}

fn picture_of_two() -> Vec<u8> {
    let picture = picture(&[(1, 1); 2]);
    picture.encode(&picture.baseline())
}

#[test]
fn scans_that_contradict_the_frame_are_refused() {
    let picture = picture(&YCBCR);
    let refused = |layout: &Layout, at: usize, byte: u8| {
        let mut data = picture.encode(layout);
        let scan = body_of(&data, 0xDA);
        data[scan + at] = byte;
        read(&data).expect("a header").decode(Scale::Half, 0..u32::MAX, || false).err()
    };
    let malformed = |what| Some(Error::Malformed(what));
    let (baseline, progressive) = (picture.baseline(), picture.progressive());
    assert_eq!(refused(&baseline, 0, 4), malformed("scan header"), "more components than there are");
    assert_eq!(refused(&baseline, 1, 9), malformed("scan header"), "no such component");
    assert_eq!(refused(&baseline, 1, 2), malformed("scan header"), "a component twice");
    assert_eq!(refused(&baseline, 2, 0x40), malformed("scan header"), "no such table");
    assert_eq!(refused(&baseline, 2, 0x30), malformed("missing Huffman table"));
    assert_eq!(refused(&progressive, 8, 5), malformed("progression"), "DC and AC in one");
    assert_eq!(refused(&progressive, 9, 0x20), malformed("progression"), "two bits at once");
    assert_eq!(refused(&progressive, 9, 14), malformed("progression"), "more bits than there are");

    let large = Picture::random(90, 70, &[(3, 3), (1, 1), (1, 1)], 1);
    let data = large.encode(&large.baseline());
    let result = read(&data).expect("a header").decode(Scale::Half, 0..u32::MAX, || false);
    assert_eq!(result.err(), malformed("blocks in an MCU"));
}
