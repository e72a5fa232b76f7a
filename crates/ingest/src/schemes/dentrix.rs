//! The scheme `dentrix`: events of a Dentrix practice, sent by a bridge.
//!
//! Dentrix sends no webhooks: the desktop product has no network API, and Dentrix Ascend only one to poll. What calls here is
//! a bridge: NexHealth, or an agent of the practice that signs with `X-Dentrix-Signature`. How it proves itself, what becomes
//! of it and how repeats are recognised is told in [`super::bridge`]. Answer: 202; deadlines are the bridge's own.
//!
//! Source: <https://ddp.dentrix.com/pages/faq>, <https://docs.nexhealth.com>, read in 2026. Nobody publishes vectors.

use super::bridge::Bridge;
use super::{InvalidScheme, Parts};

pub(super) fn prepare(parts: &Parts<'_>) -> Result<Bridge, InvalidScheme> {
    Bridge::new(parts, "x-dentrix-signature")
}
