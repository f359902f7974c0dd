//! An animation.

use std::{ffi::c_int, ptr::NonNull};

use libwebp_sys as webp;

use crate::{
    Error, MAX_SIDE, Settings,
    picture::{Image, Picture, config},
};

/// Collects the frames of an animation. Each frame is the whole picture; libwebp finds out what has changed.
#[derive(Debug)]
pub struct Animation {
    encoder: NonNull<webp::WebPAnimEncoder>,
    config: webp::WebPConfig,
    width: u32,
    height: u32,
    /// When the next frame starts, in milliseconds.
    now: c_int,
}

impl Animation {
    /// An animation that runs `loops` times; 0 stands for ever.
    ///
    /// # Errors
    /// When the size does not fit, or memory runs out.
    pub fn new(width: u32, height: u32, loops: u16, settings: Settings) -> Result<Self, Error> {
        let side = |side: u32| c_int::try_from(side).ok().filter(|_| (1..=MAX_SIDE).contains(&side)).ok_or(Error::Size);
        let (w, h) = (side(width)?, side(height)?);
        let config = config(settings)?;
        let mut options = std::mem::MaybeUninit::uninit();
        let abi = webp::WebPGetMuxABIVersion();
        // SAFETY: the call fills in the whole structure, or says that it did not; then it is not read.
        let mut options: webp::WebPAnimEncoderOptions = unsafe {
            if webp::WebPAnimEncoderOptionsInitInternal(options.as_mut_ptr(), abi) == 0 {
                return Err(Error::Encoder(0));
            }
            options.assume_init()
        };
        options.anim_params.loop_count = c_int::from(loops);
        // SAFETY: the sides are in range and the options are initialised; the encoder copies them.
        let encoder = unsafe { webp::WebPAnimEncoderNewInternal(w, h, &raw const options, abi) };
        let encoder = NonNull::new(encoder).ok_or(Error::Encoder(1))?;
        Ok(Self { encoder, config, width, height, now: 0 })
    }

    /// Adds a frame of four bytes a pixel, alpha not premultiplied, that is shown for `millis`.
    ///
    /// # Errors
    /// When the buffer does not fit, or libwebp fails.
    pub fn add(&mut self, rgba: &[u8], millis: u32) -> Result<(), Error> {
        let mut picture = Picture::new(Image::Rgba(rgba), self.width, self.height)?;
        self.push(Some(&mut picture))?;
        self.now = self.now.saturating_add(c_int::try_from(millis).unwrap_or(c_int::MAX));
        Ok(())
    }

    /// The file.
    ///
    /// # Errors
    /// When libwebp fails, for example without a frame.
    pub fn finish(mut self) -> Result<Vec<u8>, Error> {
        // No picture: this only tells when the last frame ends.
        self.push(None)?;
        let mut data = webp::WebPData::default();
        // SAFETY: the encoder is alive. On success `data` points to `size` bytes that are ours to free.
        unsafe {
            let done = webp::WebPAnimEncoderAssemble(self.encoder.as_ptr(), &raw mut data) != 0;
            let file = if done && !data.bytes.is_null() {
                Ok(std::slice::from_raw_parts(data.bytes, data.size).to_vec())
            } else {
                Err(Error::Encoder(0))
            };
            webp::WebPDataClear(&mut data);
            file
        }
    }

    fn push(&mut self, picture: Option<&mut Picture<'_>>) -> Result<(), Error> {
        let frame = picture.map_or(std::ptr::null_mut(), |picture| &raw mut picture.raw);
        // SAFETY: the encoder is alive and of the same size as the picture, which it reads during the call alone.
        let done = unsafe { webp::WebPAnimEncoderAdd(self.encoder.as_ptr(), frame, self.now, &raw const self.config) };
        if done == 0 { Err(Error::Encoder(0)) } else { Ok(()) }
    }
}

impl Drop for Animation {
    fn drop(&mut self) {
        // SAFETY: made by `new`, and not used after this.
        unsafe { webp::WebPAnimEncoderDelete(self.encoder.as_ptr()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Settings = Settings { quality: 80.0, method: 0, segments: 1, noise_shaping: 50 };

    #[test]
    fn frames_become_one_file() {
        let mut animation = Animation::new(4, 3, 0, FAST).expect("starts");
        for shade in [0, 120, 240] {
            animation.add(&[shade; 4 * 3 * 4], 50).expect("fits");
        }
        let webp = animation.finish().expect("assembles");
        assert_eq!(webp.windows(4).filter(|at| at == b"ANMF").count(), 3);
    }

    #[test]
    fn a_frame_of_another_size_never_reaches_c() {
        let mut animation = Animation::new(4, 3, 0, FAST).expect("starts");
        assert_eq!(animation.add(&[0; 47], 50), Err(Error::Size));
        assert_eq!(Animation::new(0, 3, 0, FAST).map(|_| ()), Err(Error::Size));
        assert!(animation.finish().is_err(), "an animation without frames is none");
    }
}
