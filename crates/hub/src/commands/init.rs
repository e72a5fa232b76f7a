//! `trunkline init DIR`: writes a commented configuration and a fresh secret, and says what to do next.
//!
//! Nothing that is there is overwritten. The secret's file is readable by its owner alone.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use trunkline_config::{DEFAULT_PATH, default_file};

use crate::cli::InitArgs;
use crate::client::signature;
use crate::exit::{Exit, Fault};
use crate::terminal::{Terminal, Tone, cell};

const SECRET_PATH: &str = "secrets/example";

/// The first webhook, signed by the shell itself so that it works at any time.
const FIRST_WEBHOOK: &str = r#"  body='{"type":"appointment.created","data":{"id":7}}'
  id=msg_$(date +%s) ts=$(date +%s)
  key=$(sed 's/^whsec_//' secrets/example | base64 -d | od -An -v -tx1 | tr -d ' \n')
  signature=$(printf '%s' "$id.$ts.$body" | openssl dgst -sha256 -mac HMAC -macopt hexkey:$key -binary | base64)
  curl -i http://127.0.0.1:8080/in/example -H 'content-type: application/json' \
    -H "webhook-id: $id" -H "webhook-timestamp: $ts" -H "webhook-signature: v1,$signature" -d "$body""#;

/// Writes the files.
///
/// # Errors
/// A refusal when one of them is there, or whatever the system says.
pub fn run(args: &InitArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    let (config, secret) = (args.dir.join(DEFAULT_PATH), args.dir.join(SECRET_PATH));
    for path in [&config, &secret] {
        if path.exists() {
            let message = format!("{} exists already; nothing was changed", path.display());
            return Err(
                Fault::new(Exit::Refused, message, "choose another directory, or remove the file").into()
            );
        }
    }
    let secrets = args.dir.join("secrets");
    fs::create_dir_all(&secrets).with_context(|| format!("cannot make {}", secrets.display()))?;
    let value = signature::fresh_secret()?;
    write_new(&secret, &format!("{}\n", value.expose()), 0o600)?;
    write_new(&config, &default_file(&format!("file:{SECRET_PATH}")), 0o644)?;

    let tick = cell("✓", Tone::Good);
    terminal.line(format_args!("{tick} {}  the configuration, every key explained", config.display()));
    terminal.line(format_args!("{tick} {}  a fresh signing secret, for your eyes only", secret.display()));
    terminal.line("");
    terminal.line(cell("Next:", Tone::Strong));
    let dir = args.dir.display();
    terminal.line(format_args!("  cd {dir} && trunkline serve      # prints the first admin token once"));
    terminal.line("");
    terminal.line(cell("Then, in another shell in the same directory, a first webhook:", Tone::Strong));
    terminal.line(FIRST_WEBHOOK);
    terminal.line("");
    terminal.line(cell("And what became of it:", Tone::Strong));
    terminal.line("  export TRUNKLINE_TOKEN=tlk_…         # the token that serve printed");
    terminal.line("  trunkline event tail");
    terminal.line("  trunkline event journey ID");
    Ok(Exit::Done)
}

fn write_new(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use trunkline_config::Env;

    use super::*;
    use crate::cli::ConfigArgs;
    use crate::commands::check;

    #[test]
    fn what_init_writes_passes_check_and_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let args = InitArgs { dir: dir.path().join("hub") };
        let terminal = Terminal::buffer();
        assert_eq!(run(&args, &terminal).unwrap(), Exit::Done);
        let secret = args.dir.join(SECRET_PATH);
        assert_eq!(fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
        let value = fs::read_to_string(&secret).unwrap();
        assert!(value.starts_with("whsec_") && !terminal.printed().contains(value.trim()));

        let config = ConfigArgs { config: Some(args.dir.join(DEFAULT_PATH)), data_dir: None };
        assert_eq!(check::run(&config, &Env::default(), &terminal).unwrap(), Exit::Done);

        let again = run(&args, &terminal).unwrap_err();
        assert_eq!(Fault::of(&again).0, Exit::Refused);
        assert_eq!(fs::read_to_string(&secret).unwrap(), value);
    }
}
