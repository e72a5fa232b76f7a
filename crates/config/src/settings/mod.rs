//! The settings as the rest of the program sees them, one file per section of `trunkline.toml`. Each
//! section has its defaults in `Default` and its reader beside them; checks that span sections are here.

mod dispatch;
mod egress;
mod flow;
mod journal;
pub(crate) mod live;
mod logistics;
mod packs;
mod server;
mod store;
mod tenants;

use std::path::{Path, PathBuf};

pub use dispatch::DispatchSettings;
pub use egress::EgressSettings;
pub use flow::{FlowSecret, FlowSettings};
pub use journal::{JournalSettings, JournalUrl};
pub use live::{LivePublishSettings, LiveRuleSettings, LiveSettings};
pub use logistics::LogisticsSettings;
pub use packs::PacksSettings;
pub use server::{LogFormat, ServerSettings};
pub use store::{StoreSettings, StoreUrl};
pub use tenants::TenantSettings;
pub(crate) use tenants::read_tenants;

use crate::error::{ConfigErrors, ConfigWarning, Origin};
use crate::load::{self, LoadOptions};
use crate::reader::{Located, Scope, Section};
use crate::sources::{self, SchemeSettings, SourceSettings};
use crate::tree::Table;

/// Names the sections that variables may set; `tenants` and `sources` are arrays and set in the file
/// only.
pub(crate) const SECTIONS: &[&str] =
    &["server", "store", "journal", "dispatch", "live", "egress", "flow", "logistics", "packs"];

/// Holds the whole configuration, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `[server]`: the HTTP listener and the process.
    pub server: ServerSettings,
    /// `[store]`: where everything durable lives.
    pub store: StoreSettings,
    /// `[journal]`: the event log and how long it is kept.
    pub journal: JournalSettings,
    /// `[dispatch]`: outbound deliveries.
    pub dispatch: DispatchSettings,
    /// `[live]`: live connections.
    pub live: LiveSettings,
    /// `[egress]`: where outbound calls may go.
    pub egress: EgressSettings,
    /// `[flow]`: what workflows may do outside.
    pub flow: FlowSettings,
    /// `[logistics]`: how long it is known where drivers were.
    pub logistics: LogisticsSettings,
    /// `[packs]`: packs to load.
    pub packs: PacksSettings,
    /// `[[tenants]]`: what holds for one tenant alone.
    pub tenants: Vec<TenantSettings>,
    /// `[[sources]]`: the origins of inbound requests, in the order of the file, names unique.
    pub sources: Vec<SourceSettings>,
    /// Directory for the program's own files: `--data-dir`, else the directory of the SQLite file, else
    /// `data` beside the configuration file.
    pub data_dir: PathBuf,
    /// The configuration file that was read, if there was one.
    pub file: Option<PathBuf>,
    /// What works but should be looked at, such as secrets written into the file.
    pub warnings: Vec<ConfigWarning>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            server: ServerSettings::default(),
            store: StoreSettings::default(),
            journal: JournalSettings::default(),
            dispatch: DispatchSettings::default(),
            live: LiveSettings::default(),
            egress: EgressSettings::default(),
            flow: FlowSettings::default(),
            logistics: LogisticsSettings::default(),
            packs: PacksSettings::default(),
            tenants: Vec::new(),
            sources: Vec::new(),
            data_dir: PathBuf::from("data"),
            file: None,
            warnings: Vec::new(),
        }
    }
}

impl Settings {
    /// Reads the file, lays variables and overrides over it and checks the result.
    ///
    /// # Errors
    /// Every fault found, unless the file is no TOML at all: then its syntax errors alone.
    pub fn load(options: LoadOptions) -> Result<Self, ConfigErrors> {
        load::load(options)
    }

    /// Returns the path of the SQLite file, unless the store is PostgreSQL.
    pub fn store_path(&self) -> Option<&Path> {
        self.store.url.sqlite_path()
    }

