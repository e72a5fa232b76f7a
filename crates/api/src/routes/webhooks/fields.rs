//! What requests about endpoints may hold.

use trunkline_connect::Target;
use trunkline_dispatch::endpoint::check::{
    BACKOFF_MS, IN_FLIGHT, MAX_ATTEMPTS, MAX_BLOCKED_S, MAX_CHANNEL_BYTES, MAX_CHANNELS,
    MAX_DESCRIPTION_CHARS, MAX_METADATA, MAX_METADATA_VALUE_CHARS, MAX_RETRY_RULES, N_BACKOFF, N_PATTERNS,
    RATE_LIMIT, TIMEOUT_MS, is_channel,
};
use trunkline_dispatch::endpoint::{
    AuthStyle, EndpointKind, MAX_EXPRESSION_BYTES, MAX_HEADERS, MAX_HEADERS_BYTES, WebhookFormat,
};
use trunkline_dispatch::replay::MAX_RATE;
use trunkline_dispatch::sign::{SignatureFormat, SignatureVersion, TEXT_SECRET_CHARS};
use trunkline_model::{EventType, Pattern};

use crate::input::{Field, Kind, Text};
use crate::openapi::schemas::{EVENT_TYPE, PATTERN};
use crate::page;

pub(super) const MAX_OVERLAP_S: i64 = 30 * 24 * 60 * 60;
/// The most endpoints of one batch.
const MAX_BATCH: usize = 100;

static EVENT_PATTERN: Kind = Kind::Text(Text {
    min: 1,
    max: 255,
    pattern: PATTERN,
    accepts: |text| Pattern::parse(text).is_ok(),
    rule: "must be dotted segments, each a name, * (one segment) or ** (any number)",
});
static WAIT: Kind = Kind::Integer { min: *BACKOFF_MS.start() as i64, max: *BACKOFF_MS.end() as i64 };
const WAITS: Kind = Kind::List { item: &WAIT, min: *N_BACKOFF.start(), max: *N_BACKOFF.end() };
const ATTEMPTS: Kind = Kind::Integer { min: *MAX_ATTEMPTS.start() as i64, max: *MAX_ATTEMPTS.end() as i64 };
const EXPRESSION: Kind = Kind::Text(Text::lines(1, MAX_EXPRESSION_BYTES));
const SECRET: Kind = Kind::Text(Text::line(*TEXT_SECRET_CHARS.start(), *TEXT_SECRET_CHARS.end()));
const FORMATS: [&str; 2] = [WebhookFormat::Standard.as_str(), WebhookFormat::CloudEvents.as_str()];
const SIGNATURE_FORMATS: [&str; SignatureFormat::ALL.len()] = {
    let mut names = [""; SignatureFormat::ALL.len()];
    let mut n = 0;
    while n < names.len() {
        names[n] = SignatureFormat::ALL[n].as_str();
        n += 1;
    }
    names
};
const VERSIONS: [&str; 2] = [SignatureVersion::V1.as_str(), SignatureVersion::V1a.as_str()];
static VERSION: Kind = Kind::Choice(&VERSIONS);
static CHANNEL: Kind = Kind::Text(Text {
    min: 1,
    max: MAX_CHANNEL_BYTES,
    pattern: "^[A-Za-z0-9_.:-]+$",
    accepts: is_channel,
    rule: "must be letters, digits, _, -, . or :",
});
static RULE: Kind = Kind::Object(&[
    Field::required("events", EVENT_PATTERN, "Pattern of the types that the schedule counts for."),
    Field::optional("max_attempts", ATTEMPTS, "Attempts of one delivery. The endpoint's own when absent."),
    Field::optional("backoff_ms", WAITS, "Waits between them. The endpoint's own when absent."),
]);

const KINDS: [&str; EndpointKind::ALL.len()] = {
    let mut names = [""; EndpointKind::ALL.len()];
    let mut n = 0;
    while n < names.len() {
        names[n] = EndpointKind::ALL[n].as_str();
        n += 1;
    }
    names
};
const PEM: Kind = Kind::Text(Text::lines(1, 32 * 1024));
static CERTIFICATE: [Field; 3] = [
    Field::required("certificate", PEM, "PEM; the client's own certificate first."),
    Field::required("key", PEM, "PEM. Answered as `***`, which stands for the stored key when sent back."),
    Field::optional("expires_at", Kind::Ignored, "Not looked at."),
];
const CREDENTIAL: Kind = Kind::Text(Text::line(1, 1024));
const AUTH_STYLES: [&str; 2] = [AuthStyle::Basic.as_str(), AuthStyle::Body.as_str()];
static CREDENTIALS: [Field; 6] = [
    Field::required("token_url", Kind::Text(Text::line(1, Target::MAX_BYTES)), "The token endpoint."),
    Field::required("client_id", CREDENTIAL, "The client."),
    Field::required(
        "client_secret",
        CREDENTIAL,
        "Its secret. Answered as `***`, which stands for the stored one when sent back.",
    ),
    Field::optional("scope", CREDENTIAL, "What is asked for, with spaces between."),
    Field::optional("audience", CREDENTIAL, "Whom the token is for, where the token endpoint wants to know."),
    Field::optional(
        "auth_style",
        Kind::Choice(&AUTH_STYLES),
        "Whether id and secret go into the header or into the body. Default `basic`.",
    ),
];

