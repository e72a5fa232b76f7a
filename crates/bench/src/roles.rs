//! The yardsticks that run as processes of their own: a server that only answers 202, and a sink for deliveries.

use std::net::SocketAddr;

use axum::http::StatusCode;
use axum::routing::post;
use bytes::Bytes;

use crate::process::Running;
use crate::{Plan, sink};

/// Which yardstick to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Reads each POST and answers 202.
    BareServer,
    /// Reads each POST, counts it and answers 200; `GET /count` gives the count, `GET /latency` how long they took.
    Sink,
}

/// Serves a role until the process is killed.
pub async fn serve(role: Role, addr: SocketAddr) -> anyhow::Result<()> {
    let app = match role {
        Role::BareServer => {
            axum::Router::new().route("/in/{source}", post(|_body: Bytes| async { StatusCode::ACCEPTED }))
        }
        Role::Sink => sink::router(),
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

/// Starts a yardstick in a process of its own.
pub(crate) async fn start(plan: &Plan, role: &str, addr: SocketAddr) -> anyhow::Result<Running> {
    let args = ["bench", "--role", role, "--role-listen", &addr.to_string()].map(str::to_owned);
    Running::start(&plan.program, &args, &[], addr).await
}
