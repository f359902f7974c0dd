//! Colours -> sRGB. Runs on thumbnails, which have few pixels.

use moxcms::{ColorProfile, DataColorSpace, Layout as ProfileLayout, RenderingIntent, TransformOptions};

use crate::raster::{Layout, Raster};

/// How a picture's colours become those of sRGB.
#[derive(Default)]
pub(crate) struct Conversion(Option<ColorProfile>);

impl Conversion {
    /// By a colour profile. One that cannot be used, or that is sRGB's own, changes nothing.
    pub(crate) fn by(profile: Option<&[u8]>) -> Self {
        let usable = profile.and_then(|bytes| ColorProfile::new_from_slice(bytes).ok());
        Self(usable.filter(|profile| !is_srgb(profile)))
    }

    /// Whether colours stay as they are.
    pub(crate) fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Converts to sRGB: `Gray`, `Rgb` or `Rgba` comes out.
    pub(crate) fn apply(&self, raster: Raster) -> Raster {
        match self.0.as_ref().and_then(|profile| converted(&raster, profile)) {
            Some(converted) => converted,
            None if raster.layout == Layout::Cmyk => without_profile(&raster),
            None => raster,
        }
    }
}

fn converted(raster: &Raster, profile: &ColorProfile) -> Option<Raster> {
    let (from, to, layout) = match (raster.layout, profile.color_space) {
        (Layout::Gray, DataColorSpace::Gray) => (ProfileLayout::Gray, ProfileLayout::Rgb, Layout::Rgb),
        (Layout::Rgb, DataColorSpace::Rgb) => (ProfileLayout::Rgb, ProfileLayout::Rgb, Layout::Rgb),
        // Grey with alpha is stored so: all three colours are the grey.
        (Layout::Rgba, DataColorSpace::Gray) => return with_alpha(raster, profile),
        (Layout::Rgba, DataColorSpace::Rgb) => (ProfileLayout::Rgba, ProfileLayout::Rgba, Layout::Rgba),
        // Four inks are four channels.
        (Layout::Cmyk, DataColorSpace::Cmyk) => (ProfileLayout::Rgba, ProfileLayout::Rgb, Layout::Rgb),
        _ => return None,
    };
    let options = TransformOptions { rendering_intent: RenderingIntent::Perceptual, ..TransformOptions::default() };
    let transform = profile.create_transform_8bit(from, &ColorProfile::new_srgb(), to, options).ok()?;
    let mut pixels = vec![0; raster.width as usize * raster.height as usize * layout.bytes()];
    transform.transform(&raster.pixels, &mut pixels).ok()?;
    Some(Raster { width: raster.width, height: raster.height, layout, pixels })
}

/// Grey with alpha by a profile for grey.
fn with_alpha(raster: &Raster, profile: &ColorProfile) -> Option<Raster> {
    let pixels = raster.pixels.as_chunks::<4>().0;
    let gray = pixels.iter().map(|[gray, ..]| *gray).collect();
    let gray = Raster { layout: Layout::Gray, pixels: gray, ..*raster };
    let colors = converted(&gray, profile)?;
    let colors = colors.pixels.as_chunks::<3>().0.iter().zip(pixels);
    let pixels = colors.flat_map(|([r, g, b], [.., alpha])| [*r, *g, *b, *alpha]).collect();
    Some(Raster { pixels, ..*raster })
}

/// Whether a profile leaves colours as they are, within rounding. Most photos carry sRGB's own, in many versions.
fn is_srgb(profile: &ColorProfile) -> bool {
    const STEPS: [u8; 6] = [0, 51, 102, 153, 204, 255];
    if profile.color_space != DataColorSpace::Rgb {
        return false;
    }
    let cube = STEPS.iter().flat_map(|r| STEPS.iter().flat_map(move |g| STEPS.iter().flat_map(move |b| [*r, *g, *b])));
    let cube = Raster { width: 36, height: 6, layout: Layout::Rgb, pixels: cube.collect() };
    let after = converted(&cube, profile);
    after.is_some_and(|after| after.pixels.iter().zip(&cube.pixels).all(|(a, b)| a.abs_diff(*b) <= 2))
}

/// What screens make of four inks when nothing tells them more.
fn without_profile(raster: &Raster) -> Raster {
    let left = |ink: u8, black: u8| {
        let light = u32::from(255 - ink) * u32::from(255 - black);
        u8::try_from((light + 127) / 255).unwrap_or(u8::MAX)
    };
    let inks = raster.pixels.as_chunks().0.iter();
    let pixels = inks.flat_map(|[c, m, y, k]| [left(*c, *k), left(*m, *k), left(*y, *k)]).collect();
    Raster { width: raster.width, height: raster.height, layout: Layout::Rgb, pixels }
}

