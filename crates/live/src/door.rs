//! What live connections ask of the rest of the hub: who somebody is, whether an event may be stored, and what becomes of positions. A seam, so that the
//! rules for tokens and events stay in one place, and tests stand in for it.

use futures_util::future::BoxFuture;
use serde_json::Value;
use trunkline_model::{ErrorCode, Event, FieldError};

use crate::principal::Principal;

/// With what somebody shows who they are.
#[derive(Clone, Copy)]
pub enum Credential<'a> {
    /// An API token.
    Token(&'a str),
    /// A ticket, good once.
    Ticket(&'a str),
}

/// A refusal as callers get it.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The catalogue code.
    pub code: ErrorCode,
    /// What is wrong.
    pub detail: String,
    /// Every bad field.
    pub errors: Vec<FieldError>,
}

impl Refusal {
    /// A refusal without bad fields.
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new() }
    }
}

/// The rest of the hub.
pub trait Door: Send + Sync + 'static {
    /// Says who somebody is. A ticket is used up.
    fn admit<'a>(&'a self, credential: Credential<'a>) -> BoxFuture<'a, Result<Principal, Refusal>>;

    /// Holds an event against the limits and the catalogue before it is stored.
    fn judge(&self, event: Event) -> BoxFuture<'_, Result<Event, Refusal>>;

    /// Takes positions of a driver; gives an object with the `items` that say what became of each.
    fn take_positions<'a>(
        &'a self,
        principal: &'a Principal,
        driver_id: &'a str,
        positions: Value,
    ) -> BoxFuture<'a, Result<Value, Refusal>>;
}
