//! Secrets of instances: what stands for them in everything that is kept, and what hides them in whatever comes back.
//!
//! ```text
//! expression `$secrets.key` ─► stand-in «secret:SEAL:key» ─ state, records, snapshots, rows
//!                                      │
//!                 call is made: stand-ins become values, in memory, for this one call
//!                                      │
//! answer, error ◄─ values, and what they become in URLs and base64, turn into stand-ins and labels again
//! ```
//!
//! Invariants:
//! - The machine never sees a value. It works with stand-ins, which can be passed on and not computed with; whatever a
//!   call takes is put together anew, with values, when the call is made ([`Known`]).
//! - A stand-in holds a number that only this instance knows, so that no text from outside becomes a secret. Stand-ins
//!   leave the instance, in events and outcomes, as labels without it.
//! - What a call gives back passes [`Hidden`] before it becomes a record.

use parking_lot::Mutex;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Map, Value};
use trunkline_model::{Secret, SecretSource, Tenant};
use url::form_urlencoded;

use super::input::Failure;
use crate::dsl::error::StandardError;

/// Texts shorter than this cannot be told from chance and are not hidden; the configuration takes no shorter secrets.
pub const MIN_SECRET_BYTES: usize = 4;
/// What a part of a URL may hold as it is (RFC 3986, 2.3).
pub(super) const UNRESERVED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The most bytes of a secret.
const MAX_SECRET_BYTES: usize = 64 << 10;

/// What stands for a secret within an instance.
fn stand_in(seal: &str, name: &str) -> String {
    format!("«secret:{seal}:{name}»")
}

/// What stands for a secret outside.
fn label(name: &str) -> String {
    format!("[secret {name}]")
}

/// What `$secrets` gives while nothing is called.
pub(crate) fn stand_ins(names: &[String], seal: Option<&str>) -> Value {
    let Some(seal) = seal else { return Value::Object(Map::new()) };
    let entry = |name: &String| (name.clone(), Value::String(stand_in(seal, name)));
    Value::Object(names.iter().map(entry).collect())
}

/// A value as it may leave the instance: with labels for stand-ins.
pub(crate) fn labelled(value: Value, names: &[String], seal: Option<&str>) -> Value {
    let Some(seal) = seal.filter(|_| !names.is_empty()) else { return value };
    let pairs: Vec<(String, String)> = names.iter().map(|name| (stand_in(seal, name), label(name))).collect();
    map_texts(value, &|text| replaced(text, &pairs).map(Value::String))
}

/// The same for an error.
pub(crate) fn labelled_failure(mut failure: Failure, names: &[String], seal: Option<&str>) -> Failure {
    let Some(seal) = seal.filter(|_| !names.is_empty()) else { return failure };
    let pairs: Vec<(String, String)> = names.iter().map(|name| (stand_in(seal, name), label(name))).collect();
    each_text_of(&mut failure, |text| replaced(text, &pairs));
    failure
}

/// A fresh seal.
pub(crate) fn fresh_seal() -> String {
    use ring::rand::SecureRandom as _;
    let mut bytes = [0_u8; 16];
    // Without chance there are no stand-ins that can be told from texts; the system always has some.
    ring::rand::SystemRandom::new().fill(&mut bytes).expect("invariant: the system gives random bytes");
    hex::encode(bytes)
}

/// The values of the secrets of a program, for one call.
pub(crate) struct Known {
    entries: Vec<Entry>,
    hidden: Hidden,
}

struct Entry {
    name: String,
    stand_in: String,
    value: Value,
}

