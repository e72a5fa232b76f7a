//! `trunkline serve`: runs the hub until a signal, then drains it.
//!
//! The first SIGTERM or SIGINT begins the drain; the process then ends with 0 within `drain_timeout_s` and a little. A
//! second signal ends it at once with 130: what was acknowledged is on disk all the same.

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use trunkline_config::{Env, Settings};

use super::{on_runtime, several_threads};
use crate::cli::ServeArgs;
use crate::configuration;
use crate::exit::Exit;
use crate::logging::{self, Colour};
use crate::running::{self, worker_threads};
use crate::terminal::{Terminal, Tone, cell};

/// Serves.
///
/// # Errors
/// Whatever keeps the hub from starting.
pub fn run(args: ServeArgs, env: Env, terminal: &Terminal) -> anyhow::Result<Exit> {
    let settings = configuration::load(&args.config, args.listen, &env)?;
    let colour =
        if env.get("NO_COLOR").is_some_and(|value| !value.is_empty()) { Colour::Never } else { Colour::Auto };
    logging::start(&settings.server, colour)?;
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = several_threads(worker_threads(settings.server.threads))?;
    on_runtime(runtime, serve(settings, env, terminal))
}

async fn serve(settings: Settings, env: Env, terminal: &Terminal) -> anyhow::Result<Exit> {
    let mut signals = Signals::listen()?;
    let hub = tokio::select! {
        hub = running::start(settings, &env) => hub?,
        () = signals.next() => return Ok(Exit::Interrupted),
    };
    terminal.line(format_args!("listening on {}", hub.url()));
    if let Some(token) = hub.first_token() {
        terminal
            .line(format_args!("first admin token, shown this once: {}", cell(token.expose(), Tone::Name)));
    }
    signals.next().await;
    tracing::info!("signal received, draining");
    tokio::select! {
        () = hub.shutdown() => Ok(Exit::Done),
        () = signals.next() => {
            tracing::warn!("second signal, ending at once");
            Ok(Exit::Interrupted)
        }
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("signals cannot be received")?,
            interrupt: signal(SignalKind::interrupt()).context("signals cannot be received")?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