    /// Returns the enabled source of that name.
    pub fn source(&self, name: &str) -> Option<&SourceSettings> {
        self.sources.iter().find(|source| source.enabled && source.name == name)
    }

    /// Reads all sections of the tree; faults land in the scope.
    pub(crate) fn read(root: Table, data_dir: Option<PathBuf>, scope: &mut Scope) -> Self {
        let node = Located { value: root, origin: Origin::Default };
        let mut root = Section::new(String::new(), "", node, scope);
        let [server, store, journal, dispatch, live, egress, flow, logistics, packs] =
            ["server", "store", "journal", "dispatch", "live", "egress", "flow", "logistics", "packs"]
                .map(|name| (name, root.table(name)));
        let tenant_tables = root.tables("tenants");
        let source_tables = root.tables("sources");
        root.finish(|_| None);

        let mut open = |(name, table): (&'static str, Located<Table>), read: &mut dyn FnMut(Section<'_>)| {
            read(Section::new(name.to_owned(), name, table, scope));
        };
        let mut settings = Self::default();
        open(server, &mut |section| settings.server = ServerSettings::read(section));
        open(store, &mut |section| settings.store = StoreSettings::read(section, data_dir.as_deref()));
        open(journal, &mut |section| settings.journal = JournalSettings::read(section));
        open(dispatch, &mut |section| settings.dispatch = DispatchSettings::read(section));
        open(live, &mut |section| settings.live = LiveSettings::read(section));
        open(egress, &mut |section| settings.egress = EgressSettings::read(section));
        open(flow, &mut |section| settings.flow = FlowSettings::read(section));
        open(logistics, &mut |section| settings.logistics = LogisticsSettings::read(section));
        open(packs, &mut |section| settings.packs = PacksSettings::read(section));
        settings.tenants = read_tenants(tenant_tables, &settings.journal, scope);
        settings.sources = sources::read_all(source_tables, scope);
        settings.data_dir = data_dir.unwrap_or_else(|| settings.default_data_dir(&scope.base_dir));
        settings.check_unauthenticated(scope);
        settings.check_one_time_tokens(scope);
        settings
    }

    fn default_data_dir(&self, base_dir: &Path) -> PathBuf {
        match self.store_path().and_then(Path::parent) {
            Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
            Some(parent) => parent.to_owned(),
            None => base_dir.join("data"),
        }
    }

    /// A token must be remembered as long as it could be good again: twice the tolerance, if it was made too early.
    fn check_one_time_tokens(&self, scope: &mut Scope) {
        let window = self.journal.dedupe_window;
        for source in self.sources.iter().filter(|source| source.one_time_tokens) {
            if source.tolerance * 2 > window {
                let problem = format!(
                    "one-time tokens are good for {} s either way, but only remembered for {} s",
                    source.tolerance.as_secs(),
                    window.as_secs()
                );
                let fix = "make tolerance_s at most half of [journal] dedupe_window_s";
                scope.errors.push(source.fault("tolerance_s", problem, fix));
            }
        }
    }

    /// Scheme `none` takes anything from anyone, so that anyone must mean this machine or be wanted.
    fn check_unauthenticated(&self, scope: &mut Scope) {
        for source in self.sources.iter().filter(|s| s.enabled && matches!(s.scheme, SchemeSettings::None)) {
            if source.allow_unauthenticated || self.server.allow_unauthenticated_sources {
                continue;
            }
            if !self.server.is_loopback() {
                scope.errors.push(source.fault(
                    "scheme",
                    format!("scheme \"none\" would accept anything from anyone on {}", self.server.listen),
                    "choose a scheme that verifies, listen on 127.0.0.1, or set allow_unauthenticated = true for \
                     this source if that is meant",
                ));
            } else if !self.server.trusted_proxies.is_empty() {
                let fault = source.fault(
                    "scheme",
                    "scheme \"none\" accepts anything from anyone the trusted proxies let through",
                    "choose a scheme that verifies, or set allow_unauthenticated = true if that is meant",
                );
                scope.warnings.push(ConfigWarning(fault));
            }
        }
    }
}
