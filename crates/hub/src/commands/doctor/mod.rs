//! `trunkline doctor`: looks for what is wrong, one line per check, each with what to do.
//!
//! Looks and changes nothing: the store is opened for reading, beside a hub that may run on it. A check that fails ends the
//! command with exit code 3; warnings alone do not.

mod machine;
mod stored;

use serde_json::json;
use trunkline_config::{Env, Settings};

use crate::cli::DoctorArgs;
use crate::configuration;
use crate::exit::Exit;
use crate::terminal::{Terminal, Tone, cell};

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Ok,
    Warn,
    Fail,
}

impl Verdict {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }

    const fn tone(self) -> Tone {
        match self {
            Self::Ok => Tone::Good,
            Self::Warn => Tone::Warn,
            Self::Fail => Tone::Bad,
        }
    }
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) check: &'static str,
    pub(crate) verdict: Verdict,
    pub(crate) text: String,
    /// What to do; empty when nothing is.
    pub(crate) fix: String,
}

impl Finding {
    pub(crate) fn ok(check: &'static str, text: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, text: text.into(), fix: String::new() }
    }

    pub(crate) fn warn(check: &'static str, text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Warn, text: text.into(), fix: fix.into() }
    }

    pub(crate) fn fail(check: &'static str, text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Fail, text: text.into(), fix: fix.into() }
    }
}

/// Runs every check.
///
/// # Errors
/// None of the checks' failures; those are findings.
pub async fn run(args: &DoctorArgs, env: &Env, terminal: &Terminal) -> anyhow::Result<Exit> {
    let mut findings = Vec::new();
    if let Some(settings) = check_configuration(args, env, &mut findings) {
        findings.extend(machine::check(&settings, args).await);
        findings.extend(stored::check(&settings).await);
    }
    if args.json {
        let rows = findings.iter().map(|finding| {
            json!({ "check": finding.check, "verdict": finding.verdict.as_str(), "text": finding.text, "fix": finding.fix })
        });
        terminal.json(&rows.collect());
    } else {
        print(&findings, terminal);
    }
    let has_failed = findings.iter().any(|finding| finding.verdict == Verdict::Fail);
    Ok(if has_failed { Exit::Refused } else { Exit::Done })
}

fn print(findings: &[Finding], terminal: &Terminal) {
    for finding in findings {
        let verdict = cell(format!("{:<4}", finding.verdict.as_str()), finding.verdict.tone());
        let mut lines = finding.text.lines();
        let first = lines.next().unwrap_or_default();
        terminal.line(format_args!("{verdict}  {:<14} {}", finding.check, cell(first, Tone::Plain)));
        for line in lines {
            terminal.line(format_args!("{:21}{}", "", cell(line, Tone::Plain)));
        }
        if !finding.fix.is_empty() {
            terminal.line(format_args!("{:21}{} {}", "", cell("→", Tone::Dim), finding.fix));
        }
    }
}

fn check_configuration(args: &DoctorArgs, env: &Env, findings: &mut Vec<Finding>) -> Option<Settings> {
    let loaded = configuration::load(&args.config, None, env)
        .and_then(|settings| configuration::prepare_sources(&settings, env).map(|_| settings));
    match loaded {
        Ok(settings) => {
            let file =
                settings.file.as_ref().map_or("defaults, no file".to_owned(), |f| f.display().to_string());
            findings.push(Finding::ok("configuration", file));
            let warnings = settings.warnings.iter().map(|warning| {
                let place = format!("{}: {}: {}", warning.0.origin, warning.0.key, warning.0.problem);
                Finding::warn("configuration", place, warning.0.fix.clone())
            });
            findings.extend(warnings);
            Some(settings)
        }
        Err(fault) => {
            findings.push(Finding::fail("configuration", fault.message, fault.fix));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::ConfigArgs;

    async fn examine(config: ConfigArgs) -> (Exit, Vec<serde_json::Value>) {
        let terminal = Terminal::buffer();
        // Port 0 is always free, and a name under .invalid never resolves.
        let args = DoctorArgs { config, dns_name: "trunkline.invalid".to_owned(), json: true };
        let env: Env = [("TRUNKLINE_SERVER__LISTEN", "127.0.0.1:0")].into_iter().collect();
        let exit = run(&args, &env, &terminal).await.unwrap();
        (exit, serde_json::from_str(&terminal.printed()).unwrap())
    }

    fn verdict<'a>(findings: &'a [serde_json::Value], check: &str) -> &'a str {
        findings
            .iter()
            .find(|finding| finding["check"] == check)
            .and_then(|f| f["verdict"].as_str())
            .unwrap_or("none")
    }

    #[tokio::test]
    async fn a_fresh_directory_is_well_and_a_damaged_store_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let config = ConfigArgs { config: None, data_dir: Some(dir.path().to_owned()) };
        let (exit, findings) = examine(config.clone()).await;
        assert_eq!(verdict(&findings, "store"), "warn", "there is none yet: {findings:?}");
        assert_eq!(exit, Exit::Done, "{findings:?}");

        let options =
            trunkline_store::StoreOptions::new(format!("sqlite://{}/trunkline.db", dir.path().display()));
        trunkline_store::Store::open(options).await.unwrap().close().await;
        let (exit, findings) = examine(config.clone()).await;
        for check in ["configuration", "store", "deliveries", "dead letters", "clock", "listen"] {
            assert_eq!(verdict(&findings, check), "ok", "{check}: {findings:?}");
        }
        assert_eq!(exit, Exit::Done);

        std::fs::write(dir.path().join("trunkline.db"), "this was a database once, but something ate it")
            .unwrap();
        let (exit, findings) = examine(config).await;
        assert_eq!((exit, verdict(&findings, "store")), (Exit::Refused, "fail"));
    }

    #[tokio::test]
    async fn a_faulty_configuration_is_a_finding() {
        let config = ConfigArgs { config: Some("/nonexistent/trunkline.toml".into()), data_dir: None };
        let (exit, findings) = examine(config).await;
        assert_eq!((exit, findings.len()), (Exit::Refused, 1));
    }
}
