//! What apps on phones send: no reader panics, and what is read has a place that can be looked at and figures that make sense.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trunkline_logistics::tracking::Sample;
use trunkline_logistics::tracking::formats::{osmand, owntracks, traccar};

fn check(sample: &Sample) {
    assert!(sample.speed_mps.is_none_or(|speed| speed >= 0.0 && speed.is_finite()));
    assert!(sample.course_deg.is_none_or(|course| (0.0..360.0).contains(&course)));
    assert!(sample.battery_pct.is_none_or(|percent| (0.0..=100.0).contains(&percent)));
}

fuzz_target!(|text: &str| {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    if let Ok(sample) = osmand::read(pairs) {
        check(&sample);
    }
    let Ok(value) = serde_json::from_str(text) else { return };
    if let Ok(Some(sample)) = owntracks::read(&value) {
        check(&sample);
    }
    if let Ok(sample) = traccar::read(&value) {
        check(&sample);
    }
});
