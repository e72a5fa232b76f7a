//! Bodies and queries in `application/x-www-form-urlencoded`, as some providers send them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;

/// Tells whether a call says that its body is a form.
pub(super) fn is_form(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = content_type.split(';').next().unwrap_or("").trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// The first field of a name.
pub(super) fn field<'b>(body: &'b [u8], name: &str) -> Option<Cow<'b, str>> {
    form_urlencoded::parse(body).find(|(found, _)| found == name).map(|(_, value)| value)
}

/// The form as a JSON object: text for a name that occurs once, a list of texts for others.
pub(super) fn to_json(body: &[u8]) -> Bytes {
    let mut fields: BTreeMap<Cow<'_, str>, Vec<Cow<'_, str>>> = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(body) {
        fields.entry(name).or_default().push(value);
    }
    let object: serde_json::Map<String, serde_json::Value> = fields
        .into_iter()
        .map(|(name, mut values)| {
            let value = match (values.len(), values.pop()) {
                (1, Some(only)) => only.into_owned().into(),
                (_, last) => {
                    values.extend(last);
                    values.into_iter().map(Cow::into_owned).collect::<Vec<String>>().into()
                }
            };
            (name.into_owned(), value)
        })
        .collect();
    serde_json::Value::Object(object).to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_become_objects() {
        assert_eq!(
            to_json(b"b=2&a=%2B1+x&c=1&c=2&=n&d"),
            r#"{"":"n","a":"+1 x","b":"2","c":["1","2"],"d":""}"#
        );
        assert_eq!(to_json(b""), "{}");
        assert_eq!(field(b"a=1&b=%41&b=2", "b").as_deref(), Some("A"));
        assert_eq!(field(b"a=1", "b"), None);
    }
}
