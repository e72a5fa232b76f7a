//! Judges a kept call again: a refused one after its secret was mended, a quarantined one after the program learnt to
//! read it. Called by the API for an operator.
//!
//! A refused call is verified again as if it had just arrived when it did, so that its timestamp is still in the window.
//! The event gets the id that belongs to the call, so that judging twice at the same time appends once.

use bytes::Bytes;
use trunkline_model::{Coded, ErrorCode, Tenant};
use trunkline_store::tables::inbound::{
    InboundRow, Verdict, inbound_accept, inbound_get, inbound_set_reason,
};
use trunkline_store::{Commit, CommitError, Committed, NewEvent, ReadError, Seen, Statement};

use crate::judge::{Arrival, Judgement, judge, judge_named};
use crate::request_head;
use crate::router::Ingest;
use crate::schemes::{Call, Reading};
use crate::source::Source;

/// What judging again came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejudged {
    /// The call is an event now, or was one already.
    Accepted {
        /// The event's id.
        event_id: String,
    },
    /// The sender has sent the call again meanwhile and that one was accepted; nothing was appended.
    Repeat {
        /// The id of the accepted call.
        inbound_id: String,
    },
    /// Verified, but still not to be understood.
    Quarantined {
        /// Why.
        reason: String,
    },
    /// Still not verified.
    Rejected {
        /// Why.
        reason: String,
    },
}

/// The call could not be judged again.
#[derive(Debug, thiserror::Error)]
pub enum RejudgeError {
    /// No such call in this tenant.
    #[error("there is no such inbound request")]
    NotFound,
    /// The call's source is not configured any more, or belongs to another tenant.
    #[error("the source of the inbound request is not configured")]
    SourceGone,
    /// The body was too large to be kept.
    #[error("the body of the inbound request was too large to be kept")]
    BodyNotKept,
    /// The call could not be read.
    #[error("the inbound request could not be read")]
    Read(#[from] ReadError),
    /// The outcome could not be stored.
    #[error("the outcome could not be stored")]
    Commit(#[from] CommitError),
}

impl Coded for RejudgeError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::NotFound => ErrorCode::InboundNotFound,
            Self::SourceGone => ErrorCode::SourceNotFound,
            Self::BodyNotKept => ErrorCode::RequestInvalid,
            Self::Read(error) => error.code(),
            Self::Commit(error) => error.code(),
        }
    }
}

impl Ingest {
    /// Judges the kept call `id` of `tenant` again and appends its event if it is good now.
    ///
    /// # Errors
    /// `inbound.not_found`, `source.not_found`, `request.invalid` when the body was not kept, and those of the store.
    pub async fn rejudge(&self, tenant: &Tenant, id: &str) -> Result<Rejudged, RejudgeError> {
        let row = inbound_get(&self.shared.store, tenant, id).await?.ok_or(RejudgeError::NotFound)?;
        if let Some(event_id) = row.event_id {
            return Ok(Rejudged::Accepted { event_id });
        }
        let source = self
            .shared
            .source(&row.source)
            .filter(|source| source.origin.tenant() == tenant)
            .ok_or(RejudgeError::SourceGone)?;
        let body = row.body.clone().ok_or(RejudgeError::BodyNotKept)?;
        let outcome = plan(source, &row, &body);
        self.store_outcome(&row, outcome).await
    }

    async fn store_outcome(&self, row: &InboundRow, outcome: Outcome) -> Result<Rejudged, RejudgeError> {
        let Outcome { seen, judgement } = outcome;
        let note = |verdict, reason: &str| inbound_set_reason(&row.tenant, &row.id, verdict, reason);
        let commit = |statement: Statement, events| Commit {
            seen,
            statements: vec![statement],
            events,
            ..Commit::default()
        };
        let (commit, rejudged) = match judgement {
            Err(reason) => (commit(note(Verdict::Rejected, &reason), vec![]), Rejudged::Rejected { reason }),
            Ok(Judgement::Quarantine { reason }) => {
                (commit(note(Verdict::Quarantined, &reason), vec![]), Rejudged::Quarantined { reason })
            }
            Ok(Judgement::Event(mut event)) => {
                event.causationid.get_or_insert_with(|| row.id.as_str().to_owned());
                let event_id = event.id.as_str().to_owned();
                let events = vec![NewEvent::new(event, self.shared.clock.now())];
                let accept = inbound_accept(&row.tenant, &row.id, &event_id);
                (commit(accept, events), Rejudged::Accepted { event_id })
            }
        };
        match self.shared.store.commit(commit).await {
            Ok(Committed::Applied(_)) => Ok(rejudged),
            // Somebody else judged the same call between our reading and writing.
            Ok(Committed::Repeat { inbound_id }) if inbound_id == row.id.as_str() => {
                self.judged_meanwhile(row).await
            }
            Err(CommitError::Guard { .. }) => self.judged_meanwhile(row).await,
            Ok(Committed::Repeat { inbound_id }) => {
                let reason = format!("repeat of {inbound_id}");
                let note = note(row.verdict, &reason);
                self.shared.store.commit(Commit::statements(vec![note])).await?;
                Ok(Rejudged::Repeat { inbound_id })
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn judged_meanwhile(&self, row: &InboundRow) -> Result<Rejudged, RejudgeError> {
        let row = inbound_get(&self.shared.store, &row.tenant, row.id.as_str()).await?;
        let InboundRow { verdict, reason, event_id, .. } = row.ok_or(RejudgeError::NotFound)?;
        Ok(match (event_id, verdict) {
            (Some(event_id), _) => Rejudged::Accepted { event_id },
            (None, Verdict::Rejected) => Rejudged::Rejected { reason },
            (None, Verdict::Quarantined | Verdict::Accepted) => Rejudged::Quarantined { reason },
        })
    }
}

/// The verdict on a kept call: `Err` with the reason when it is not verified.
struct Outcome {
    seen: Option<Seen>,
    judgement: Result<Judgement, String>,
}

fn plan(source: &Source, row: &InboundRow, body: &Bytes) -> Outcome {
    let headers = request_head::parse(&row.head);
    let path = request_head::path(&row.head);
    let call = Call { path, ..Call::new(&headers, body, row.received_at) };
    let mut key = None;
    // A quarantined call was verified when it came, and holds its dedupe key already.
    if row.verdict == Verdict::Rejected {
        match source.verify(&call, request_head::address(&row.head)) {
            Err(refusal) => return Outcome { seen: None, judgement: Err(refusal.to_string()) },
            Ok(proof) => key = proof.dedupe_key,
        }
    }
    let arrival = Arrival { id: &row.id, headers: &headers, body, now: row.received_at };
    let judgement = match source.scheme.read(&call) {
        Reading::Plain => Ok(judge(&source.origin, &arrival)),
        Reading::Event(named) => {
            if row.verdict == Verdict::Rejected {
                key = key.or_else(|| named.dedupe_key.clone());
            }
            Ok(judge_named(&source.origin, &arrival, *named))
        }
        Reading::Handshake { .. } => Err("handshake, which nobody waits for any more".to_owned()),
    };
    let seen = key.map(|key| Seen {
        source: row.source.clone(),
        key,
        inbound_id: row.id.as_str().to_owned(),
        seen_at: row.received_at,
    });
    Outcome { seen, judgement }
}
