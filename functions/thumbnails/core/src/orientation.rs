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
        let data = block.strip_prefix(b"Exif\0\0").unwrap_or(block);
        let exif = exif::Reader::new().read_raw(data.to_vec()).ok();
        let field = exif.as_ref().and_then(|exif| exif.get_field(exif::Tag::Orientation, exif::In::PRIMARY));
        Self::from_exif(field.and_then(|field| field.value.get_uint(0)).unwrap_or(1))
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
}