/// What an endpoint is made or replaced with.
const INPUT: [Field; 25] = [
    Field::optional(
        "url",
        Kind::Text(Text {
            min: 1,
            max: Target::MAX_BYTES,
            pattern: "^[hH][tT][tT][pP][sS]?://[^\\x00-\\x20\\x7f-\\x9f]+$",
            accepts: |text| !text.chars().any(char::is_control),
            rule: "must be an absolute http or https URL",
        }),
        "Where events are posted to; required for kind `http`. Private and special addresses are refused unless the \
         configuration opens them.",
    ),
    Field::optional("kind", Kind::Choice(&KINDS), "What the endpoint is. Default `http`."),
    Field::optional(
        "sink",
        Kind::Json,
        "Settings of the other kinds, an object; `docs/webhooks.md` lists them. Secrets are answered as `***`, which stands \
         for the stored value when sent back.",
    ),
    Field::optional(
        "tls",
        Kind::Object(&CERTIFICATE),
        "A certificate to show to the endpoint's server. `expires_at` is answered and not looked at.",
    ),
    Field::optional(
        "ca",
        PEM,
        "Authorities, in PEM, that are trusted for the endpoint's server besides the public ones. Up to 10.",
    ),
    Field::optional(
        "oauth2",
        Kind::Object(&CREDENTIALS),
        "Calls carry a token of the client credentials grant (RFC 6749).",
    ),
    Field::required(
        "events",
        Kind::List { item: &EVENT_PATTERN, min: *N_PATTERNS.start(), max: *N_PATTERNS.end() },
        "Patterns of the event types wanted: `*` is one segment, `**` any number.",
    ),
    Field::optional("description", Kind::Text(Text::lines(0, MAX_DESCRIPTION_CHARS)), "For people."),
    Field::optional("active", Kind::Boolean, "Whether events are delivered. Default true."),
    Field::optional("format", Kind::Choice(&FORMATS), "How bodies look. Default `standard`."),
    Field::optional(
        "channels",
        Kind::List { item: &CHANNEL, min: 0, max: MAX_CHANNELS },
        "With channels, only events whose attribute `channels` (names with commas between) holds one of them.",
    ),
    Field::optional(
        "filter",
        EXPRESSION,
        "A jq expression on the body that would be sent: `false` and `null` mean that the event is not for this \
         endpoint.",
    ),
    Field::optional(
        "transform",
        EXPRESSION,
        "A jq expression that makes the body of the one that would be sent; its result must be one JSON object.",
    ),
    Field::optional(
        "headers",
        Kind::Texts { max: MAX_HEADERS, max_chars: MAX_HEADERS_BYTES },
        "Sent along. Values of credentials are answered as `***`, which stands for the stored value when sent back.",
    ),
    Field::optional(
        "metadata",
        Kind::Texts { max: MAX_METADATA, max_chars: MAX_METADATA_VALUE_CHARS },
        "Texts of your own by name, kept and answered as they are.",
    ),
    Field::optional(
        "timeout_ms",
        Kind::Integer { min: *TIMEOUT_MS.start() as i64, max: *TIMEOUT_MS.end() as i64 },
        "Limit of one attempt. The hub's default when absent.",
    ),
    Field::optional("max_attempts", ATTEMPTS, "Attempts of one delivery. The hub's default when absent."),
    Field::optional(
        "backoff_ms",
        WAITS,
        "Waits before the second, third, … attempt; the last repeats. The hub's default when absent.",
    ),
    Field::optional(
        "retry_by_type",
        Kind::List { item: &RULE, min: 0, max: MAX_RETRY_RULES },
        "Schedules for some types of events; the first whose pattern fits counts.",
    ),
    Field::optional(
        "rate_limit",
        Kind::Number { min: *RATE_LIMIT.start(), max: *RATE_LIMIT.end() },
        "The most attempts a second; more wait their turn. No limit when absent.",
    ),
    Field::optional(
        "in_flight",
        Kind::Integer { min: *IN_FLIGHT.start() as i64, max: *IN_FLIGHT.end() as i64 },
        "Attempts open at once. The hub's default when absent.",
    ),
    Field::optional(
        "ordered",
        Kind::Boolean,
        "Whether deliveries of events with one key (their `partitionkey`, else `subject`, else `source`) are attempted \
         one after the other, in the order of the events: the next when the one before it has ended. Default false.",
    ),
    Field::optional(
        "max_blocked_s",
        Kind::Integer { min: *MAX_BLOCKED_S.start() as i64, max: *MAX_BLOCKED_S.end() as i64 },
        "How long a delivery that fails may hold up its key, in seconds from its first attempt; then it is exhausted. \
         Only with `ordered`. Default one day.",
    ),
    Field::optional(
        "signature_format",
        Kind::Choice(&SIGNATURE_FORMATS),
        "How calls are signed: by Standard Webhooks, or as another sender does. Default `standard`.",
    ),
    Field::optional(
        "signing",
        Kind::List { item: &VERSION, min: 1, max: 2 },
        "Versions of the signatures of `standard` and `svix`: `v1` by a shared secret, `v1a` by a private key. Default \
         `v1`.",
    ),
];