impl Known {
    /// Looks up every secret that a program declares.
    ///
    /// # Errors
    ///
    /// A configuration error that names the secret that is not there.
    pub(crate) async fn fetch(
        source: &dyn SecretSource,
        tenant: &Tenant,
        names: &[String],
        seal: Option<&str>,
    ) -> Result<Self, Failure> {
        let mut known = Self { entries: Vec::new(), hidden: Hidden::default() };
        for name in names {
            let wrong = |what: &str| {
                Failure::standard(StandardError::Configuration, format!("the secret `{name}` {what}"))
            };
            let found = source.find(tenant, name).await.map_err(|error| wrong(&error.to_string()))?;
            let secret = found.ok_or_else(|| wrong("is not configured for this tenant"))?;
            let text = secret.expose();
            if !(MIN_SECRET_BYTES..=MAX_SECRET_BYTES).contains(&text.len()) {
                return Err(wrong("is too short or too long to be one"));
            }
            known.add(name, seal.unwrap_or_default(), text);
        }
        Ok(known)
    }

    /// Secrets that are given, where there is no source.
    pub(crate) fn given<'a>(seal: &str, secrets: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut known = Self { entries: Vec::new(), hidden: Hidden::default() };
        for (name, text) in secrets {
            known.add(name, seal, text);
        }
        known
    }

    fn add(&mut self, name: &str, seal: &str, text: &str) {
        let stand_in = stand_in(seal, name);
        self.hidden.add(text, &stand_in, &label(name));
        let value = match serde_json::from_str::<Value>(text) {
            Ok(value @ Value::Object(_)) => value,
            _ => Value::String(text.to_owned()),
        };
        if value.is_object() {
            each_leaf(&value, &mut |leaf| self.hidden.add(leaf, &label(name), &label(name)));
        }
        self.entries.push(Entry { name: name.to_owned(), stand_in, value });
    }

    /// What `$secrets` gives.
    pub(crate) fn values(&self) -> Value {
        Value::Object(self.entries.iter().map(|entry| (entry.name.clone(), entry.value.clone())).collect())
    }

    /// The value of a secret.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.entries.iter().find(|entry| entry.name == name).map(|entry| &entry.value)
    }

    /// Puts values in the place of stand-ins.
    pub(crate) fn revealed(&self, value: Value) -> Value {
        if self.entries.is_empty() {
            return value;
        }
        map_texts(value, &|text| {
            if let Some(entry) = self.entries.iter().find(|entry| entry.stand_in == text) {
                return Some(entry.value.clone());
            }
            let pairs: Vec<(String, String)> = self
                .entries
                .iter()
                .filter(|entry| text.contains(&entry.stand_in))
                .map(|entry| (entry.stand_in.clone(), plain(&entry.value)))
                .collect();
            replaced(text, &pairs).map(Value::String)
        })
    }

    /// What has to be hidden in what comes back.
    pub(crate) fn into_hidden(self) -> Hidden {
        self.hidden
    }
}

/// Texts that must not be kept, with what stands in their place. Shared by all who take part in a call.
#[derive(Default)]
pub struct Hidden {
    forms: Mutex<Forms>,
}

#[derive(Default)]
struct Forms {
    /// What to look for, longer ones first, since a shorter one may be part of them.
    pairs: Vec<(String, String)>,
    /// The texts themselves, to be found in texts that are written in another way, with what stands for all of it.
    plain: Vec<(String, String)>,
}

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hidden({} texts)", self.forms.lock().plain.len())
    }
}

impl Hidden {
    /// Hides a text that is no secret by name, such as a token that was fetched.
    pub fn token(&self, text: &str) {
        self.add(text, "[secret]", "[secret]");
    }

    fn add(&self, text: &str, plain: &str, otherwise: &str) {
        let mut forms = self.forms.lock();
        if text.len() < MIN_SECRET_BYTES || forms.plain.iter().any(|(known, _)| known == text) {
            return;
        }
        forms.plain.push((text.to_owned(), otherwise.to_owned()));
        forms.pairs.push((text.to_owned(), plain.to_owned()));
        let quoted = Value::from(text).to_string();
        let mut others = vec![
            quoted[1..quoted.len() - 1].to_owned(),
            form_urlencoded::byte_serialize(text.as_bytes()).collect(),
            utf8_percent_encode(text, UNRESERVED).to_string(),
        ];
        others.extend(in_base64(text.as_bytes()));
        for form in others {
            if form.len() >= MIN_SECRET_BYTES && !forms.pairs.iter().any(|(known, _)| *known == form) {
                forms.pairs.push((form, otherwise.to_owned()));
            }
        }
        forms.pairs.sort_by_key(|(form, _)| std::cmp::Reverse(form.len()));
    }

