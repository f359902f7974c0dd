//! Which way up a picture is, by its EXIF data.

/// Mirroring and turning, in the order in which they are applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Orientation {
    /// Rows become columns: mirrored at the diagonal.
    transpose: bool,
    /// Then mirrored left to right.
    mirror: bool,
    /// Then mirrored top to bottom.
    flip: bool,
}

impl Orientation {
    /// The values 1 to 8 of EXIF; anything else is upright.
    pub(crate) fn from_exif(value: u32) -> Self {
        let (transpose, mirror, flip) = match value {
            2 => (false, true, false),
            3 => (false, true, true),
            4 => (false, false, true),
            5 => (true, false, false),
            6 => (true, true, false),
            7 => (true, true, true),
            8 => (true, false, true),
            _ => (false, false, false),
        };
        Self { transpose, mirror, flip }
    }

    /// Reads a block of EXIF data; without a readable one the picture is upright.
    pub(crate) fn of_exif_block(block: &[u8]) -> Self {
        // JPEG has this mark in front of the data, WebP sometimes.
        let tiff = Tiff::new(block.strip_prefix(b"Exif\0\0").unwrap_or(block));
        Self::from_exif(tiff.and_then(Tiff::orientation).unwrap_or(1))
    }

    /// A pair of sides after turning.
    pub(crate) fn turned<T>(self, (width, height): (T, T)) -> (T, T) {
        if self.transpose { (height, width) } else { (width, height) }
    }

    /// Turns pixels of so many bytes each. `width` and `height` are those before.
    pub(crate) fn apply(self, pixels: Vec<u8>, width: u32, height: u32, bytes: usize) -> Vec<u8> {
        if self == Self::default() {
            return pixels;
        }
        let (width, height) = (width as usize, height as usize);
        let (out_width, out_height) = self.turned((width, height));
        let mut turned = Vec::with_capacity(pixels.len());
        for y in 0..out_height {
            let y = if self.flip { out_height - 1 - y } else { y };
            for x in 0..out_width {
                let x = if self.mirror { out_width - 1 - x } else { x };
                let (from_x, from_y) = if self.transpose { (y, x) } else { (x, y) };
                let at = (from_y * width + from_x) * bytes;
                turned.extend_from_slice(&pixels[at..at + bytes]);
            }
        }
        turned
    }
}

/// The structure of EXIF data, of which one number is wanted: whatever else is broken or cut off does not matter.
#[derive(Clone, Copy)]
struct Tiff<'a> {
    data: &'a [u8],
    big: bool,
}

impl<'a> Tiff<'a> {
    fn new(data: &'a [u8]) -> Option<Self> {
        match data {
            [b'M', b'M', 0, 42, ..] => Some(Self { data, big: true }),
            [b'I', b'I', 42, 0, ..] => Some(Self { data, big: false }),
            _ => None,
        }
    }

    /// Of the first directory, which is that of the picture; a second one would be that of a preview.
    fn orientation(self) -> Option<u32> {
        const TAG: u32 = 0x0112;
        const SHORT: u32 = 3;
        const LONG: u32 = 4;
        let directory = self.long(4)? as usize;
        for at in (0..self.short(directory)? as usize).map(|entry| directory + 2 + entry * 12) {
            // Tag, type, how many values, and the value.
            if self.short(at)? == TAG {
                return match self.short(at + 2)? {
                    SHORT => self.short(at + 8),
                    LONG => self.long(at + 8),
                    _ => None,
                };
            }
        }
        None
    }

    fn short(self, at: usize) -> Option<u32> {
        let bytes = *self.data.get(at..)?.first_chunk()?;
        Some(u32::from(if self.big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }))
    }

    fn long(self, at: usize) -> Option<u32> {
        let bytes = *self.data.get(at..)?.first_chunk()?;
        Some(if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a viewer must show, for a picture that is stored as `ab/cd/ef`.
    #[test]
    fn each_value_turns_as_exif_says() {
        let shown = ["abcdef", "badcfe", "fedcba", "efcdab", "acebdf", "ecafdb", "fdbeca", "bdface"];
        for (value, expected) in (1..).zip(shown) {
            let turned = Orientation::from_exif(value).apply(b"abcdef".to_vec(), 2, 3, 1);
            assert_eq!(String::from_utf8_lossy(&turned), expected, "orientation {value}");
        }
    }

    #[test]
    fn pixels_stay_whole() {
        let turned = Orientation::from_exif(6).apply(b"AaBbCcDd".to_vec(), 2, 2, 2);
        assert_eq!(turned, b"CcAaDdBb");
    }

    /// A block of EXIF data: a text of 20 bytes, of which no byte may be there, and an orientation behind it.
    fn block(big: bool, kind: u16, number: u16) -> Vec<u8> {
        let short = |n: u16| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let long = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let value = if kind == 3 { [short(number), [0; 2]].concat() } else { long(number.into()).to_vec() };
        let head = [if big { *b"MM" } else { *b"II" }, short(42)].concat();
        let text = [&short(0x010F)[..], &short(2), &long(20), &long(0xFFFF)].concat();
        let orientation = [&short(0x0112)[..], &short(kind), &long(1), &value].concat();
        [&head[..], &long(8), &short(9), &text, &orientation].concat()
    }

    #[test]
    fn it_is_read_in_every_spelling_and_whatever_else_is_cut_off() {
        for (big, kind) in [(false, 3), (true, 3), (false, 4), (true, 4)] {
            let block = block(big, kind, 6);
            assert_eq!(Orientation::of_exif_block(&block), Orientation::from_exif(6), "{block:?}");
            let marked = [b"Exif\0\0", &block[..]].concat();
            assert_eq!(Orientation::of_exif_block(&marked), Orientation::from_exif(6));
            for end in 0..block.len() {
                // Upright, or what is there of the number already.
                let cut = Orientation::of_exif_block(&block[..end]);
                assert!(cut == Orientation::default() || end > block.len() - 3, "{end} of {block:?}");
            }
        }
    }

    #[test]
    fn what_is_no_orientation_is_upright() {
        let mut elsewhere = block(true, 3, 6);
        elsewhere[4..8].copy_from_slice(&[0xFF; 4]);
        // The lower half of it would be one.
        let mut large = block(false, 4, 6);
        let end = large.len();
        large[end - 2] = 1;
        for block in [&elsewhere[..], &large, &block(true, 2, 6), &block(true, 3, 9), b"MM\0*", b""] {
            assert_eq!(Orientation::of_exif_block(block), Orientation::default(), "{block:?}");
        }
    }
}
