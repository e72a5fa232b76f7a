//! What lapin's errors mean. The broker's own reasons come as AMQP errors, everything else is the connection's end.

use lapin::ErrorKind;
use lapin::protocol::{AMQPError, AMQPErrorKind, AMQPHardError, AMQPSoftError};
use trunkline_model::Secret;

use crate::SinkError;
use crate::error::broker_text;

/// A failure to open connection or channel.
pub(super) fn of_open(error: &lapin::Error, password: &Secret) -> SinkError {
    match error.kind() {
        ErrorKind::ProtocolError(said) => of_broker(said, password),
        _ => of_connection(error),
    }
}

/// A failure to publish a message of `n_bytes`.
pub(super) fn of_publish(error: &lapin::Error, n_bytes: usize, password: &Secret) -> SinkError {
    match error.kind() {
        ErrorKind::ProtocolError(said) => match oversize(said.get_message().as_str()) {
            Some(limit) => SinkError::TooLarge { size_bytes: n_bytes, limit_bytes: Some(limit) },
            None => of_broker(said, password),
        },
        _ => of_connection(error),
    }
}

fn of_broker(said: &AMQPError, password: &Secret) -> SinkError {
    let text = broker_text(said.get_message().as_str(), &[password]);
    let text = format!("the broker answered {} {text}", said.get_id());
    match said.kind() {
        AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED)
        | AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) => SinkError::Auth(text),
        AMQPErrorKind::Hard(
            AMQPHardError::FRAMEERROR
            | AMQPHardError::SYNTAXERROR
            | AMQPHardError::COMMANDINVALID
            | AMQPHardError::UNEXPECTEDFRAME,
        ) => SinkError::Protocol(text),
        _ => SinkError::refused(text),
    }
}

fn of_connection(error: &lapin::Error) -> SinkError {
    match error.kind() {
        ErrorKind::IOError(io) => SinkError::of_io(std::io::Error::new(io.kind(), std::sync::Arc::clone(io))),
        ErrorKind::ParsingError(_)
        | ErrorKind::InvalidProtocolVersion(_)
        | ErrorKind::InvalidChannel(_)
        | ErrorKind::SerialisationError(_) => {
            SinkError::Protocol("the peer does not speak amqp 0-9-1 as expected".to_owned())
        }
        _ => SinkError::reset(error.clone()),
    }
}

/// The limit in RabbitMQ's `message size 9 is larger than configured max size 8`.
fn oversize(text: &str) -> Option<usize> {
    let (_, limit) = text.split_once("message size ")?.1.split_once("max size ")?;
    let digits = limit.find(|c: char| !c.is_ascii_digit()).unwrap_or(limit.len());
    limit.get(..digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(id: u16, text: &str) -> lapin::Error {
        let error = AMQPError::from_id(id, text.into()).unwrap();
        ErrorKind::ProtocolError(error).into()
    }

    fn check(id: u16, text: &str, class: &str) {
        let error = of_publish(&said(id, text), 9, &Secret::new("canary"));
        assert_eq!(error.class(), class, "{error}");
        assert!(!format!("{error} {error:?}").contains("canary"));
    }

    #[test]
    fn reasons_have_classes() {
        check(403, "ACCESS_REFUSED - canary may not write", "auth");
        check(530, "NOT_ALLOWED - access to vhost '/' refused for user 'x'", "auth");
        check(404, "NOT_FOUND - no exchange 'nope' in vhost '/'", "refused");
        check(320, "CONNECTION_FORCED - broker forced connection closure", "refused");
        check(503, "COMMAND_INVALID", "protocol");
    }

    #[test]
    fn a_large_message_is_told_with_its_limit() {
        let text = "PRECONDITION_FAILED - message size 9 is larger than configured max size 8";
        let error = of_publish(&said(406, text), 9, &Secret::new("x"));
        assert!(matches!(error, SinkError::TooLarge { size_bytes: 9, limit_bytes: Some(8) }), "{error}");
        assert_eq!(oversize("message size 9 is larger than max size 8 set in rabbitmq.conf"), Some(8));
        assert_eq!(oversize("message size 9 max size x"), None);
    }
}
