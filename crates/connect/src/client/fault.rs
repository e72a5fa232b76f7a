//! Turns hyper's errors into [`SendError`]s by walking their sources. Called by the client only.

use std::error::Error;
use std::io;
use std::sync::Arc;

use crate::{Cause, SendError};
use http::StatusCode;

enum Fault {
    /// The connection ended.
    Reset,
    Tls,
    Protocol,
}

/// An error of the exchange up to the response head.
pub(super) fn before_head(error: hyper::Error) -> SendError {
    let fault = judge(&error);
    let cause: Cause = Arc::new(error);
    match fault {
        Fault::Reset => SendError::Reset(cause),
        Fault::Tls => SendError::Tls(cause),
        Fault::Protocol => SendError::Protocol(cause),
    }
}

/// An error while the body was read.
pub(super) fn in_body(error: hyper::Error, status: StatusCode) -> SendError {
    let fault = judge(&error);
    let source: Cause = Arc::new(error);
    match fault {
        Fault::Reset => SendError::BodyReset { status, source },
        Fault::Tls => SendError::Tls(source),
        Fault::Protocol => SendError::BodyProtocol { status, source },
    }
}

fn judge(error: &(dyn Error + 'static)) -> Fault {
    for error in chain(error) {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return judge_io(io);
        }
        if let Some(http) = error.downcast_ref::<hyper::Error>() {
            if http.is_parse() {
                return Fault::Protocol;
            }
            if http.is_incomplete_message() || http.is_closed() || http.is_canceled() {
                return Fault::Reset;
            }
        }
    }
    Fault::Protocol
}

fn judge_io(error: &io::Error) -> Fault {
    use io::ErrorKind as Kind;
    if error.get_ref().is_some_and(<dyn Error + Send + Sync>::is::<rustls::Error>) {
        return Fault::Tls;
    }
    match error.kind() {
        Kind::InvalidData | Kind::InvalidInput => Fault::Protocol,
        _ => Fault::Reset,
    }
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}
