//! The settings tree of Trunkline: reads `trunkline.toml`, environment variables and command-line
//! overrides into one typed [`Settings`] value. Called once by the binary at start (and by `trunkline
//! check`); every other crate only receives its part of the result.
//!
//! Invariants:
//! - Either a complete, checked `Settings` comes out, or [`ConfigErrors`] with every fault found, each
//!   naming file, line and key (or the environment variable) and saying how to mend it.
//! - Precedence: override > environment variable > file > default.
//! - No secret's value ever reaches an error, a warning or a `Debug` text.
//! - The process environment is passed in as [`Env`]; nothing here reads it behind the caller's back.
//!
//! It reads the configuration file and secret files and does no other I/O. Reloading, the vault and
//! packs' contents are not its business.

mod default_file;
mod env;
mod error;
mod load;
mod reader;
mod secret;
mod settings;
mod sources;
mod suggest;
mod syntax;
mod tree;

#[cfg(test)]
mod tests;

pub use default_file::default_file;
pub use env::Env;
pub use error::{ConfigError, ConfigErrors, ConfigWarning, Origin};
pub use load::{DEFAULT_PATH, LoadOptions, Overrides};
pub use secret::{Secret, SecretError, SecretRef};
pub use settings::{
    DispatchSettings, EgressSettings, FlowSecret, FlowSettings, JournalSettings, JournalUrl,
    LivePublishSettings, LiveRuleSettings, LiveSettings, LogFormat, LogisticsSettings, PacksSettings,
    ServerSettings, Settings, StoreSettings, StoreUrl, TenantSettings,
};
pub use sources::{
    Credentials, HmacAlgorithm, HmacSettings, KeyEncoding, Provider, ProviderSettings, RateLimit,
    SchemeSettings, SignatureEncoding, SignedPart, SignedTemplate, SourceSettings, TemplateError,
    TokenSettings,
};
