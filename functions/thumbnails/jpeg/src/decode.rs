//! From the first scan to the planes.

use std::ops::Range;

use crate::{
    Component, Error, Header, Limit, Plane, Planes, Scale,
    frame::Frame,
    progressive,
    scan::{Reader, Scan},
    segments::{Tables, marker, next_segment},
    sequential,
    source::{Source, find_marker},
};

/// What a sample is where nothing is known.
pub(crate) const GREY: u8 = 128;

/// Tables of a scan, the window, and small things: more than they take.
const FIXED: usize = 256 * 1024;

pub(crate) fn decode(
    header: &Header,
    scale: Scale,
    rows: &Range<u32>,
    cancel: &dyn Fn() -> bool,
) -> Result<Planes, Error> {
    let frame = &header.frame;
    if memory(frame, scale, rows) > header.limits.memory {
        return Err(Error::TooLarge(Limit::Memory));
    }
    let planes = frame.components.iter().map(|component| {
        let (width, rows) = extent(frame, component, scale, rows);
        let height = rows.end - rows.start;
        Plane {
            // Rows are appended as they come, so that nothing is written twice.
            data: Vec::with_capacity(width as usize * height as usize),
            width,
            height,
            first_row: rows.start,
            scale_x: f64::from(component.horizontal) / f64::from(frame.horizontal) / f64::from(scale.denominator()),
            scale_y: f64::from(component.vertical) / f64::from(frame.vertical) / f64::from(scale.denominator()),
        }
    });
    let (width, height) = frame.scaled(scale);
    let mut planes = Planes { planes: planes.collect(), width, height, damaged: false };
    let mut reader = Reader { data: header.data, source: Source::new(), cancel, started: false };
    if frame.progressive {
        progressive::decode(header, scale, &mut reader, &mut planes)?;
    } else {
        sequential::decode(header, scale, &mut reader, &mut planes)?;
    }
    for plane in &mut planes.planes {
        plane.data.resize(plane.width as usize * plane.height as usize, GREY);
    }
    if planes.damaged && !reader.started { Err(Error::Truncated) } else { Ok(planes) }
}

/// Width of a component's plane, and the rows that cover these of the picture.
fn extent(frame: &Frame, component: &Component, scale: Scale, rows: &Range<u32>) -> (u32, Range<u32>) {
    let height = frame.scaled(scale).1;
    let end = rows.end.min(height);
    let start = rows.start.min(end);
    let (width, component_height) = frame.plane(component, scale);
    let factor = u32::from(component.vertical);
    let end = (end * factor).div_ceil(frame.vertical).min(component_height);
    (width, (start * factor / frame.vertical).min(end)..end)
}

/// Bytes that decoding allocates at most.
pub(crate) fn memory(frame: &Frame, scale: Scale, rows: &Range<u32>) -> usize {
    let components = frame.components.iter().map(|component| {
        let (width, range) = extent(frame, component, scale, rows);
        let plane = width as usize * (range.end - range.start) as usize;
        let blocks_wide = frame.mcus_wide as usize * usize::from(component.horizontal);
        let rows_of_mcu = (scale.points() * u32::from(component.vertical)) as usize;
        let strip = blocks_wide * scale.points() as usize * rows_of_mcu;
        let stored = if frame.progressive {
            let high = (range.end as usize).div_ceil(rows_of_mcu) * usize::from(component.vertical);
            blocks_wide * high * progressive::bytes_of_block(scale)
        } else {
            0
        };
        plane + strip + stored
    });
    FIXED + components.sum::<usize>()
}

/// One row of MCUs of one component, before what is wanted of it is copied into the plane.
pub(crate) struct Strip {
    pub(crate) samples: Vec<u8>,
    pub(crate) stride: usize,
    /// Samples of an MCU.
    pub(crate) width: usize,
    pub(crate) height: usize,
}

impl Strip {
    /// For so many MCUs, of so many blocks.
    pub(crate) fn new(mcus: usize, horizontal: usize, vertical: usize, scale: Scale) -> Self {
        let points = scale.points() as usize;
        let (width, height) = (horizontal * points, vertical * points);
        Self { samples: vec![GREY; mcus * width * height], stride: mcus * width, width, height }
    }

    /// Copies those rows that the plane is to hold. The strip is the component's MCU row `row`.
    pub(crate) fn copy_to(&self, plane: &mut Plane, row: usize) {
        let wanted = plane.rows();
        let wanted = wanted.start as usize..wanted.end as usize;
        let first = row * self.height;
        let width = plane.width as usize;
        let from = wanted.start.max(first);
        let to = wanted.end.min(first + self.height);
        for y in from..to {
            let at = (y - wanted.start) * width;
            // Rows come in order. One that is there already comes from a component's second scan.
            if plane.data.len() <= at {
                plane.data.resize(at, GREY);
                plane.data.extend_from_slice(&self.samples[(y - first) * self.stride..][..width]);
            }
        }
    }

    /// Makes these MCUs grey.
    pub(crate) fn clear(&mut self, mcus: &Range<usize>) {
        for row in self.samples.chunks_mut(self.stride) {
            row[mcus.start * self.width..mcus.end * self.width].fill(GREY);
        }
    }
}

/// MCU rows of a part with so many rows of samples in each that cover the plane.
pub(crate) fn mcu_rows(plane: &Plane, height: usize) -> Range<usize> {
    let rows = plane.rows();
    rows.start as usize / height..(rows.end as usize).div_ceil(height)
}

/// Goes from scan to scan, keeping the tables up to date.
pub(crate) struct Scans<'a> {
    data: &'a [u8],
    frame: &'a Frame,
    pub(crate) tables: Tables,
    left: u32,
    at: usize,
}

impl<'a> Scans<'a> {
    pub(crate) fn new(header: &'a Header) -> Self {
        Self {
            data: header.data,
            frame: &header.frame,
            tables: header.tables.clone(),
            left: header.limits.scans,
            at: header.first_scan,
        }
    }

    /// The next scan, `None` at the picture's end.
    pub(crate) fn next(&mut self) -> Result<Option<Scan>, Error> {
        loop {
            let segment = next_segment(self.data, self.at)?;
            self.at = segment.body.end;
            match segment.marker {
                marker::EOI => return Ok(None),
                marker::SOS => {
                    self.left = self.left.checked_sub(1).ok_or(Error::TooLarge(Limit::Scans))?;
                    return Scan::read(&segment, self.data, self.frame).map(Some);
                }
                _ => self.tables.read(&segment, self.data)?,
            }
        }
    }

    /// Goes to the end of a scan's data, and says where that is.
    pub(crate) fn skip(&mut self, scan: &Scan) -> usize {
        self.at = scan.start;
        loop {
            self.at = find_marker(self.data, self.at);
            match self.data.get(self.at + 1) {
                Some(marker::RST0..=marker::RST7) => self.at += 2,
                _ => return self.at,
            }
        }
    }

    /// Where the last scan ended.
    pub(crate) fn go_on_at(&mut self, at: usize) {
        self.at = at;
    }
}
