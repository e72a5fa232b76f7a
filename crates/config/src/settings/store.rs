//! `[store]`: the database everything durable lives in. Used by the store; the URL of a PostgreSQL
//! database may hold a password and is therefore a [`Secret`].
//!
//! A relative SQLite path starts at the configuration file's directory, or at the working directory
//! when it comes from a variable. With `--data-dir DIR` its file name is used inside DIR instead.

use std::path::{Path, PathBuf};

use crate::error::{Origin, Problem};
use crate::reader::{Located, Section, bounds};
use crate::secret::{Secret, SecretRef};

const DEFAULT_PATH: &str = "data/trunkline.db";
const WRITE_EITHER: &str = "write sqlite://data/trunkline.db, sqlite:///absolute/path.db or \
                            postgres://user@host/database (also as env:NAME or file:PATH)";

/// Says which database the store is.
#[derive(Debug, Clone)]
pub enum StoreUrl {
    /// A SQLite file, its path ready to open.
    Sqlite(PathBuf),
    /// A PostgreSQL connection URL, as given.
    Postgres(Secret),
}

impl StoreUrl {
    /// Returns the path of the SQLite file.
    pub fn sqlite_path(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(path) => Some(path),
            Self::Postgres(_) => None,
        }
    }

    /// Returns a text for people: the SQLite path, or only the word `postgres`.
    pub fn redacted(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("sqlite://{}", path.display()),
            Self::Postgres(_) => "postgres://…".to_owned(),
        }
    }
}

/// Holds `[store]`.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    /// `url`: `sqlite://relative/path`, `sqlite:///absolute/path` or `postgres://…`. Default
    /// `sqlite://data/trunkline.db`.
    pub url: StoreUrl,
    /// `max_bytes`: ceiling of the SQLite file, from 1 MiB; reached means that writes are refused. Default
    /// none.
    pub max_bytes: Option<u64>,
    /// `pool_size`: PostgreSQL connections, 1 to 1000. Default 8.
    pub pool_size: usize,
    /// `read_connections`: SQLite connections for reading, 1 to 64. Default 4.
    pub read_connections: usize,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            url: StoreUrl::Sqlite(PathBuf::from(DEFAULT_PATH)),
            max_bytes: None,
            pool_size: 8,
            read_connections: 4,
        }
    }
}

impl StoreSettings {
    pub(crate) fn read(mut section: Section<'_>, data_dir: Option<&Path>) -> Self {
        let s = &mut section;
        let d = Self::default();
        let url = read_url(s, data_dir);
        let max_bytes = s.number_opt("max_bytes", bounds(1024 * 1024, i64::MAX as u64, "bytes"));
        if let (StoreUrl::Postgres(_), Some(_)) = (&url, max_bytes) {
            let origin = s.origin();
            let fix = "remove it, or limit the database on the server";
            s.warn("max_bytes", origin, Problem::new("has no effect on PostgreSQL", fix));
        }
        let pool_size = s.number("pool_size", bounds(1, 1000, "connections"), d.pool_size as u64) as usize;
        let read_connections =
            s.number("read_connections", bounds(1, 64, "connections"), d.read_connections as u64) as usize;
        section.finish(|_| None);
        Self { url, max_bytes, pool_size, read_connections }
    }
}

fn read_url(section: &mut Section<'_>, data_dir: Option<&Path>) -> StoreUrl {
    let given = section.string("url");
    let from_file = !matches!(given, Some(Located { origin: Origin::Variable(_), .. }));
    let base_dir = if from_file { section.scope.base_dir.clone() } else { PathBuf::new() };
    let place = |path: &Path| match (data_dir, path.file_name()) {
        (Some(dir), Some(name)) if path.is_relative() => dir.join(name),
        _ => base_dir.join(path),
    };
    let default = || StoreUrl::Sqlite(place(Path::new(DEFAULT_PATH)));
    let Some(Located { value, origin }) = given else { return default() };
    match parse_url(section, &value, &origin) {
        Ok(StoreUrl::Sqlite(path)) => StoreUrl::Sqlite(place(&path)),
        Ok(url) => url,
        Err(problem) => {
            section.fault("url", origin, problem);
            default()
        }
    }
}

/// Reads the URL, through `env:` or `file:` where it is kept apart for its password.
fn parse_url(section: &mut Section<'_>, text: &str, origin: &Origin) -> Result<StoreUrl, Problem> {
    let reference = SecretRef::parse(text, &section.scope.base_dir)?;
    let url = reference
        .resolve(&section.scope.env)
        .map_err(|error| Problem::new(error.to_string(), error.fix()))?;
    if let Some(path) = url.expose().strip_prefix("sqlite://") {
        let is_file = !path.is_empty() && !path.ends_with('/') && !path.starts_with(':');
        if is_file && !path.contains(['?', '#', '\0']) {
            return Ok(StoreUrl::Sqlite(PathBuf::from(path)));
        }
        return Err(Problem::new("must name a file, without parameters", WRITE_EITHER));
    }
    if !url.expose().starts_with("postgres://") && !url.expose().starts_with("postgresql://") {
        return Err(Problem::new("must be a sqlite:// or postgres:// URL", WRITE_EITHER));
    }
    let in_file = matches!(reference, SecretRef::Literal(_)) && matches!(origin, Origin::File { .. });
    if in_file && has_password(url.expose()) {
        let fix = "write url = \"env:NAME\" or \"file:PATH\" and keep the URL there";
        section.warn("url", origin.clone(), Problem::new("holds a password in the configuration file", fix));
    }
    Ok(StoreUrl::Postgres(url))
}

fn has_password(url: &str) -> bool {
    let authority = url.split_once("://").map_or("", |(_, rest)| rest);
    authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':')) || url.contains("password=")
}