    /// A value without what must not be kept.
    pub(crate) fn hide(&self, value: Value) -> Value {
        let forms = self.forms.lock();
        if forms.pairs.is_empty() {
            return value;
        }
        map_texts(value, &|text| forms.hide(text).map(Value::String))
    }

    /// The same for an error.
    pub(crate) fn hide_failure(&self, mut failure: Failure) -> Failure {
        let forms = self.forms.lock();
        each_text_of(&mut failure, |text| forms.hide(text));
        failure
    }
}

impl Forms {
    /// The text without what must not be kept; `None` where nothing has to change.
    fn hide(&self, text: &str) -> Option<String> {
        let changed = replaced(text, &self.pairs);
        let left = changed.as_deref().unwrap_or(text);
        // Written in another way than anybody foresaw: what gives it away goes as a whole.
        let found = other_readings(left)
            .find_map(|reading| self.plain.iter().find(|(plain, _)| reading.contains(plain.as_str())));
        match found {
            Some((_, label)) => Some(label.clone()),
            None => changed,
        }
    }
}

/// What a text says when its escapes are read, of URLs and of JSON.
fn other_readings(text: &str) -> impl Iterator<Item = String> {
    let percent = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let in_url = text.contains('%').then(|| percent(text));
    let in_form = text.contains(['%', '+']).then(|| percent(&text.replace('+', " ")));
    let in_json = text.contains('\\').then(|| unescaped(text));
    [in_url, in_form, in_json].into_iter().flatten()
}

/// Reads the escapes of JSON wherever they stand.
fn unescaped(text: &str) -> String {
    let mut read = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        read.push_str(&rest[..at]);
        let escape = &rest[at + 1..];
        let code = escape.strip_prefix('u').and_then(|digits| digits.get(..4));
        let unit = code.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let (shown, n_bytes) = match (unit.and_then(char::from_u32), escape.chars().next()) {
            (Some(shown), _) => (Some(shown), 5),
            (None, Some('n')) => (Some('\n'), 1),
            (None, Some('t')) => (Some('\t'), 1),
            (None, Some(shown)) => (Some(shown), shown.len_utf8()),
            (None, None) => (None, 0),
        };
        read.extend(shown);
        rest = &escape[n_bytes..];
    }
    read.push_str(rest);
    read
}

/// The parts of base64 texts that give a text away, wherever it begins within what is encoded.
fn in_base64(bytes: &[u8]) -> Vec<String> {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
    let mut found = Vec::new();
    for shift in 0..3_usize {
        let shifted: Vec<u8> = std::iter::repeat_n(0, shift).chain(bytes.iter().copied()).collect();
        let (start, end) = ((shift * 8).div_ceil(6), shifted.len() * 8 / 6);
        for text in [STANDARD_NO_PAD.encode(&shifted), URL_SAFE_NO_PAD.encode(&shifted)] {
            // Five characters are left of the shortest secret at most; fewer would be chance.
            if let Some(part) = text.get(start..end).filter(|part| part.len() >= MIN_SECRET_BYTES) {
                found.push(part.to_owned());
            }
        }
    }
    found
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn replaced(text: &str, pairs: &[(String, String)]) -> Option<String> {
    let mut changed: Option<String> = None;
    for (from, to) in pairs {
        let at = changed.as_deref().unwrap_or(text);
        if at.contains(from.as_str()) {
            changed = Some(at.replace(from.as_str(), to));
        }
    }
    changed
}

fn each_leaf(value: &Value, give: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => give(text),
        Value::Number(number) => give(&number.to_string()),
        Value::Array(items) => items.iter().for_each(|item| each_leaf(item, give)),
        Value::Object(members) => members.values().for_each(|member| each_leaf(member, give)),
        Value::Null | Value::Bool(_) => {}
    }
}

