//! Schemes that are one provider's own way: which there are, and the keys some of them need beyond a secret.
//!
//! How each verifies is written in ingest; here is only what the configuration says about it.

use crate::error::Problem;
use crate::reader::Section;
use crate::sources::required;
use crate::sources::schemes::SchemeSettings;
use crate::syntax;

/// Names a provider with a scheme of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Provider {
    /// `svix`: Standard Webhooks under Svix's header names.
    Svix,
    /// `shopify`: Shopify.
    Shopify,
    /// `xero`: Xero, with its intent to receive.
    Xero,
    /// `stripe`: Stripe.
    Stripe,
    /// `github`: GitHub.
    GitHub,
    /// `slack`: Slack's Events API, commands and interactivity.
    Slack,
    /// `meta`: WhatsApp Cloud API and Meta's other products.
    Meta,
    /// `razorpay`: Razorpay.
    Razorpay,
    /// `graph`: Microsoft Graph change notifications.
    Graph,
    /// `google-channel`: Google's push notification channels.
    GoogleChannel,
    /// `twilio`: Twilio.
    Twilio,
    /// `sns`: Amazon SNS over HTTPS.
    Sns,
    /// `pagerduty`: PagerDuty webhooks v3.
    PagerDuty,
    /// `open-dental`: Open Dental's API events.
    OpenDental,
    /// `dentrix`: a bridge to Dentrix.
    Dentrix,
    /// `eaglesoft`: a bridge to Eaglesoft.
    Eaglesoft,
    /// `unleashed`: Unleashed Software.
    Unleashed,
    /// `amazon-sp`: notifications of Amazon's Selling Partner API, passed on by a relay.
    AmazonSp,
}

impl Provider {
    /// Returns the scheme's name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Svix => "svix",
            Self::Shopify => "shopify",
            Self::Xero => "xero",
            Self::Stripe => "stripe",
            Self::GitHub => "github",
            Self::Slack => "slack",
            Self::Meta => "meta",
            Self::Razorpay => "razorpay",
            Self::Graph => "graph",
            Self::GoogleChannel => "google-channel",
            Self::Twilio => "twilio",
            Self::Sns => "sns",
            Self::PagerDuty => "pagerduty",
            Self::OpenDental => "open-dental",
            Self::Dentrix => "dentrix",
            Self::Eaglesoft => "eaglesoft",
            Self::Unleashed => "unleashed",
            Self::AmazonSp => "amazon-sp",
        }
    }
}

/// Holds a provider's scheme with its own keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderSettings {
    /// Whose.
    pub provider: Provider,
    /// `header`: lower-case name of the header with the signature or token, where it can be chosen. Default the scheme's
    /// own.
    pub header: Option<String>,
    /// `public_url`: the URL at which the provider reaches the source, without query. Required by `twilio`.
    pub public_url: Option<String>,
    /// `topic_arns`: the topics whose messages are taken. Required by `sns`.
    pub topic_arns: Vec<String>,
}

impl ProviderSettings {
    /// Makes the settings of a scheme that needs nothing but a secret.
    pub fn new(provider: Provider) -> Self {
        Self { provider, header: None, public_url: None, topic_arns: Vec::new() }
    }
}

impl From<ProviderSettings> for SchemeSettings {
    fn from(settings: ProviderSettings) -> Self {
        Self::Provider(settings)
    }
}

impl From<Provider> for SchemeSettings {
    fn from(provider: Provider) -> Self {
        ProviderSettings::new(provider).into()
    }
}

pub(crate) fn read(provider: Provider, section: &mut Section<'_>) -> SchemeSettings {
    let mut read = ProviderSettings::new(provider);
    match provider {
        Provider::Twilio => {
            let example = "public_url = \"https://hub.example.com/in/NAME\", the URL that Twilio calls";
            read.public_url = required(section, "public_url", example, syntax::public_url);
        }
        Provider::Sns => read.topic_arns = read_topics(section),
        Provider::OpenDental | Provider::Dentrix | Provider::Eaglesoft | Provider::AmazonSp => {
            read.header = section.parsed("header", syntax::header_name);
        }
        _ => {}
    }
    read.into()
}

/// Anybody may have Amazon sign messages of a topic of their own, so that the topics must be named.
fn read_topics(section: &mut Section<'_>) -> Vec<String> {
    const FIX: &str = "add topic_arns = [\"arn:aws:sns:REGION:ACCOUNT:TOPIC\"]";
    let place = section.place("topic_arns");
    let (is_absent, topics) = (section.is_absent("topic_arns"), section.list("topic_arns", topic_arn));
    let topics = topics.unwrap_or_default();
    if topics.is_empty() && !section.has_faults_below("topic_arns") {
        let problem = if is_absent { "is missing" } else { "is empty" };
        section.fault("topic_arns", place, Problem::new(problem, FIX));
    }
    topics
}

fn topic_arn(text: &str) -> Result<String, Problem> {
    let parts: Vec<&str> = text.split(':').collect();
    let [arn, partition, service, region, account, topic] = parts[..] else { return Err(not_a_topic(text)) };
    let is_fit = arn == "arn"
        && partition.starts_with("aws")
        && service == "sns"
        && !region.is_empty()
        && !account.is_empty()
        && account.bytes().all(|b| b.is_ascii_digit())
        && (1..=256).contains(&topic.len())
        && text.bytes().all(|b| b.is_ascii_graphic());
    if is_fit { Ok(text.to_owned()) } else { Err(not_a_topic(text)) }
}

fn not_a_topic(text: &str) -> Problem {
    let problem = format!("must be the ARN of an SNS topic, found {}", syntax::quoted(text));
    Problem::new(problem, "write for example arn:aws:sns:eu-west-1:123456789012:orders")
}
