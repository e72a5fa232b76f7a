//! What stands in for chance: digests of a place, so that folding the records again comes to the same.

use ring::digest::{SHA256, digest};
use trunkline_model::Timestamp;

use super::Machine;
use crate::engine::state::{ROOT, Work};

/// The SHA-256 of some bytes in hexadecimal digits.
pub(crate) fn hex_digest(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}

/// The 32 digits of a UUIDv7 that is the same whenever it is made from the same time and seed.
pub(crate) fn derived_id(at: Timestamp, seed: &str) -> String {
    let hash = digest(&SHA256, seed.as_bytes());
    let mut bytes = [0_u8; 16];
    bytes.copy_from_slice(&hash.as_ref()[..16]);
    let millis = (at.as_micros() / 1000).max(0).to_be_bytes();
    bytes[..6].copy_from_slice(&millis[2..]);
    bytes[6] = 0x70 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    hex::encode(bytes)
}

impl Machine<'_> {
    /// The place of a frame: references, iterations and visits from the instance down to it. The same for every
    /// attempt of a `try` around it.
    pub(super) fn path_of(&self, mut frame: u32) -> String {
        let mut parts = Vec::new();
        while let Some(at) = self.state.frames.get(&frame) {
            if frame == ROOT {
                break;
            }
            if let Work::Undo { path } = &at.work {
                // Wherever a task is undone, the calls that do it are the same.
                parts.push(format!("{path}!"));
                break;
            }
            if let Some(task) = at.task {
                parts.push(format!("{}#{}", self.program.task(task).reference, at.visit));
            }
            frame = at.parent;
            match self.state.frames.get(&frame).map(|parent| &parent.work) {
                Some(Work::Loop { index, .. }) => parts.push(format!("[{index}]")),
                Some(Work::Listen(listening)) => parts.push(format!("[{}]", listening.n_handled)),
                _ => {}
            }
        }
        parts.reverse();
        parts.concat()
    }

    /// The key that calls outside carry: the same for every attempt, and after a crash.
    pub(super) fn key_of(&self, frame: u32) -> String {
        let place = format!("{}{}", self.state.id, self.path_of(frame));
        hex_digest(place.as_bytes())[..40].to_owned()
    }

    /// A fraction from 0 to 1 that looks like chance.
    pub(super) fn chance(&self, frame: u32, n: u32) -> f64 {
        let seed = format!("{}{}?{n}", self.state.id, self.path_of(frame));
        let hash = digest(&SHA256, seed.as_bytes());
        let mut bytes = [0_u8; 4];
        bytes.copy_from_slice(&hash.as_ref()[..4]);
        f64::from(u32::from_be_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derived_id_is_a_uuid_of_its_time() {
        let at = Timestamp::from_secs(1_700_000_000);
        let id = derived_id(at, "seed");
        assert_eq!(id, derived_id(at, "seed"));
        assert_ne!(id, derived_id(at, "other"));
        assert!(id < derived_id(Timestamp::from_secs(1_700_000_001), "seed"));
        assert_eq!((&id[12..13], id.len()), ("7", 32));
    }
}
