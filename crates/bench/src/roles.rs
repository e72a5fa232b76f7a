//! The yardsticks that run as processes of their own: a server that only answers 202, and a sink for deliveries.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::StatusCode;
use axum::routing::{get, post};
use bytes::Bytes;

/// Which yardstick to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Reads each POST and answers 202.
    BareServer,
    /// Reads each POST, counts it and answers 200; `GET /count` gives the count.
    Sink,
}

/// Serves a role until the process is killed.
pub async fn serve(role: Role, addr: SocketAddr) -> anyhow::Result<()> {
    let app = match role {
        Role::BareServer => {
            axum::Router::new().route("/in/{source}", post(|_body: Bytes| async { StatusCode::ACCEPTED }))
        }
        Role::Sink => {
            let count = Arc::new(AtomicU64::new(0));
            let read = Arc::clone(&count);
            axum::Router::new()
                .route(
                    "/",
                    post(move |_body: Bytes| {
                        count.fetch_add(1, Ordering::Relaxed);
                        async { StatusCode::OK }
                    }),
                )
                .route("/count", get(move || async move { read.load(Ordering::Relaxed).to_string() }))
        }
    };
    let socket = socket2::Socket::new(socket2::Domain::for_address(addr), socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(1024)?;
    let listener = tokio::net::TcpListener::from_std(socket.into())?;
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
        // Without it small answers wait for the peer's acknowledgement.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, app).await?;
    Ok(())
}
