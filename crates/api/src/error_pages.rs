//! The page of each error code, from `docs/errors/`, served at `/errors/{code}`. A code without a page does not compile.

use trunkline_model::ErrorCode;

/// The page of a code, in Markdown.
pub(crate) const fn page(code: ErrorCode) -> &'static str {
    use ErrorCode as C;
    match code {
        C::RequestMalformed => include_str!("../../../docs/errors/request.malformed.md"),
        C::RequestInvalid => include_str!("../../../docs/errors/request.invalid.md"),
        C::RequestTooLarge => include_str!("../../../docs/errors/request.too_large.md"),
        C::RequestUnsupportedMediaType => {
            include_str!("../../../docs/errors/request.unsupported_media_type.md")
        }
        C::RequestRouteNotFound => include_str!("../../../docs/errors/request.route_not_found.md"),
        C::RequestMethodNotAllowed => include_str!("../../../docs/errors/request.method_not_allowed.md"),
        C::RequestTimeout => include_str!("../../../docs/errors/request.timeout.md"),
        C::RequestRateLimited => include_str!("../../../docs/errors/request.rate_limited.md"),
        C::RequestIdempotencyMismatch => include_str!("../../../docs/errors/request.idempotency_mismatch.md"),
        C::RequestIdempotencyInProgress => {
            include_str!("../../../docs/errors/request.idempotency_in_progress.md")
        }
        C::AuthMissing => include_str!("../../../docs/errors/auth.missing.md"),
        C::AuthInvalid => include_str!("../../../docs/errors/auth.invalid.md"),
        C::AuthForbidden => include_str!("../../../docs/errors/auth.forbidden.md"),
        C::IngestUnauthorized => include_str!("../../../docs/errors/ingest.unauthorized.md"),
        C::SourceNotFound => include_str!("../../../docs/errors/source.not_found.md"),
        C::EventNotFound => include_str!("../../../docs/errors/event.not_found.md"),
        C::EventTooLarge => include_str!("../../../docs/errors/event.too_large.md"),
        C::EventTypeNotFound => include_str!("../../../docs/errors/event_type.not_found.md"),
        C::EventTypeExists => include_str!("../../../docs/errors/event_type.exists.md"),
        C::InboundNotFound => include_str!("../../../docs/errors/inbound.not_found.md"),
        C::EndpointNotFound => include_str!("../../../docs/errors/endpoint.not_found.md"),
        C::EndpointInactive => include_str!("../../../docs/errors/endpoint.inactive.md"),
        C::RecordNotFound => include_str!("../../../docs/errors/record.not_found.md"),
        C::RecordVersionConflict => include_str!("../../../docs/errors/record.version_conflict.md"),
        C::EndpointVersionConflict => include_str!("../../../docs/errors/endpoint.version_conflict.md"),
        C::DeliveryNotFound => include_str!("../../../docs/errors/delivery.not_found.md"),
        C::ReplayNotFound => include_str!("../../../docs/errors/replay.not_found.md"),
        C::DeliveryBlocked => include_str!("../../../docs/errors/delivery.blocked.md"),
        C::DeliveryNotPending => include_str!("../../../docs/errors/delivery.not_pending.md"),
        C::ReplayTooMany => include_str!("../../../docs/errors/replay.too_many.md"),
        C::EndpointTooMany => include_str!("../../../docs/errors/endpoint.too_many.md"),
        C::PollerTooMany => include_str!("../../../docs/errors/poller.too_many.md"),
        C::ReplayStateConflict => include_str!("../../../docs/errors/replay.state_conflict.md"),
        C::PollerNotFound => include_str!("../../../docs/errors/poller.not_found.md"),
        C::TaskNotFound => include_str!("../../../docs/errors/task.not_found.md"),
        C::TaskStateConflict => include_str!("../../../docs/errors/task.state_conflict.md"),
        C::TaskNotAllowed => include_str!("../../../docs/errors/task.not_allowed.md"),
        C::WorkflowNotFound => include_str!("../../../docs/errors/workflow.not_found.md"),
        C::WorkflowStateConflict => include_str!("../../../docs/errors/workflow.state_conflict.md"),
        C::WorkflowDefinitionNotFound => {
            include_str!("../../../docs/errors/workflow_definition.not_found.md")
        }
        C::WorkflowDefinitionExists => include_str!("../../../docs/errors/workflow_definition.exists.md"),
        C::WorkflowScheduleNotFound => include_str!("../../../docs/errors/workflow_schedule.not_found.md"),
        C::ClinicNotFound => include_str!("../../../docs/errors/clinic.not_found.md"),
        C::DriverNotFound => include_str!("../../../docs/errors/driver.not_found.md"),
        C::PositionNotFound => include_str!("../../../docs/errors/position.not_found.md"),
        C::LogisticsTaskNotFound => include_str!("../../../docs/errors/logistics_task.not_found.md"),
        C::PickupRecurrenceNotFound => include_str!("../../../docs/errors/pickup_recurrence.not_found.md"),
        C::PickupWindowRefused => include_str!("../../../docs/errors/pickup.window_refused.md"),
        C::RouteNotFound => include_str!("../../../docs/errors/route.not_found.md"),
        C::InvoiceNotFound => include_str!("../../../docs/errors/invoice.not_found.md"),
        C::LogisticsExists => include_str!("../../../docs/errors/logistics.exists.md"),
        C::LogisticsStateConflict => include_str!("../../../docs/errors/logistics.state_conflict.md"),
        C::LogisticsVersionConflict => include_str!("../../../docs/errors/logistics.version_conflict.md"),
        C::TokenNotFound => include_str!("../../../docs/errors/token.not_found.md"),
        C::TokenSelfRevocation => include_str!("../../../docs/errors/token.self_revocation.md"),
        C::DeadLetterNotFound => include_str!("../../../docs/errors/dead_letter.not_found.md"),
        C::StoreFull => include_str!("../../../docs/errors/store.full.md"),
        C::StoreUnavailable => include_str!("../../../docs/errors/store.unavailable.md"),
        C::HubBusy => include_str!("../../../docs/errors/hub.busy.md"),
        C::HubDraining => include_str!("../../../docs/errors/hub.draining.md"),
        C::ServerInternal => include_str!("../../../docs/errors/server.internal.md"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::problem::{status_of, title};

    #[test]
    fn every_page_belongs_to_a_code_and_fits_it() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
        let pages: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let codes: BTreeSet<String> = ErrorCode::ALL.iter().map(|code| format!("{code}.md")).collect();
        assert_eq!(pages, codes);
        for code in ErrorCode::ALL {
            let text = page(*code);
            let head =
                format!("# `{code}`\n\n{} · HTTP status {}\n", title(*code), status_of(*code).as_u16());
            assert!(text.starts_with(&head), "the page of {code} must begin with\n{head}");
            for part in ["## Cause", "## What to do", "## Trying again"] {
                assert!(text.contains(part), "the page of {code} lacks {part}");
            }
        }
    }
}
