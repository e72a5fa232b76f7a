//! Svix: the signatures of Standard Webhooks under names of its own.

use http::{HeaderMap, HeaderName};

use super::{Call, put, standard};

pub(super) fn write(headers: &mut HeaderMap, call: &Call<'_>) {
    put(headers, HeaderName::from_static("svix-id"), call.message.id);
    put(headers, HeaderName::from_static("svix-timestamp"), &call.timestamp);
    put(headers, HeaderName::from_static("svix-signature"), &standard::signatures(call));
}