fn each_text_of(failure: &mut Failure, change: impl Fn(&str) -> Option<String>) {
    if let Some(changed) = change(&failure.kind) {
        failure.kind = changed;
    }
    for text in [&mut failure.title, &mut failure.detail, &mut failure.instance].into_iter().flatten() {
        if let Some(changed) = change(text) {
            *text = changed;
        }
    }
}

/// Changes every text of a value, names of members among them.
fn map_texts(value: Value, change: &dyn Fn(&str) -> Option<Value>) -> Value {
    match value {
        Value::String(text) => change(&text).unwrap_or(Value::String(text)),
        Value::Number(number) => change(&number.to_string()).unwrap_or(Value::Number(number)),
        Value::Array(items) => items.into_iter().map(|item| map_texts(item, change)).collect(),
        Value::Object(members) => {
            let member = |(name, member): (String, Value)| {
                let name = change(&name).map_or(name, |name| plain(&name));
                (name, map_texts(member, change))
            };
            Value::Object(members.into_iter().map(member).collect())
        }
        other @ (Value::Null | Value::Bool(_)) => other,
    }
}

/// Wraps text that a policy gave.
pub(crate) fn secret_text(value: &Value) -> Secret {
    Secret::new(plain(value))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // everything here is a test

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn stand_ins_become_values_and_values_become_stand_ins() {
        let known = Known::given(
            "s1",
            [("key", "k-4711-xyz"), ("user", r#"{"username": "ann@x", "password": "p4ss w/rd"}"#)],
        );
        let names = ["key".to_owned(), "user".to_owned()];
        let kept = stand_ins(&names, Some("s1"));
        assert_eq!(known.revealed(kept.clone()), known.values());
        let text = json!({"a": format!("Bearer {}", kept["key"].as_str().unwrap())});
        assert_eq!(known.revealed(text.clone()), json!({"a": "Bearer k-4711-xyz"}));
        let foreign = json!("«secret:s2:key»");
        assert_eq!(known.revealed(foreign.clone()), foreign);
        let hidden = known.into_hidden();
        assert_eq!(hidden.hide(json!({"a": "Bearer k-4711-xyz"})), text);
        assert_eq!(
            hidden.hide(json!({"k-4711-xyz": ["p4ss+w%2Frd", "p4ss%20w/rd"]}))[kept["key"].as_str().unwrap()],
            json!(["[secret user]", "[secret user]"])
        );
        assert_eq!(labelled(text, &names, Some("s1")), json!({"a": "Bearer [secret key]"}));
    }

    #[test]
    fn escapes_give_nothing_away() {
        let hidden = Hidden::default();
        hidden.token("key/ü 47-11");
        for text in [
            "%6bey/%c3%bc%2047-11",
            "key%2F%C3%BC+47-11",
            "{\"a\": \"key\\/\\u00fc 47-11\"}",
            "\\u006bey/ü 47-11",
        ] {
            let told = hidden.hide(json!(text));
            assert!(!told.to_string().contains("47-11"), "{told}");
        }
        for text in ["100 %", "a\\", "\\u12", "\\ud800\\ü", "1+1=2"] {
            assert_eq!(hidden.hide(json!(text)), json!(text));
        }
    }

    proptest! {
        /// Wherever a secret stands within what is encoded, nothing is left from which it could be read.
        #[test]
        fn base64_gives_no_secret_away(secret in "[a-zA-Z0-9_/+=-]{6,40}", before in "[a-z:]{0,9}", after in "[a-z:]{0,9}") {
            let hidden = Hidden::default();
            hidden.token(&secret);
            let clear = format!("{before}{secret}{after}");
            let told = hidden.hide(json!(STANDARD.encode(&clear)));
            prop_assert!(told.as_str().unwrap().contains("[secret]"), "{told}");
            prop_assert!(!hidden.hide(json!(clear)).to_string().contains(&secret));
        }
    }
}
