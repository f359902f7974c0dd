//! Animations: each frame is a picture of its own.

use crate::{
    Cancel, Error, Transform,
    color::{self, Conversion},
    decode::Animation,
    encode,
    geometry::Plan,
    render::finish,
};

/// An animated WebP.
pub(crate) fn animate(
    mut animation: Animation<'_>,
    transform: &Transform,
    plan: &Plan,
    cancel: &Cancel,
) -> Result<Vec<u8>, Error> {
    let (width, height) = plan.canvas;
    let conversion = Conversion::by(animation.profile.as_deref());
    let settings = encode::of_frames(transform.quality, plan.canvas);
    let mut output = thumbnails_webp::Animation::new(width, height, animation.loops, settings)?;
    while let Some(frame) = animation.frames.next()? {
        cancel.check()?;
        let resized = frame.raster.resized(plan.area, plan.resized, cancel)?;
        let finished = finish(resized, &conversion, plan);
        output.add(&color::to_rgba(finished).pixels, frame.millis, &|| cancel.is_set())?;
    }
    Ok(output.finish()?)
}
