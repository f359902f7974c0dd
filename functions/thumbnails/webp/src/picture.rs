//! One still picture.

use std::ffi::c_int;

use libwebp_sys as webp;

use crate::{Error, MAX_SIDE, Settings};

/// Pixels, row by row without padding.
#[derive(Clone, Copy, Debug)]
pub enum Image<'a> {
    /// Y, U and V in the limited range of BT.601; U and V have half the width and height, rounded up.
    Yuv420 {
        /// Luma.
        y: &'a [u8],
        /// Blue difference.
        u: &'a [u8],
        /// Red difference.
        v: &'a [u8],
    },
    /// Three bytes a pixel.
    Rgb(&'a [u8]),
    /// Four bytes a pixel, alpha not premultiplied.
    Rgba(&'a [u8]),
}

impl Image<'_> {
    fn fits(&self, width: usize, height: usize) -> bool {
        match self {
            Self::Yuv420 { y, u, v } => {
                let chroma = width.div_ceil(2) * height.div_ceil(2);
                y.len() == width * height && u.len() == chroma && v.len() == chroma
            }
            Self::Rgb(pixels) => pixels.len() == width * height * 3,
            Self::Rgba(pixels) => pixels.len() == width * height * 4,
        }
    }
}

/// Encodes a picture. `cancelled` is asked between rows.
///
/// # Errors
/// See [`Error`].
pub fn encode(
    image: Image<'_>,
    width: u32,
    height: u32,
    settings: Settings,
    cancelled: &dyn Fn() -> bool,
) -> Result<Vec<u8>, Error> {
    let config = config(settings)?;
    let mut picture = Picture::new(image, width, height)?;
    let mut job = Job { output: Vec::new(), cancelled };
    let raw = &mut picture.raw;
    raw.writer = Some(write);
    raw.progress_hook = Some(progress);
    raw.custom_ptr = (&raw mut job).cast();
    raw.user_data = (&raw mut job).cast();
    // SAFETY: the configuration is a valid one, and the picture owns or borrows pixels of the size that it states. `job`
    // outlives the call, which is the only time at which the two callbacks run.
    let done = unsafe { webp::WebPEncode(&raw const config, raw) } != 0;
    match raw.error_code {
        _ if done => Ok(job.output),
        webp::WebPEncodingError::VP8_ENC_ERROR_USER_ABORT => Err(Error::Cancelled),
        code => Err(Error::Encoder(code as u32)),
    }
}

/// The chunks of an encoded picture that have its pixels: transparency, where there is some, and the colours.
pub(crate) fn pictures(file: &[u8]) -> &[u8] {
    /// Signature, and the chunk that says what others there are.
    const EXTENDED: usize = 12 + 8 + 10;
    let start = if file.get(12..16) == Some(b"VP8X") { EXTENDED } else { 12 };
    file.get(start..).unwrap_or_default()
}

/// Appends a chunk, made of these parts. The next one begins at an even number.
pub(crate) fn chunk(file: &mut Vec<u8>, name: [u8; 4], parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    file.extend(name);
    file.extend(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    for part in parts {
        file.extend_from_slice(part);
    }
    file.extend(&[0][..length % 2]);
}

/// What the two callbacks reach through the picture.
struct Job<'a> {
    output: Vec<u8>,
    cancelled: &'a dyn Fn() -> bool,
}

unsafe extern "C" fn write(data: *const u8, size: usize, picture: *const webp::WebPPicture) -> c_int {
    if size > 0 {
        // SAFETY: libwebp hands over the picture that it was given, whose `custom_ptr` is the job of `encode`, and `size`
        // readable bytes. Nothing else touches the job during the call.
        unsafe {
            let job = &mut *(*picture).custom_ptr.cast::<Job<'_>>();
            job.output.extend_from_slice(std::slice::from_raw_parts(data, size));
        }
    }
    1
}

