//! What a NATS server says: no bytes make the reader panic, it ends, keeps nothing beyond its limits, and reads the same in
//! whatever pieces they come.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;

/// The reader is private to its crate and needs nothing of it.
#[allow(dead_code)]
#[path = "../../crates/sinks/src/kinds/nats/protocol.rs"]
mod protocol;

use protocol::{Fault, Headers, ServerOp, next_op, publish_head};

/// Everything that can be read, and why reading ended early.
fn read<'b>(pieces: impl Iterator<Item = &'b [u8]>) -> (Vec<ServerOp>, Option<Fault>) {
    let (mut received, mut ops) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        received.extend_from_slice(piece);
        loop {
            let before = received.len();
            match next_op(&mut received) {
                Ok(Some(op)) => ops.push(op),
                Ok(None) => break,
                Err(fault) => return (ops, Some(fault)),
            }
            assert!(received.len() < before, "an operation of no bytes");
        }
    }
    (ops, None)
}

fuzz_target!(|input: (u8, String, String, &[u8])| {
    let (size, name, value, bytes) = input;
    let whole = read([bytes].into_iter());
    assert_eq!(whole, read(bytes.chunks(usize::from(size) + 1)));
    for op in &whole.0 {
        if let ServerOp::Message(message) = op {
            assert!(message.payload.len() <= 64 * 1024 && message.status.is_none_or(|status| status < 1000));
        }
    }
    // What we write has as many bytes as it says, whatever the value.
    let mut headers = Headers::new();
    headers.add("x", &value);
    let block = headers.finish();
    assert_eq!(block.windows(2).filter(|pair| pair == b"\r\n").count(), 3);
    let head = publish_head("s", "", &block, name.len());
    assert!(head.ends_with(&block));
});
