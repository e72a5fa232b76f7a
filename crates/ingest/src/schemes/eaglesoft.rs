//! The scheme `eaglesoft`: events of an Eaglesoft practice, sent by a bridge.
//!
//! Eaglesoft has no public API. What calls here is a bridge: NexHealth, or an agent of the practice that signs with
//! `X-Eaglesoft-Signature`. How it proves itself, what becomes of it and how repeats are recognised is told in
//! [`super::bridge`]. Answer: 202; deadlines are the bridge's own.
//!
//! Source: <https://docs.nexhealth.com/docs/supported-health-record-systems.md>, read in 2026. Nobody publishes vectors.

use super::bridge::Bridge;
use super::{InvalidScheme, Parts};

pub(super) fn prepare(parts: &Parts<'_>) -> Result<Bridge, InvalidScheme> {
    Bridge::new(parts, "x-eaglesoft-signature")
}