/// What is answered besides, so that what was read may be sent back, changed.
const READ_ONLY: [Field; 5] = [
    Field::optional("id", Kind::Ignored, "Not looked at."),
    Field::optional("public_key", Kind::Ignored, "Not looked at."),
    Field::optional("version", Kind::Ignored, "Not looked at; send the `ETag` as `If-Match`."),
    Field::optional("created_at", Kind::Ignored, "Not looked at."),
    Field::optional("updated_at", Kind::Ignored, "Not looked at."),
];
const BROUGHT: [Field; 1] = [Field::optional(
    "secret",
    SECRET,
    "A secret that the receiver has already: `whsec_…` or `whsk_…`, any text for other signature formats than \
     `standard` and `svix`. Made by the hub when absent.",
)];

const fn joined<const N: usize>(first: &[Field], second: &[Field]) -> [Field; N] {
    assert!(first.len() + second.len() == N);
    let mut all = [first[0]; N];
    let mut n = 0;
    while n < N {
        all[n] = if n < first.len() { first[n] } else { second[n - first.len()] };
        n += 1;
    }
    all
}

pub(super) static CREATE: &[Field] = &joined::<{ INPUT.len() + BROUGHT.len() }>(&INPUT, &BROUGHT);
pub(super) static REPLACE: &[Field] = &joined::<{ INPUT.len() + READ_ONLY.len() }>(&INPUT, &READ_ONLY);

pub(super) static LIST: &[Field] = &[
    page::LIMIT,
    page::TOKEN,
    Field::optional("active", Kind::Boolean, "Only active or only inactive ones."),
    Field::optional(
        "text",
        Kind::Text(Text::line(1, 200)),
        "Only those with this text, in whatever case, in URL, description, or names and values of metadata.",
    ),
    Field::optional(
        "event_type",
        Kind::Text(Text {
            min: 1,
            max: 255,
            pattern: EVENT_TYPE,
            accepts: |text| EventType::parse(text).is_ok(),
            rule: "must be dotted segments of letters, digits, _ and -",
        }),
        "Only those whose patterns select events of this type.",
    ),
];

pub(super) static REGENERATE: &[Field] = &[
    Field::optional(
        "overlap_s",
        Kind::Integer { min: 0, max: MAX_OVERLAP_S },
        "How long deliveries are signed with the replaced secret as well. Default one day; 0 after a leak.",
    ),
    Field::optional("version", VERSION, "Which kind of secret. Default: each that the endpoint signs with."),
    BROUGHT[0],
];

const ACTIONS: [&str; 3] = ["enable", "disable", "delete"];
static ID: Kind = Kind::Text(Text::line(1, 256));
pub(super) static BATCH: &[Field] = &[
    Field::required("action", Kind::Choice(&ACTIONS), "What is done with each."),
    Field::required("ids", Kind::List { item: &ID, min: 1, max: MAX_BATCH }, "The endpoints."),
];

const TYPE: Kind = Kind::Text(Text {
    min: 1,
    max: 255,
    pattern: EVENT_TYPE,
    accepts: |text| EventType::parse(text).is_ok(),
    rule: "must be dotted segments of letters, digits, _ and -",
});
pub(super) static TEST: &[Field] = &[
    Field::optional(
        "event_type",
        TYPE,
        "The type that the receiver sees. Without `data`, the example of the event catalogue is sent.",
    ),
    Field::optional("data", Kind::Json, "The content of the event."),
];

pub(super) static PREVIEW: &[Field] = &[
    Field::optional("event_id", Kind::Text(Text::line(1, 256)), "A stored event."),
    Field::optional(
        "event_type",
        TYPE,
        "The type of an event that is not stored. Without `data`, the example of the event catalogue is taken.",
    ),
    Field::optional("data", Kind::Json, "Its content."),
    Field::optional("channels", Kind::List { item: &CHANNEL, min: 0, max: MAX_CHANNELS }, "Its channels."),
    Field::optional("filter", EXPRESSION, "Taken instead of the stored one."),
    Field::optional("transform", EXPRESSION, "Taken instead of the stored one."),
    Field::optional("format", Kind::Choice(&FORMATS), "Taken instead of the stored one."),
];

pub(super) static RECOVER: &[Field] = &[
    Field::optional(
        "since",
        Kind::Time,
        "How far back what was missed is sent. Default: since the endpoint began to fail, or was switched off by the hub.",
    ),
    Field::optional(
        "rate_per_s",
        Kind::Integer { min: 1, max: MAX_RATE },
        "Deliveries a second. Default 100.",
    ),
];
