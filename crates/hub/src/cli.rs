//! The command line: every command, flag and help text. Parsed by `main`, dispatched by [`crate::commands`].
//!
//! The shape is fixed, because other people's scripts depend on it; `docs/cli.md` is generated from it by a test.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Yellow.on_default().bold())
    .usage(AnsiColor::Yellow.on_default().bold())
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(AnsiColor::Green.on_default());

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed
  2    wrong usage or a faulty configuration
  3    a check did not hold, or the command refused to act
  4    the hub cannot be reached, or does not accept the token
  130  stopped at once by a second signal

Examples:
  trunkline demo                          see the whole path work, in a temporary directory
  trunkline init hub && cd hub && trunkline serve
  trunkline event journey evt_…           what became of an event, and why";

/// Trunkline: takes signed webhooks in, keeps them in a durable journal, delivers them signed.
#[derive(Debug, Parser)]
#[command(name = "trunkline", version, styles = STYLES, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the hub until SIGTERM or SIGINT
    #[command(after_help = "\
A second signal ends the process at once. The first admin token is TRUNKLINE_ADMIN_TOKEN, or is made and printed
once when the store has no live admin token.

Examples:
  trunkline serve
  trunkline serve --config /etc/trunkline/trunkline.toml
  trunkline serve --data-dir /var/lib/trunkline --listen 0.0.0.0:8080")]
    Serve(ServeArgs),
    /// Show the main job end to end on real signed samples, and check every step
    #[command(after_help = "\
Needs no network and nothing installed; leaves nothing behind.

Examples:
  trunkline demo")]
    Demo(DemoArgs),
    /// Write a commented configuration and a fresh secret into a directory
    #[command(after_help = "Examples:\n  trunkline init .\n  trunkline init /etc/trunkline")]
    Init(InitArgs),
    /// Check the configuration and report every fault with its line
    #[command(
        after_help = "Examples:\n  trunkline check\n  trunkline check --config /etc/trunkline/trunkline.toml"
    )]
    Check(ConfigArgs),
    /// Bring the store's schema up to this program's version
    #[command(after_help = "\
`serve` does this by itself; this command is for doing it apart, after a backup.

Examples:
  trunkline migrate --dry-run
  trunkline migrate")]
    Migrate(MigrateArgs),
    /// Emit events, look at them and follow their journeys
    #[command(subcommand)]
    Event(EventCommand),
    /// Look at packs, check them and run their tests
    #[command(subcommand)]
    Pack(PackCommand),
    /// Work with webhooks on this machine
    #[command(subcommand)]
    Webhook(WebhookCommand),
    /// Make, revoke and list API tokens
    #[command(subcommand)]
    Token(TokenCommand),
    /// Copy the store to a file while the hub runs, and verify the copy
    #[command(after_help = "\
SQLite is copied as it stands at the start of the command. PostgreSQL is dumped by pg_dump.

Examples:
  trunkline backup /backup/trunkline-$(date +%F).db")]
    Backup(BackupArgs),
    /// Put a verified backup in place of the store
    #[command(after_help = "\
Refuses while the hub runs, and replaces existing data only with --force.

Examples:
  trunkline restore /backup/trunkline-2026-01-31.db
  trunkline restore /backup/trunkline-2026-01-31.db --force")]
    Restore(RestoreArgs),
    /// Look for what is wrong: configuration, store, disk, clock, network, deliveries
    #[command(
        after_help = "Exit code 3 when a check fails; warnings alone do not.\n\nExamples:\n  trunkline doctor"
    )]
    Doctor(DoctorArgs),
    /// Measure this machine: accept, append and deliver against bare baselines, BullMQ and Restate
    #[command(
        after_help = "Examples:\n  trunkline bench\n  trunkline bench accept --duration 20 --rounds 3\n  \
trunkline bench drain --pending 1000000"
    )]
    Bench(BenchArgs),
    /// Print the completion script of a shell
    #[command(after_help = "Examples:\n  trunkline completions bash > /etc/bash_completion.d/trunkline")]
    Completions(CompletionsArgs),
}

