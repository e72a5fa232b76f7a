//! Finds and reads the configuration file, lays variables and overrides over it and hands the tree to
//! the section readers. The only file access of this crate besides secret files.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::env::{self, Env};
use crate::error::{ConfigError, ConfigErrors, Origin};
use crate::reader::Scope;
use crate::settings::Settings;
use crate::tree::{self, Node, Table, Value};

/// The file that is read when none is named and it exists.
pub const DEFAULT_PATH: &str = "trunkline.toml";

/// Largest configuration file accepted, in bytes.
const FILE_LIMIT_BYTES: u64 = 1024 * 1024;

/// Says what to load.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// The file, which must exist; `None` reads [`DEFAULT_PATH`] if it exists and defaults otherwise.
    pub path: Option<PathBuf>,
    /// The environment variables, usually [`Env::from_process`].
    pub env: Env,
    /// What the command line says.
    pub overrides: Overrides,
}

/// Holds what the command line overrides; it beats variables and file.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--listen ADDR`, as given.
    pub listen: Option<String>,
    /// `--data-dir DIR`: home of the SQLite file unless its path is absolute.
    pub data_dir: Option<PathBuf>,
}

/// Loads the settings; see [`Settings::load`].
pub(crate) fn load(options: LoadOptions) -> Result<Settings, ConfigErrors> {
    let LoadOptions { path, env, overrides } = options;
    let path = path.or_else(|| Some(PathBuf::from(DEFAULT_PATH)).filter(|path| path.exists()));
    let root = match &path {
        Some(path) => {
            let shared: Arc<Path> = path.as_path().into();
            let text = read_file(path).map_err(|error| ConfigErrors(vec![unreadable(&shared, &error)]))?;
            tree::parse_document(&text, &shared).map_err(ConfigErrors::sorted)?
        }
        None => Table::default(),
    };
    load_tree(root, path, env, overrides)
}

/// Overlays and reads a tree; apart from [`load`] so that it touches no configuration file.
fn load_tree(
    mut root: Table,
    path: Option<PathBuf>,
    env: Env,
    overrides: Overrides,
) -> Result<Settings, ConfigErrors> {
    let base_dir = path.as_deref().and_then(Path::parent).map(Path::to_owned).unwrap_or_default();
    let mut scope = Scope { env, base_dir, ..Scope::default() };
    env::overlay(&scope.env, &mut root, &mut scope.errors);
    if let Some(listen) = overrides.listen {
        let origin = Origin::Flag("--listen");
        let node = Node { value: Value::Text(listen), origin: origin.clone() };
        root.section("server", &origin).insert("listen".to_owned(), node);
    }
    let mut settings = Settings::read(root, overrides.data_dir, &mut scope);
    settings.file = path;
    settings.warnings = scope.warnings;
    if scope.errors.is_empty() { Ok(settings) } else { Err(ConfigErrors::sorted(scope.errors)) }
}

fn read_file(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(FILE_LIMIT_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_LIMIT_BYTES {
        return Err(io::Error::other(format!("larger than {FILE_LIMIT_BYTES} bytes")));
    }
    Ok(text)
}

fn unreadable(path: &Arc<Path>, error: &io::Error) -> ConfigError {
    let fix = match error.kind() {
        io::ErrorKind::NotFound => {
            "create it with `trunkline init DIR`, or name another with --config".to_owned()
        }
        _ => format!("make it a readable UTF-8 text file ({error})"),
    };
    let problem = match error.kind() {
        io::ErrorKind::NotFound => "the configuration file does not exist",
        _ => "the configuration file cannot be read",
    };
    ConfigError {
        origin: Origin::WholeFile(Arc::clone(path)),
        key: String::new(),
        problem: problem.to_owned(),
        fix,
    }
}
