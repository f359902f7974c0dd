//! What is known of a picture before its first row is decoded.

use std::{fmt, ops::Range};

use crate::{
    Component, Error, Limit, Planes, Scale, decode,
    frame::Frame,
    segments::{Segment, Tables, marker, next_segment},
};

/// What a caller is ready to read. Each limit is checked before anything of that size is allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Pixels of the picture: 50 million.
    pub pixels: u64,
    /// Pixels of its width and of its height: 16,383.
    pub side: u32,
    /// Scans, the passes over a progressive picture: 200.
    pub scans: u32,
    /// Bytes of the colour profile: 1 MiB.
    pub icc: usize,
    /// Bytes that [`Header::decode`] may allocate: 512 MiB. [`Header::memory`] tells how many it needs.
    pub memory: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { pixels: 50_000_000, side: 16_383, scans: 200, icc: 1 << 20, memory: 512 << 20 }
    }
}

/// What the components are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Color {
    /// One component: brightness.
    Grey,
    /// Brightness and two colour differences, full range, as JFIF has it (BT.601).
    YCbCr,
    /// Red, green, blue.
    Rgb,
    /// The four printing inks. Where there is an Adobe segment ([`Header::adobe`]) a sample of 0 means full ink, by
    /// convention.
    Cmyk,
    /// CMYK whose first three components are as in `YCbCr`; what comes out of that conversion is CMY as above.
    Ycck,
}

/// A JPEG file up to its first scan.
#[derive(Clone)]
pub struct Header<'a> {
    pub(crate) data: &'a [u8],
    pub(crate) frame: Frame,
    pub(crate) tables: Tables,
    pub(crate) limits: Limits,
    /// Where the first scan's segment is looked for.
    pub(crate) first_scan: usize,
    jfif: bool,
    adobe: Option<u8>,
    exif: Option<Range<usize>>,
    icc: Vec<IccChunk>,
}

/// A part of a colour profile, which need not fit in one segment.
#[derive(Clone)]
struct IccChunk {
    number: u8,
    total: u8,
    body: Range<usize>,
}

impl<'a> Header<'a> {
    /// Reads up to the first scan. `data` may be the beginning of a file; without the first scan it is
    /// [`Error::Truncated`].
    ///
    /// # Errors
    /// The data are no JPEG file of a kind that this crate reads, or pass a limit.
    pub fn read(data: &'a [u8], limits: &Limits) -> Result<Self, Error> {
        if !data.starts_with(&[0xFF, marker::SOI]) {
            return Err(if data.len() < 2 { Error::Truncated } else { Error::NotJpeg });
        }
        let mut frame = None;
        let mut found = Metadata::default();
        let mut tables = Tables::default();
        let mut at = 2;
        loop {
            let segment = next_segment(data, at)?;
            match segment.marker {
                marker::SOS => break,
                marker::EOI => return Err(Error::Malformed("no scan")),
                marker::SOF0..=marker::SOF15 if !matches!(segment.marker, marker::DHT | marker::JPG | marker::DAC) => {
                    if frame.is_some() {
                        return Err(Error::Malformed("two frame headers"));
                    }
                    frame = Some(read_frame(&segment, data, limits)?);
                }
                marker::APP0..=marker::APP14 => found.read(&segment, data, limits)?,
                _ => tables.read(&segment, data)?,
            }
            at = segment.body.end;
        }
        let Metadata { jfif, adobe, exif, icc } = found;
        let frame = frame.ok_or(Error::Malformed("no frame header"))?;
        Ok(Self { data, frame, tables, limits: *limits, first_scan: at, jfif, adobe, exif, icc })
    }

    /// Width of the whole picture in pixels, as stored: Exif may ask to turn it.
    pub fn width(&self) -> u32 {
        self.frame.width
    }

    /// Height of the whole picture in pixels, as stored.
    pub fn height(&self) -> u32 {
        self.frame.height
    }

    /// Size of the whole picture at a scale, rounded up.
    pub fn size_at(&self, scale: Scale) -> (u32, u32) {
        self.frame.scaled(scale)
    }

    /// The components, in the order of the planes.
    pub fn components(&self) -> &[Component] {
        &self.frame.components
    }

    /// Whether the picture is stored in passes that refine it.
    pub fn progressive(&self) -> bool {
        self.frame.progressive
    }

    /// What the components are, by the rules that most decoders follow: the JFIF segment, then the Adobe segment, then
    /// the names of the components.
    pub fn color(&self) -> Color {
        let ids: Vec<u8> = self.frame.components.iter().map(|component| component.id).collect();
        match (ids.len(), self.adobe) {
            (1, _) => Color::Grey,
            (4, Some(2)) => Color::Ycck,
            (4, _) => Color::Cmyk,
            _ if self.jfif => Color::YCbCr,
            (_, Some(0)) => Color::Rgb,
            (_, None) if ids == *b"RGB" => Color::Rgb,
            _ => Color::YCbCr,
        }
    }

