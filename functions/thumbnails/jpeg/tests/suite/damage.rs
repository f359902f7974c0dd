//! What is left of a damaged picture, and when decoding gives up.

use std::cell::Cell;

use thumbnails_jpeg::{Error, Header, Limits, Planes, Scale};

use crate::{
    decoding::SCALES,
    support::encoder::{Layout, Picture},
};

fn decode(data: &[u8], scale: Scale) -> Result<Planes, Error> {
    Header::read(data, &Limits::default())?.decode(scale, 0..u32::MAX, || false)
}

fn picture() -> Picture {
    Picture::random(160, 320, &[(2, 2), (1, 1), (1, 1)], 7)
}

/// Where the entropy-coded data of the first scan begin.
fn first_scan(data: &[u8]) -> usize {
    let at = data.windows(2).position(|pair| pair == [0xFF, 0xDA]).expect("a scan");
    at + 2 + usize::from(data[at + 3])
}

#[test]
fn rows_before_the_end_of_the_data_are_kept_and_the_others_are_grey() {
    let picture = picture();
    let data = picture.encode(&picture.baseline());
    let start = first_scan(&data);
    let cut = start + (data.len() - start) / 2;
    for scale in SCALES {
        let (whole, part) = (decode(&data, scale).expect("planes"), decode(&data[..cut], scale).expect("planes"));
        assert!(part.damaged);
        for (whole, part) in whole.planes.iter().zip(&part.planes) {
            assert_eq!(whole.data.len(), part.data.len());
            let third = whole.data.len() / 3;
            assert_eq!(whole.data[..third], part.data[..third]);
            assert!(part.data[third * 2..].iter().all(|sample| *sample == 128));
        }
    }
}

#[test]
fn a_picture_without_its_first_row_is_truncated() {
    let picture = picture();
    for layout in [picture.baseline(), picture.non_interleaved(), picture.progressive()] {
        let data = picture.encode(&layout);
        let start = first_scan(&data);
        for length in [start, start + 1] {
            assert_eq!(decode(&data[..length], Scale::Half).err(), Some(Error::Truncated));
        }
    }
}

#[test]
fn a_missing_component_is_grey() {
    let picture = picture();
    let mut layout = picture.non_interleaved();
    layout.scans.pop();
    let planes = decode(&picture.encode(&layout), Scale::Eighth).expect("planes");
    assert!(planes.damaged);
    assert!(planes.planes[2].data.iter().all(|sample| *sample == 128));
    assert!(planes.planes[1].data.iter().any(|sample| *sample != 128));
}

#[test]
fn a_repeated_scan_is_not_decoded() {
    let picture = picture();
    let mut layout = picture.non_interleaved();
    let scans = layout.scans.clone();
    layout.scans.splice(1..1, vec![scans[0].clone(); 100]);
    let data = picture.encode(&layout);
    let header = Header::read(&data, &Limits::default()).expect("a header");
    let calls = Cell::new(0);
    header.decode(Scale::Eighth, 0..u32::MAX, || calls.replace(calls.get() + 1) > 1000).expect("planes");
    assert_eq!(calls.get(), 40 + 20 + 20, "rows of blocks");
}

#[test]
fn scans_out_of_order_are_passed_over() {
    let picture = picture();
    let mut layout = picture.progressive();
    let whole = decode(&picture.encode(&layout), Scale::Full).expect("planes");
    // Each scan once more, which must not undo or repeat what the first one did.
    layout.scans = layout.scans.iter().flat_map(|scan| [scan.clone(), scan.clone()]).collect();
    let twice = decode(&picture.encode(&layout), Scale::Full).expect("planes");
    assert!(twice.damaged && !whole.damaged);
    assert!(whole.planes.iter().zip(&twice.planes).all(|(whole, twice)| whole.data == twice.data));
}

/// The places of the restart markers.
fn restarts(data: &[u8]) -> Vec<usize> {
    let is_restart = |at: &usize| data[*at] == 0xFF && (0xD0..=0xD7).contains(&data[at + 1]);
    (first_scan(data)..data.len() - 1).filter(is_restart).collect()
}