unsafe extern "C" fn progress(_percent: c_int, picture: *const webp::WebPPicture) -> c_int {
    // SAFETY: `user_data` is the job of `encode`, as above; only its `cancelled` is read.
    let cancelled = unsafe { (*(*picture).user_data.cast::<Job<'_>>()).cancelled };
    c_int::from(!cancelled())
}

fn config(settings: Settings) -> Result<webp::WebPConfig, Error> {
    let mut config = webp::WebPConfig::new().map_err(|()| Error::Encoder(0))?;
    config.quality = settings.quality.clamp(0.0, 100.0);
    config.method = c_int::from(settings.method.min(6));
    config.segments = c_int::from(settings.segments.clamp(1, 4));
    config.sns_strength = c_int::from(settings.noise_shaping.min(100));
    Ok(config)
}

/// A picture of libwebp that is freed when it is dropped.
struct Picture<'a> {
    raw: webp::WebPPicture,
    pixels: std::marker::PhantomData<&'a [u8]>,
}

impl<'a> Picture<'a> {
    fn new(image: Image<'a>, width: u32, height: u32) -> Result<Self, Error> {
        let side = |side: u32| c_int::try_from(side).ok().filter(|_| (1..=MAX_SIDE).contains(&side)).ok_or(Error::Size);
        let (w, h) = (side(width)?, side(height)?);
        if !image.fits(width as usize, height as usize) {
            return Err(Error::Size);
        }
        let mut raw = webp::WebPPicture::new().map_err(|()| Error::Encoder(0))?;
        (raw.width, raw.height, raw.use_argb) = (w, h, 0);
        let mut picture = Self { raw, pixels: std::marker::PhantomData };
        // SAFETY: the pixels have been counted above. An import copies them; the planes of `Yuv420` are borrowed for as
        // long as the picture lives, and the encoder only reads them.
        let imported = unsafe {
            match image {
                Image::Yuv420 { y, u, v } => {
                    picture.raw.colorspace = webp::WebPEncCSP::WEBP_YUV420;
                    picture.raw.y = y.as_ptr().cast_mut();
                    picture.raw.u = u.as_ptr().cast_mut();
                    picture.raw.v = v.as_ptr().cast_mut();
                    picture.raw.y_stride = w;
                    picture.raw.uv_stride = (w + 1) / 2;
                    1
                }
                Image::Rgb(pixels) => webp::WebPPictureImportRGB(&raw mut picture.raw, pixels.as_ptr(), w * 3),
                Image::Rgba(pixels) => webp::WebPPictureImportRGBA(&raw mut picture.raw, pixels.as_ptr(), w * 4),
            }
        };
        if imported == 0 { Err(Error::Encoder(picture.raw.error_code as u32)) } else { Ok(picture) }
    }
}

impl Drop for Picture<'_> {
    fn drop(&mut self) {
        // SAFETY: frees what libwebp has allocated for the picture, and nothing of ours: borrowed planes are not in
        // `memory_`.
        unsafe { webp::WebPPictureFree(&raw mut self.raw) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Settings = Settings { quality: 80.0, method: 0, segments: 1, noise_shaping: 50 };

    #[test]
    fn every_kind_of_pixels_becomes_a_webp() {
        let (y, c) = (vec![90; 15 * 9], vec![128; 8 * 5]);
        let (rgb, rgba) = (vec![7; 15 * 9 * 3], vec![7; 15 * 9 * 4]);
        for image in [Image::Yuv420 { y: &y, u: &c, v: &c }, Image::Rgb(&rgb), Image::Rgba(&rgba)] {
            let webp = encode(image, 15, 9, FAST, &|| false).expect("encodes");
            assert_eq!((&webp[..4], &webp[8..12]), (&b"RIFF"[..], &b"WEBP"[..]));
        }
    }

    #[test]
    fn a_buffer_of_the_wrong_size_never_reaches_c() {
        let pixels = vec![0; 12];
        for (width, height) in [(2, 3), (0, 0), (1, 4 << 20), (MAX_SIDE + 1, 1)] {
            assert_eq!(encode(Image::Rgb(&pixels), width, height, FAST, &|| false), Err(Error::Size));
        }
        let odd = Image::Yuv420 { y: &[0; 9], u: &[0; 1], v: &[0; 1] };
        assert_eq!(encode(odd, 3, 3, FAST, &|| false), Err(Error::Size), "chroma is rounded up");
    }

    #[test]
    fn it_stops_when_it_is_told_to() {
        let pixels = vec![9; 256 * 256 * 3];
        let asked = std::cell::Cell::new(0);
        let cancelled = || {
            asked.set(asked.get() + 1);
            asked.get() > 2
        };
        assert_eq!(encode(Image::Rgb(&pixels), 256, 256, FAST, &cancelled), Err(Error::Cancelled));
        assert_eq!(asked.get(), 3, "not asked again after the answer");
    }
}
