//! The terminal: the only place that prints. Commands hand over text, tables and steps; this decides on colour, alignment
//! and what a closed pipe means.
//!
//! Colours appear only on a terminal and never with `NO_COLOR`. Text that came from outside (event types, subjects, error
//! texts of endpoints) passes through [`printable`], so that nobody can send escape sequences to an operator's screen.
//! `Debug`-like output of errors is not printed: [`Terminal::failure`] writes the message, its causes and what to do.

use std::fmt::{self, Display, Write as _};
use std::io::Write as _;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::builder::styling::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressStyle};

use crate::exit::{Exit, Fault};

/// How a piece of text is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tone {
    /// Nothing special.
    #[default]
    Plain,
    /// It went well.
    Good,
    /// Someone should look.
    Warn,
    /// It went wrong.
    Bad,
    /// Of less weight.
    Dim,
    /// Of more weight.
    Strong,
    /// A name or an id.
    Name,
}

impl Tone {
    const fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Warn => AnsiColor::Yellow.on_default(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
            Self::Dim => Style::new().dimmed(),
            Self::Strong => Style::new().bold(),
            Self::Name => AnsiColor::Cyan.on_default(),
        }
    }
}

/// Text with a tone. Control characters of the text are replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    text: String,
    tone: Tone,
}

/// Text with a tone.
pub fn cell(text: impl Display, tone: Tone) -> Cell {
    Cell { text: printable(&text.to_string()), tone }
}

impl Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let style = self.tone.style();
        write!(f, "{style}{}{style:#}", self.text)
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        cell(text.as_ref(), Tone::Plain)
    }
}

/// The text with every control character replaced, so that it cannot steer a terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Where a command prints. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Terminal {
    /// Tests read what was printed; `None` prints to the process's own streams.
    buffer: Option<Arc<Mutex<String>>>,
    is_closed: Arc<AtomicBool>,
}

impl Terminal {
    /// The process's standard output and error.
    pub fn process() -> Self {
        Self::default()
    }

    /// Keeps what is printed, without colours, for tests.
    pub fn buffer() -> Self {
        Self { buffer: Some(Arc::default()), ..Self::default() }
    }

    /// What was printed so far into a [`Terminal::buffer`].
    pub fn printed(&self) -> String {
        self.buffer.as_ref().and_then(|buffer| Some(buffer.lock().ok()?.clone())).unwrap_or_default()
    }

    /// Whether the reader of standard output has gone away. Commands that go on for ever look at it.
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    /// Prints a line to standard output.
    pub fn line(&self, text: impl Display) {
        if let Some(buffer) = &self.buffer {
            keep(buffer, &text);
            return;
        }
        let mut out = anstream::stdout().lock();
        if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
            self.is_closed.store(true, Ordering::Relaxed);
        }
    }

    /// Prints a remark to standard error, so that it does not mix with the result.
    pub fn note(&self, text: impl Display) {
        if let Some(buffer) = &self.buffer {
            keep(buffer, &text);
            return;
        }
        // Nobody is left to be told when standard error is gone.
        let _ = writeln!(anstream::stderr().lock(), "{text}");
    }

    /// Prints JSON, indented.
    pub fn json(&self, value: &serde_json::Value) {
        self.line(format_args!("{value:#}"));
    }

    /// Prints a table. Every row has as many cells as there are titles.
    pub fn table(&self, titles: &[&str], rows: &[Vec<Cell>]) {
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.text.chars().count());
            cells.chain([titles[column].chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..titles.len()).map(width).collect();
        let head: Vec<Cell> = titles.iter().map(|title| cell(title, Tone::Strong)).collect();
        for row in std::iter::once(&head).chain(rows) {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let is_last = column + 1 == row.len();
                let padding = if is_last { 0 } else { width - cell.text.chars().count() + 2 };
                // Writing to a string does not fail.
                let _ = write!(line, "{cell}{:padding$}", "");
            }
            self.line(line);
        }
    }

    /// Prints why a command failed, what caused it and what to do; gives the exit code.
    pub fn failure(&self, error: &anyhow::Error) -> Exit {
        let (exit, fix) = Fault::of(error);
        let label = cell("error", Tone::Bad);
        let mut causes = error.chain();
        self.note(format_args!("{label}: {}", multi_line(causes.next())));
        for cause in causes {
            self.note(format_args!("  {}: {}", cell("caused by", Tone::Dim), multi_line(Some(cause))));
        }
        if let Some(fix) = fix {
            self.note(format_args!("  {}: {fix}", cell("what to do", Tone::Good)));
        }
        exit
    }

    /// A progress bar for `n_total` units; hidden when standard error is no terminal.
    pub fn progress(&self, label: &'static str, n_total: u64) -> ProgressBar {
        if self.buffer.is_some() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new(n_total).with_message(label);
        match ProgressStyle::with_template("{msg} [{bar:32}] {percent:>3}% {elapsed}") {
            Ok(style) => bar.with_style(style.progress_chars("=> ")),
            Err(_) => bar,
        }
    }
}

/// Error texts may have several lines, each of which is made harmless on its own.
fn multi_line(error: Option<&(dyn std::error::Error + 'static)>) -> String {
    let text = error.map(ToString::to_string).unwrap_or_default();
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}

fn keep(buffer: &Mutex<String>, text: &impl Display) {
    if let Ok(mut buffer) = buffer.lock() {
        let plain = anstream::adapter::strip_str(&text.to_string()).to_string();
        buffer.push_str(&plain);
        buffer.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_the_screen() {
        let terminal = Terminal::buffer();
        terminal.line(cell("a\u{1b}[31mb\u{7}", Tone::Good));
        assert_eq!(terminal.printed(), "a\u{fffd}[31mb\u{fffd}\n");
    }

    #[test]
    fn tables_are_aligned() {
        let terminal = Terminal::buffer();
        terminal.table(&["id", "name"], &[vec!["1".into(), "one".into()], vec!["100".into(), "x".into()]]);
        assert_eq!(terminal.printed(), "id   name\n1    one\n100  x\n");
    }

    #[test]
    fn a_failure_shows_causes_and_what_to_do() {
        let terminal = Terminal::buffer();
        let error = anyhow::Error::new(std::io::Error::other("disk on fire")).context(Fault::new(
            Exit::Refused,
            "no backup was made",
            "put the fire out",
        ));
        assert_eq!(terminal.failure(&error), Exit::Refused);
        let printed = terminal.printed();
        assert!(printed.contains("error: no backup was made"), "{printed}");
        assert!(printed.contains("caused by: disk on fire"), "{printed}");
        assert!(printed.contains("what to do: put the fire out"), "{printed}");
    }
}