#[test]
fn a_lost_restart_interval_costs_only_itself() {
    let picture = picture();
    // One row of MCUs in each interval.
    let layout = Layout { restart_interval: 10, ..picture.baseline() };
    let data = picture.encode(&layout);
    let restarts = restarts(&data);
    assert_eq!(restarts.len(), 19);
    let whole = decode(&data, Scale::Full).expect("planes");
    let lost = |mut damaged: Vec<u8>, first: usize, end: usize| {
        damaged.extend([0xFF, 0xD9]);
        let part = decode(&damaged, Scale::Full).expect("planes");
        assert!(part.damaged);
        for ((whole, part), high) in whole.planes.iter().zip(&part.planes).zip([16, 8, 8]) {
            let row = high * whole.width as usize;
            assert_eq!(whole.data[..first * row], part.data[..first * row]);
            assert_eq!(whole.data[end * row..], part.data[end * row..]);
        }
    };
    // The data of intervals 5; 5 and 6 with the marker between them; 5 to 7 with theirs; half of 5.
    lost([&data[..restarts[4] + 2], &data[restarts[5]..]].concat(), 5, 6);
    lost([&data[..restarts[4] + 2], &data[restarts[6]..]].concat(), 5, 7);
    lost([&data[..restarts[4] + 2], &data[restarts[7]..]].concat(), 5, 8);
    lost([&data[..restarts[4].midpoint(restarts[5])], &data[restarts[5]..]].concat(), 5, 6);
    // An interval twice: its second marker comes too late and is passed over, so nothing is lost.
    let twice = decode(&[&data[..restarts[5]], &data[restarts[4]..]].concat(), Scale::Full).expect("planes");
    assert!(whole.planes.iter().zip(&twice.planes).all(|(whole, twice)| whole.data == twice.data));
}

#[test]
fn cancelling_stops_at_the_next_row() {
    let picture = picture();
    for (layout, asked) in [(picture.baseline(), 20), (picture.progressive(), 20)] {
        let data = picture.encode(&layout);
        let header = Header::read(&data, &Limits::default()).expect("a header");
        let calls = Cell::new(0);
        let count = || calls.replace(calls.get() + 1) >= 3;
        assert_eq!(header.decode(Scale::Half, 0..u32::MAX, count).err(), Some(Error::Cancelled));
        assert_eq!(calls.take(), 4);
        let never = || calls.replace(calls.get() + 1) > 100_000;
        header.decode(Scale::Eighth, 0..u32::MAX, never).expect("planes");
        assert!(calls.get() >= asked, "{} calls", calls.get());
    }
}

#[test]
fn rows_below_the_last_wanted_are_not_decoded() {
    let picture = picture();
    let data = picture.encode(&picture.baseline());
    let header = Header::read(&data, &Limits::default()).expect("a header");
    let calls = Cell::new(0);
    header.decode(Scale::Full, 16..32, || calls.replace(calls.get() + 1) > 100).expect("planes");
    assert_eq!(calls.get(), 2, "rows of MCUs");
}

#[test]
fn rows_above_the_first_wanted_are_left_out_where_restart_markers_lead_past_them() {
    let picture = picture();
    for (restart_interval, rows_of_mcus) in [(10, 2), (15, 3), (40, 4), (0, 12)] {
        let data = picture.encode(&Layout { restart_interval, ..picture.baseline() });
        let header = Header::read(&data, &Limits::default()).expect("a header");
        let calls = Cell::new(0);
        // The eleventh and the twelfth row of MCUs, which are ten wide.
        header.decode(Scale::Full, 160..192, || calls.replace(calls.get() + 1) > 100).expect("planes");
        assert_eq!(calls.get(), rows_of_mcus, "restart interval {restart_interval}");
    }
}

#[test]
fn a_wrong_restart_marker_above_the_first_wanted_row_is_not_followed() {
    let picture = picture();
    let data = picture.encode(&Layout { restart_interval: 10, ..picture.baseline() });
    let restarts = restarts(&data);
    // Without the marker at the end of the first row, the others would lead to a row too low.
    let damaged = [&data[..restarts[0]], &data[restarts[0] + 2..]].concat();
    let header = Header::read(&damaged, &Limits::default()).expect("a header");
    let whole = decode(&damaged, Scale::Full).expect("planes");
    let part = header.decode(Scale::Full, 160..192, || false).expect("planes");
    assert_eq!(part.planes[0].data, whole.planes[0].data[160 * 160..192 * 160]);
}

#[test]
fn scans_that_a_scale_does_not_need_are_not_decoded() {
    let picture = picture();
    let data = picture.encode(&picture.progressive());
    let header = Header::read(&data, &Limits::default()).expect("a header");
    let calls = Cell::new(0);
    header.decode(Scale::Eighth, 0..u32::MAX, || calls.replace(calls.get() + 1) > 1000).expect("planes");
    // Two scans of 20 rows bring the DC coefficients, fifteen others are passed over, and 80 rows of blocks come out.
    assert_eq!(calls.get(), 2 * 20 + 15 + 80);
}