    /// The transform that an Adobe segment names: 0 for none, 1 for `YCbCr`, 2 for `YCCK`.
    pub fn adobe(&self) -> Option<u8> {
        self.adobe
    }

    /// The Exif data: a TIFF file, beginning with its byte order.
    pub fn exif(&self) -> Option<&'a [u8]> {
        self.exif.clone().map(|range| &self.data[range])
    }

    /// The colour profile, put together. `None` if there is none, or one with missing parts.
    pub fn icc(&self) -> Option<Vec<u8>> {
        let total = self.icc.first()?.total;
        let mut chunks: Vec<&IccChunk> = self.icc.iter().collect();
        chunks.sort_by_key(|chunk| chunk.number);
        let complete = chunks.len() == usize::from(total)
            && chunks.iter().zip(1..=total).all(|(chunk, number)| chunk.number == number && chunk.total == total);
        complete.then(|| chunks.iter().flat_map(|chunk| &self.data[chunk.body.clone()]).copied().collect())
    }

    /// How many bytes [`Header::decode`] allocates at most.
    pub fn memory(&self, scale: Scale, rows: Range<u32>) -> usize {
        decode::memory(&self.frame, scale, &rows)
    }

    /// Decodes the planes at a scale, but only the `rows` asked for, of the picture at that scale. Each plane holds the
    /// rows of its own that cover them. Rows behind the picture's last do not count.
    ///
    /// `cancel` is asked before each row of blocks, and again in each pass of a progressive picture.
    ///
    /// A picture that is damaged behind its first row is still returned, see [`Planes::damaged`].
    ///
    /// # Errors
    /// The data contradict the standard or pass a limit, or `cancel` returned true.
    pub fn decode(&self, scale: Scale, rows: Range<u32>, cancel: impl Fn() -> bool) -> Result<Planes, Error> {
        decode::decode(self, scale, &rows, &cancel)
    }
}

impl fmt::Debug for Header<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header")
            .field("width", &self.width())
            .field("height", &self.height())
            .field("color", &self.color())
            .field("progressive", &self.progressive())
            .field("components", &self.components())
            .finish_non_exhaustive()
    }
}

fn read_frame(segment: &Segment, data: &[u8], limits: &Limits) -> Result<Frame, Error> {
    let progressive = match segment.marker {
        marker::SOF0 | marker::SOF1 => false,
        marker::SOF2 => true,
        0xC3 | 0xC7 | 0xCB | marker::SOF15 => return Err(Error::Unsupported("lossless")),
        0xC5 | 0xC6 => return Err(Error::Unsupported("hierarchical")),
        _ => return Err(Error::Unsupported("arithmetic coding")),
    };
    let frame = Frame::read(&data[segment.body.clone()], progressive)?;
    if frame.width.max(frame.height) > limits.side {
        return Err(Error::TooLarge(Limit::Side));
    }
    if u64::from(frame.width) * u64::from(frame.height) > limits.pixels {
        return Err(Error::TooLarge(Limit::Pixels));
    }
    Ok(frame)
}

/// What application segments tell.
#[derive(Default)]
struct Metadata {
    jfif: bool,
    adobe: Option<u8>,
    exif: Option<Range<usize>>,
    icc: Vec<IccChunk>,
}

impl Metadata {
    fn read(&mut self, segment: &Segment, data: &[u8], limits: &Limits) -> Result<(), Error> {
        let body = &data[segment.body.clone()];
        let behind = |prefix: &[u8]| segment.body.start + prefix.len()..segment.body.end;
        match segment.marker {
            marker::APP0 => self.jfif |= body.starts_with(b"JFIF\0"),
            marker::APP1 if body.starts_with(b"Exif\0\0") && self.exif.is_none() => {
                self.exif = Some(behind(b"Exif\0\0"));
            }
            marker::APP2 => {
                if let Some([number, total, profile @ ..]) = body.strip_prefix(b"ICC_PROFILE\0") {
                    let read: usize = self.icc.iter().map(|chunk| chunk.body.len()).sum();
                    // A profile has at most 255 parts.
                    if read + profile.len() > limits.icc || self.icc.len() == 255 {
                        return Err(Error::TooLarge(Limit::Icc));
                    }
                    self.icc.push(IccChunk { number: *number, total: *total, body: behind(b"ICC_PROFILE\0NT") });
                }
            }
            marker::APP14 if body.starts_with(b"Adobe") => self.adobe = body.get(11).copied().or(self.adobe),
            _ => {}
        }
        Ok(())
    }
}