/// Lays colours over white, for formats without transparency.
pub(crate) fn over_white(raster: Raster) -> Raster {
    if raster.layout != Layout::Rgba {
        return raster;
    }
    let over = |color: u8, alpha: u8| {
        let light = u32::from(color) * u32::from(alpha) + 255 * u32::from(255 - alpha);
        u8::try_from((light + 127) / 255).unwrap_or(u8::MAX)
    };
    let colors = raster.pixels.as_chunks().0.iter();
    let pixels = colors.flat_map(|[r, g, b, a]| [over(*r, *a), over(*g, *a), over(*b, *a)]).collect();
    Raster { layout: Layout::Rgb, pixels, ..raster }
}

/// Four bytes a pixel, whatever it was.
pub(crate) fn to_rgba(raster: Raster) -> Raster {
    let pixels = match raster.layout {
        Layout::Gray => raster.pixels.iter().flat_map(|gray| [*gray, *gray, *gray, 255]).collect(),
        Layout::Rgb => raster.pixels.as_chunks().0.iter().flat_map(|[r, g, b]| [*r, *g, *b, 255]).collect(),
        Layout::Rgba => return raster,
        Layout::Cmyk => return to_rgba(without_profile(&raster)),
    };
    Raster { layout: Layout::Rgba, pixels, ..raster }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(layout: Layout, pixels: &[u8]) -> Raster {
        Raster { width: 1, height: 1, layout, pixels: pixels.to_vec() }
    }

    #[test]
    fn inks_take_light_away() {
        let cases = [([0, 0, 0, 0], [255, 255, 255]), ([0, 0, 0, 255], [0, 0, 0]), ([255, 0, 0, 0], [0, 255, 255])];
        for (inks, expected) in cases {
            assert_eq!(Conversion::default().apply(one(Layout::Cmyk, &inks)).pixels, expected, "{inks:?}");
        }
    }

    #[test]
    fn a_wide_gamut_is_brought_into_srgb() {
        let p3 = ColorProfile::new_display_p3().encode().expect("a profile");
        let converted = Conversion::by(Some(&p3)).apply(one(Layout::Rgb, &[200, 100, 50]));
        // The same colour has more red in sRGB, whose red is weaker.
        assert!(converted.pixels[0] > 205 && converted.pixels[1] < 100, "{:?}", converted.pixels);
        let gray = Conversion::by(Some(&p3)).apply(one(Layout::Rgb, &[128, 128, 128]));
        assert!(gray.pixels.iter().all(|value| value.abs_diff(128) <= 1), "{:?}", gray.pixels);
    }

    #[test]
    fn a_broken_profile_or_one_for_other_channels_is_ignored() {
        let raster = one(Layout::Gray, &[77]);
        let p3 = ColorProfile::new_display_p3().encode().expect("a profile");
        for profile in [&b"not a profile"[..], &p3] {
            assert_eq!(Conversion::by(Some(profile)).apply(raster.clone()), raster);
        }
    }

    /// A profile of grey whose values are light itself: 128 is much brighter than in sRGB.
    fn linear_gray() -> Vec<u8> {
        ColorProfile::new_gray_with_gamma(1.0).encode().expect("a profile")
    }

    #[test]
    fn a_profile_of_grey_counts_with_alpha_and_without() {
        let conversion = Conversion::by(Some(&linear_gray()));
        let plain = conversion.apply(one(Layout::Gray, &[128]));
        assert_eq!((plain.layout, &plain.pixels[..]), (Layout::Rgb, &[188; 3][..]));
        let seen = conversion.apply(one(Layout::Rgba, &[128, 128, 128, 77]));
        assert_eq!((seen.layout, &seen.pixels[..]), (Layout::Rgba, &[188, 188, 188, 77][..]));
    }

    #[test]
    fn the_profile_of_srgb_changes_nothing() {
        let srgb = ColorProfile::new_srgb().encode().expect("a profile");
        assert!(Conversion::by(Some(&srgb)).is_none());
    }

    #[test]
    fn what_is_transparent_becomes_white() {
        assert_eq!(over_white(one(Layout::Rgba, &[10, 20, 30, 0])).pixels, [255, 255, 255]);
        assert_eq!(over_white(one(Layout::Rgba, &[10, 20, 30, 255])).pixels, [10, 20, 30]);
    }
}