/// Which configuration to use.
#[derive(Debug, Clone, Default, Args)]
pub struct ConfigArgs {
    /// Configuration file [default: trunkline.toml, if there is one]
    #[arg(long, value_name = "FILE", env = "TRUNKLINE_CONFIG", hide_env_values = true)]
    pub config: Option<PathBuf>,
    /// Home of the SQLite file, unless its path is absolute
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// Where the hub is and who asks.
#[derive(Clone, Args)]
pub struct RemoteArgs {
    /// Address of the hub
    #[arg(
        long,
        value_name = "URL",
        env = "TRUNKLINE_URL",
        hide_env_values = true,
        default_value = "http://127.0.0.1:8080"
    )]
    pub url: String,
    /// API token
    #[arg(long, value_name = "TOKEN", env = "TRUNKLINE_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Print JSON for machines instead of text
    #[arg(long)]
    pub json: bool,
}

impl std::fmt::Debug for RemoteArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Neither the token nor what a URL may carry.
        f.debug_struct("RemoteArgs").field("has_token", &self.token.is_some()).finish_non_exhaustive()
    }
}

/// `serve`
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Which configuration to use.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Address and port to listen on; port 0 lets the system choose
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
}

/// Packs in their folders.
#[derive(Debug, Subcommand)]
pub enum PackCommand {
    /// List packs with what they hold
    #[command(after_help = "Examples:\n  trunkline pack list\n  trunkline pack list packs/veterinary")]
    List(PackArgs),
    /// Check packs and report every fault with file and line
    #[command(
        after_help = "Exit code 3 when a pack has faults.\n\nExamples:\n  trunkline pack check packs/veterinary"
    )]
    Check(PackArgs),
    /// Run the tests of packs
    #[command(
        after_help = "Exit code 3 when a test fails.\n\nExamples:\n  trunkline pack test packs/veterinary"
    )]
    Test(PackArgs),
}

/// Which packs.
#[derive(Debug, Clone, Default, Args)]
pub struct PackArgs {
    /// Folders of packs [default: what `load` in the section `packs` names]
    #[arg(value_name = "FOLDER")]
    pub folders: Vec<PathBuf>,
    /// Which configuration to use.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// `demo`
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Play the story of a pack
    #[arg(long, value_name = "NAME")]
    pub pack: Option<String>,
}

/// `init`
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Directory to write into; made if it does not exist
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}

/// `migrate`
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// Which configuration to use.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Only say what would be done; exit code 3 when something would
    #[arg(long)]
    pub dry_run: bool,
}

/// `event …`
#[derive(Debug, Subcommand)]
pub enum EventCommand {
    /// Append an event
    #[command(after_help = "\
Examples:
  trunkline event emit appointment.created --data '{\"id\": 7}'
  trunkline event emit appointment.created --subject clinic/5 --data @appointment.json
  trunkline event emit --batch events.ndjson")]
    Emit(EmitArgs),
    /// Print the newest events
    #[command(
        after_help = "Examples:\n  trunkline event tail\n  trunkline event tail --type 'appointment.*' --follow"
    )]
    Tail(TailArgs),
    /// Print one event with its content
    #[command(after_help = "Examples:\n  trunkline event show evt_…")]
    Show(EventIdArgs),
    /// Draw what led to an event and what became of it
    #[command(
        after_help = "Examples:\n  trunkline event journey evt_…\n  trunkline event journey evt_… --json"
    )]
    Journey(EventIdArgs),
    /// Deliver an event again, under the same webhook-id
    #[command(
        after_help = "Examples:\n  trunkline event replay evt_…\n  trunkline event replay evt_… --endpoint ep_…"
    )]
    Replay(ReplayArgs),
}

