//! Secrets and the references that name them in the configuration. A reference is checked when the
//! configuration is loaded and resolved again by whoever needs the value; the value has no `Display`
//! and a redacted `Debug`.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::env::Env;
use crate::error::Problem;

/// Largest secret file accepted, in bytes: enough for any key, small enough to notice a wrong path.
const FILE_LIMIT_BYTES: u64 = 64 * 1024;

/// Holds a secret's value. Compare values in constant time, never with `==` on [`Secret::expose`].
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// Returns the value itself; the word is meant to stand out in reviews.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Names where a secret's value is kept.
#[derive(Debug, Clone)]
pub enum SecretRef {
    /// `env:NAME`: an environment variable.
    Env(String),
    /// `file:PATH`: a file; a relative path starts at the configuration file's directory, and line
    /// breaks at the end of the file are dropped.
    File(PathBuf),
    /// `vault:NAME`: an entry of the vault.
    Vault(String),
    /// The value itself, written into the configuration.
    Literal(Secret),
}

/// Says why a secret could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The variable does not exist or is not UTF-8.
    #[error("environment variable {name} is not set")]
    VariableMissing {
        /// Name of the variable.
        name: String,
    },
    /// The variable exists with nothing in it.
    #[error("environment variable {name} is empty")]
    VariableEmpty {
        /// Name of the variable.
        name: String,
    },
    /// The file cannot be opened or read, or is not UTF-8.
    #[error("secret file {} cannot be read", path.display())]
    FileUnreadable {
        /// Path after joining with the configuration file's directory.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file has nothing in it.
    #[error("secret file {} is empty", path.display())]
    FileEmpty {
        /// Path after joining with the configuration file's directory.
        path: PathBuf,
    },
    /// The file is too large to be a secret.
    #[error("secret file {} is larger than {FILE_LIMIT_BYTES} bytes", path.display())]
    FileTooLarge {
        /// Path after joining with the configuration file's directory.
        path: PathBuf,
    },
    /// The reference names a vault entry and there is no vault.
    #[error("no vault configured in this version")]
    NoVault,
}

impl SecretError {
    /// Says what to do about it, as one sentence without a full stop.
    pub fn fix(&self) -> String {
        match self {
            Self::VariableMissing { name } | Self::VariableEmpty { name } => {
                format!("set {name} in the environment the hub starts in, or use `file:PATH`")
            }
            Self::FileUnreadable { path, source } => {
                format!("make {} a text file the hub may read ({source})", path.display())
            }
            Self::FileEmpty { path } | Self::FileTooLarge { path } => {
                format!("put the secret, and only it, into {}", path.display())
            }
            Self::NoVault => "use `env:NAME` or `file:PATH`".to_owned(),
        }
    }
}

impl SecretRef {
    /// Reads a reference; `base_dir` is where relative `file:` paths start.
    pub(crate) fn parse(text: &str, base_dir: &Path) -> Result<Self, Problem> {
        if let Some(name) = text.strip_prefix("env:") {
            let first = |c: char| c.is_ascii_alphabetic() || c == '_';
            if name.starts_with(first) && name.chars().all(|c| first(c) || c.is_ascii_digit()) {
                return Ok(Self::Env(name.to_owned()));
            }
            return Err(Problem::new(
                "`env:` must be followed by the name of an environment variable",
                "write `env:NAME` with letters, digits and underscores",
            ));
        }
        if let Some(path) = text.strip_prefix("file:") {
            if path.is_empty() || path.contains('\0') {
                return Err(Problem::new("`file:` must be followed by a path", "write `file:PATH`"));
            }
            return Ok(Self::File(base_dir.join(path)));
        }
        if let Some(name) = text.strip_prefix("vault:") {
            return Ok(Self::Vault(name.to_owned()));
        }
        if text.is_empty() {
            return Err(Problem::new("is empty", "write `env:NAME` or `file:PATH`"));
        }
        Ok(Self::Literal(Secret::new(text)))
    }

    /// Returns the value the reference stands for.
    ///
    /// # Errors
    /// When the variable or file is missing, empty or unreadable, and for every `vault:` reference.
    pub fn resolve(&self, env: &Env) -> Result<Secret, SecretError> {
        match self {
            Self::Env(name) => match env.get(name) {
                None => Err(SecretError::VariableMissing { name: name.clone() }),
                Some("") => Err(SecretError::VariableEmpty { name: name.clone() }),
                Some(value) => Ok(Secret::new(value)),
            },
            Self::File(path) => read_file(path),
            Self::Vault(_) => Err(SecretError::NoVault),
            Self::Literal(secret) => Ok(secret.clone()),
        }
    }
}

fn read_file(path: &Path) -> Result<Secret, SecretError> {
    let unreadable = |source| SecretError::FileUnreadable { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut text = String::new();
    file.take(FILE_LIMIT_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > FILE_LIMIT_BYTES {
        return Err(SecretError::FileTooLarge { path: path.to_owned() });
    }
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(SecretError::FileEmpty { path: path.to_owned() }),
        value => Ok(Secret::new(value)),
    }
}
