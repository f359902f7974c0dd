//! Every arrangement of a picture gives the samples that the standard defines.

use thumbnails_jpeg::{Header, Limits, Planes, Scale};

use crate::{
    reference,
    support::{
        encoder::{Layout, Picture},
        random::Random,
    },
};

pub(crate) const SCALES: [Scale; 4] = [Scale::Eighth, Scale::Quarter, Scale::Half, Scale::Full];

/// The samplings of photos, those that few programs write, one, four and odd ones.
const SAMPLINGS: [&[(usize, usize)]; 16] = [
    &[(1, 1)],
    &[(2, 2)],
    &[(3, 1)],
    &[(1, 1), (1, 1), (1, 1)],
    &[(2, 1), (1, 1), (1, 1)],
    &[(2, 2), (1, 1), (1, 1)],
    &[(1, 2), (1, 1), (1, 1)],
    &[(4, 1), (1, 1), (1, 1)],
    &[(4, 2), (1, 1), (1, 1)],
    &[(1, 4), (1, 1), (1, 2)],
    &[(2, 2), (2, 1), (1, 2)],
    &[(1, 1), (2, 2), (2, 2)],
    &[(3, 2), (1, 1), (2, 1)],
    &[(2, 3), (1, 2), (1, 1)],
    &[(1, 1), (1, 1), (1, 1), (1, 1)],
    &[(2, 2), (1, 1), (1, 1), (2, 2)],
];

/// Sizes around the edges of blocks and MCUs.
const SIZES: [(usize, usize); 6] = [(1, 1), (16, 8), (20, 9), (33, 47), (63, 64), (130, 75)];

fn decode(data: &[u8], scale: Scale) -> Planes {
    let header = Header::read(data, &Limits::default()).expect("a header");
    header.decode(scale, 0..u32::MAX, || false).expect("planes")
}

#[track_caller]
fn check(picture: &Picture, layout: &Layout, what: &str) {
    let data = picture.encode(layout);
    for scale in SCALES {
        let got = decode(&data, scale);
        assert!(!got.damaged, "{what}, {scale:?}: damaged");
        assert_eq!(got.planes.len(), picture.components.len());
        for (i, (plane, component)) in got.planes.iter().zip(&picture.components).enumerate() {
            let want = reference::plane(picture, component, scale);
            let size = (plane.width as usize, plane.height as usize);
            assert_eq!(size, (want.width, want.height), "{what}, {scale:?}, component {i}");
            assert_eq!((plane.data.len(), plane.first_row), (want.width * want.height, 0));
            for (at, sample) in plane.data.iter().enumerate() {
                let (x, y) = (at % want.width, at / want.width);
                let off = (f64::from(*sample) - want.at(x, y)).abs();
                assert!(off < 0.51, "{what}, {scale:?}, component {i} at {x}, {y}: {sample} for {}", want.at(x, y));
            }
        }
    }
}

/// Each sampling at each size, arranged by `layout`.
fn check_all(layout: impl Fn(&Picture) -> Layout) {
    for (i, sampling) in SAMPLINGS.iter().enumerate() {
        for (width, height) in SIZES {
            let picture = Picture::random(width, height, sampling, 1 + i as u64);
            check(&picture, &layout(&picture), &format!("{sampling:?}, {width} x {height}"));
        }
    }
}

#[test]
fn baseline() {
    check_all(Picture::baseline);
}

#[test]
fn non_interleaved() {
    check_all(Picture::non_interleaved);
}

#[test]
fn partially_interleaved() {
    for sampling in SAMPLINGS.iter().filter(|sampling| sampling.len() > 2) {
        let picture = Picture::random(130, 75, sampling, 20);
        let mut layout = picture.non_interleaved();
        let last = layout.scans.remove(2);
        layout.scans[1].components.extend(last.components);
        check(&picture, &layout, &format!("{sampling:?}"));
    }
}

#[test]
fn progressive() {
    check_all(Picture::progressive);
}

#[test]
fn progressive_without_refinement() {
    check_all(|picture| {
        let mut layout = picture.progressive();
        layout.scans.retain(|scan| scan.high == 0);
        layout.scans.iter_mut().for_each(|scan| scan.low = 0);
        layout
    });
}

#[test]
fn restart_markers() {
    for restart_interval in [1, 2, 3, 7, 50, 1000] {
        check_all(|picture| Layout { restart_interval, ..picture.baseline() });
    }
    for restart_interval in [1, 5, 60] {
        check_all(|picture| Layout { restart_interval, ..picture.non_interleaved() });
        check_all(|picture| Layout { restart_interval, ..picture.progressive() });
    }
}