/// `event emit`
#[derive(Debug, Args)]
pub struct EmitArgs {
    /// Type of the event, such as appointment.created
    #[arg(value_name = "TYPE", required_unless_present = "batch")]
    pub event_type: Option<String>,
    /// Where the event comes from, a URI reference
    #[arg(long, default_value = "/cli")]
    pub source: String,
    /// What the event is about
    #[arg(long)]
    pub subject: Option<String>,
    /// Content: JSON text, @FILE, or - for standard input
    #[arg(long, value_name = "JSON|@FILE|-")]
    pub data: Option<String>,
    /// Emit many: a file (or -) with a JSON array of CloudEvents, or one CloudEvent a line
    #[arg(long, value_name = "FILE", conflicts_with_all = ["event_type", "subject", "data"])]
    pub batch: Option<PathBuf>,
    /// Where the hub is.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// `event tail`
#[derive(Debug, Args)]
pub struct TailArgs {
    /// Only types that fit a pattern; * is one segment, ** any number
    #[arg(long = "type", value_name = "PATTERN")]
    pub pattern: Option<String>,
    /// Go on with new events as they come
    #[arg(long, short)]
    pub follow: bool,
    /// How many events to begin with
    #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub lines: u16,
    /// Where the hub is.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// `event show` and `event journey`
#[derive(Debug, Args)]
pub struct EventIdArgs {
    /// Id of the event; journey also takes the id of an inbound request
    #[arg(value_name = "ID")]
    pub id: String,
    /// Where the hub is.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// `event replay`
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Id of the event
    #[arg(value_name = "ID")]
    pub id: String,
    /// Only to this endpoint, whatever its patterns say
    #[arg(long, value_name = "ID")]
    pub endpoint: Option<String>,
    /// Where the hub is.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// `webhook …`
#[derive(Debug, Subcommand)]
pub enum WebhookCommand {
    /// Forward new events, signed, to a URL on this machine while you develop
    #[command(after_help = "\
Follows new events through the API and posts each one as a Standard Webhook, signed with a secret that is printed at
the start. Opens no tunnel, and leaves nothing in the hub when it ends.

Examples:
  trunkline webhook listen --forward http://localhost:3000/hooks
  trunkline webhook listen --forward http://localhost:3000/hooks --events 'appointment.*'")]
    Listen(ListenArgs),
}

/// `webhook listen`
#[derive(Debug, Args)]
pub struct ListenArgs {
    /// Where to post the events
    #[arg(long, value_name = "URL")]
    pub forward: String,
    /// Only types that fit a pattern; may be repeated
    #[arg(long, value_name = "PATTERN", default_value = "**")]
    pub events: Vec<String>,
    /// Where the hub is.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// `token …`
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token and print it once
    #[command(after_help = "\
With --token or TRUNKLINE_TOKEN the hub is asked; without, the store is changed directly, which needs the hub to be
stopped when the store is SQLite.

Examples:
  trunkline token create --name ci --role emitter
  trunkline token create --name ops --role operator --tenant clinic-5 --expires 90d
  trunkline token create --name phone --role member --user ann --group driver --driver 7")]
    Create(TokenCreateArgs),
    /// Make a token useless from now on
    #[command(after_help = "Examples:\n  trunkline token revoke tok_…")]
    Revoke(TokenRevokeArgs),
    /// List tokens; their values are not kept
    #[command(after_help = "Examples:\n  trunkline token list")]
    List(TokenListArgs),
}

/// What every `token` command takes.
#[derive(Debug, Args)]
pub struct TokenTarget {
    /// Tenant the token acts for [default: default; through the API: the tenant of your own token]
    #[arg(long)]
    pub tenant: Option<String>,
    /// Which configuration names the store.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Where the hub is.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// `token create`
#[derive(Debug, Args)]
pub struct TokenCreateArgs {
    /// What the token is for
    #[arg(long)]
    pub name: String,
    /// What the token may do
    #[arg(long, value_parser = ["admin", "operator", "emitter", "viewer", "member"])]
    pub role: String,
    /// The person whose token it is, by the id that tasks of workflows name them by
    #[arg(long)]
    pub user: Option<String>,
    /// A group of that person; give it once for each
    #[arg(long = "group", value_name = "GROUP", requires = "user")]
    pub groups: Vec<String>,
    /// A clinic whose live updates it receives; give it once for each
    #[arg(long = "clinic", value_name = "ID")]
    pub clinics: Vec<String>,
    /// A driver whose live updates it receives, and for whom it may send positions; give it once for each
    #[arg(long = "driver", value_name = "ID")]
    pub drivers: Vec<String>,
    /// Another room of live updates that it opens, such as route:7; give it once for each
    #[arg(long = "room", value_name = "ROOM")]
    pub rooms: Vec<String>,
    /// When it stops working: a duration such as 90d or 12h, or an RFC 3339 time [default: never]
    #[arg(long, value_name = "WHEN")]
    pub expires: Option<String>,
    /// Store or hub.
    #[command(flatten)]
    pub target: TokenTarget,
}

/// `token revoke`
#[derive(Debug, Args)]
pub struct TokenRevokeArgs {
    /// Id of the token
    #[arg(value_name = "ID")]
    pub id: String,
    /// Store or hub.
    #[command(flatten)]
    pub target: TokenTarget,
}

/// `token list`
#[derive(Debug, Args)]
pub struct TokenListArgs {
    /// Store or hub.
    #[command(flatten)]
    pub target: TokenTarget,
}

/// `backup`
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// File to write; must not exist
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Which configuration names the store.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// `restore`
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// Backup to put in place
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Replace existing data
    #[arg(long)]
    pub force: bool,
    /// Which configuration names the store.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// `doctor`
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Which configuration to use.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Host name to resolve for the network check
    #[arg(long, value_name = "NAME", default_value = "example.com")]
    pub dns_name: String,
    /// Print JSON for machines instead of text
    #[arg(long)]
    pub json: bool,
}

/// `bench`
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// What to measure
    #[arg(value_enum, default_value_t = BenchName::All)]
    pub name: BenchName,
    /// Seconds each measurement runs
    #[arg(long, value_name = "SECONDS", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub duration: u64,
    /// How often each measurement is repeated; medians are printed
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub rounds: u64,
    /// Connections of the load generator, writers of the append benchmark
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub connections: u64,
    /// Worker threads of the servers; 0 chooses by the processors
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
    /// Store this many events and measure `accept` again
    #[arg(long, value_name = "EVENTS", default_value_t = 0)]
    pub history: u64,
    /// Pending deliveries of `drain`
    #[arg(long, value_name = "DELIVERIES", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1_000..=100_000_000))]
    pub pending: u64,
    /// Waiting workflows of `parked`
    #[arg(long, value_name = "WORKFLOWS", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub parked: u64,
    /// Where the worker of `bullmq` is: a folder with a run.sh
    #[arg(long, value_name = "DIR", default_value = "tests/bullmq")]
    pub bullmq: PathBuf,
    /// Where the worker of `workflows` is: a folder with a run.sh
    #[arg(long, value_name = "DIR", default_value = "tests/restate")]
    pub restate: PathBuf,
    /// Where the temporary databases go: the disk to be measured [default: the system's directory]
    #[arg(long, value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// Measure on this PostgreSQL database, which is filled, instead of SQLite
    #[arg(long, value_name = "URL")]
    pub store_url: Option<String>,
    /// Be one of the yardsticks, for the benchmark itself
    #[arg(long, hide = true, requires = "role_listen")]
    pub role: Option<RoleName>,
    /// Where the yardstick listens
    #[arg(long, hide = true)]
    pub role_listen: Option<SocketAddr>,
}

/// What `bench` can measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum BenchName {
    /// Everything below
    All,
    /// Journal appends
    Append,
    /// Accepting signed webhooks
    Accept,
    /// Delivering stored events
    Outbound,
    /// Accepting and delivering to 1, 10 and 100 endpoints
    Deliver,
    /// How long an event takes at a steady 200 a second
    Paced,
    /// Delivering beside an endpoint that never answers
    Fair,
    /// Making up for an outage
    Drain,
    /// Tasks of workflows that only make data, in the interpreter alone
    Pure,
    /// Starting with workflows that wait
    Parked,
    /// Delivering, beside a BullMQ worker; needs Node.js and redis-server
    Bullmq,
    /// Durable steps of workflows, beside a Restate server; needs Node.js and npm
    Workflows,
}

/// The yardsticks of `bench`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum RoleName {
    /// A server that only answers
    BareServer,
    /// A receiver that only counts
    Sink,
}

/// `completions`
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}
