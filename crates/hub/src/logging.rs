//! Sets up the process's log: text for people or JSON for machines, on standard error, filtered by `[server] log_level`.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;
use trunkline_config::{LogFormat, ServerSettings};

/// Whether the log may be coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    /// On a terminal.
    Auto,
    /// Not at all: `NO_COLOR` is set.
    Never,
}

/// Starts the log.
///
/// # Errors
/// A filter that does not parse, or a log that was set up before.
pub(crate) fn start(settings: &ServerSettings, colour: Colour) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&settings.log_level).context("log_level is no filter")?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match settings.log_format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => {
            builder.with_ansi(colour == Colour::Auto && std::io::stderr().is_terminal()).try_init()
        }
    };
    started.map_err(|error| anyhow::anyhow!("the log cannot start: {error}"))
}