#[test]
fn rows_are_those_of_the_whole_picture() {
    for sampling in SAMPLINGS {
        let picture = Picture::random(90, 140, sampling, 30);
        let restarts = Layout { restart_interval: 2, ..picture.baseline() };
        for layout in [picture.baseline(), restarts, picture.non_interleaved(), picture.progressive()] {
            let data = picture.encode(&layout);
            let header = Header::read(&data, &Limits::default()).expect("a header");
            for scale in SCALES {
                let whole = decode(&data, scale);
                let height = whole.height;
                for rows in [0..1, 0..height / 2, height / 3..height / 2, height - 1..height, 5..u32::MAX, 3..3] {
                    let part = header.decode(scale, rows.clone(), || false).expect("planes");
                    assert_eq!((part.width, part.height, part.damaged), (whole.width, whole.height, false));
                    for ((part, whole), component) in part.planes.iter().zip(&whole.planes).zip(header.components()) {
                        let per_row = f64::from(component.vertical)
                            / header
                                .components()
                                .iter()
                                .map(|component| f64::from(component.vertical))
                                .fold(1.0, f64::max);
                        let first = (f64::from(rows.start) * per_row).floor() as u32;
                        let end = ((f64::from(rows.end.min(height)) * per_row).ceil() as u32).min(whole.height);
                        assert_eq!((part.first_row, part.height), (first, end.saturating_sub(first)), "{rows:?}");
                        let width = whole.width as usize;
                        let from = first as usize * width;
                        assert_eq!(
                            part.data,
                            whole.data[from..from + part.data.len()],
                            "{sampling:?} {scale:?} {rows:?}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn fill_bytes_before_markers_change_nothing() {
    let picture = Picture::random(60, 60, &[(2, 1), (1, 1), (1, 1)], 9);
    for layout in [Layout { restart_interval: 2, ..picture.baseline() }, picture.progressive()] {
        let data = picture.encode(&layout);
        for count in 1..4 {
            let mut filled = vec![0xFF, 0xD8];
            for pair in data[1..].windows(2) {
                if pair[0] == 0xFF && !matches!(pair[1], 0 | 0xD8 | 0xFF) {
                    filled.extend(vec![0xFF; count]);
                }
                if filled.len() > 2 || pair[0] != 0xD8 {
                    filled.push(pair[0]);
                }
            }
            filled.push(0xD9);
            let (plain, filled) = (decode(&data, Scale::Half), decode(&filled, Scale::Half));
            assert!(!filled.damaged);
            assert!(plain.planes.iter().zip(&filled.planes).all(|(plain, filled)| plain.data == filled.data));
        }
    }
}

#[test]
fn planes_tell_where_a_pixel_is() {
    let picture = Picture::random(64, 64, &[(2, 4), (1, 2), (1, 1)], 9);
    let data = picture.encode(&picture.non_interleaved());
    let header = Header::read(&data, &Limits::default()).expect("a header");
    let part = header.decode(Scale::Half, 16..32, || false).expect("planes");
    let place = |i: usize| (part.planes[i].scale_x, part.planes[i].scale_y, part.planes[i].first_row);
    assert_eq!([place(0), place(1), place(2)], [(0.5, 0.5, 16), (0.25, 0.25, 8), (0.25, 0.125, 4)]);
}

#[test]
fn a_scale_leaves_a_tenth_more_than_the_result() {
    let scale = Scale::for_shrink;
    assert_eq!([8.79, 8.8, 1000.0].map(scale), [Scale::Quarter, Scale::Eighth, Scale::Eighth]);
    assert_eq!([4.39, 4.41, 2.19, 2.21].map(scale), [Scale::Half, Scale::Quarter, Scale::Full, Scale::Half]);
    assert_eq!([1.0, 0.1, f64::NAN].map(scale), [Scale::Full; 3]);
    assert_eq!(SCALES.map(Scale::denominator), [8, 4, 2, 1]);
}

#[test]
fn long_blocks_do_not_outrun_the_window() {
    // Coefficients large and few of them zero: blocks as long as they get, each of another length, over many windows.
    let mut picture = Picture::random(400, 300, &[(2, 2), (1, 1), (1, 1)], 5);
    let mut random = Random(6);
    for block in picture.components.iter_mut().flat_map(|component| &mut component.blocks) {
        let most = [1023, 1023, 30, 2][random.below(4)];
        block[1..].fill_with(|| random.between(-most, most));
    }
    picture.quantisers = [1; 64];
    for layout in [picture.baseline(), picture.non_interleaved(), picture.progressive()] {
        check(&picture, &layout, "long blocks");
    }
}
