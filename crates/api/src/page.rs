//! Cursor paging: `{items, next_page_token}`.
//!
//! A page token is base64url of a check sum and the place of the last item. The sum also covers the list, the tenant and
//! the filters, so a token that was altered, or is used with other filters, is refused instead of skipping items. It is no
//! secret: a place names only what its list shows.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use serde::Serialize;
use serde_json::Value;
use trunkline_model::Tenant;

use crate::input::{Field, Input, Kind, Text};
use crate::openapi::{Components, Described};
use crate::problem::Problem;

/// Items on a page when nothing is asked for.
const DEFAULT_LIMIT: i64 = 50;
/// The most items on a page.
pub(crate) const MAX_LIMIT: i64 = 100;
const SUM_LEN: usize = 8;

/// The parameter `limit` of every list.
pub(crate) const LIMIT: Field = Field::optional(
    "limit",
    Kind::Integer { min: 1, max: MAX_LIMIT },
    "How many items to answer at most. Default 50.",
);
/// The parameter `page_token` of every list.
pub(crate) const TOKEN: Field = Field::optional(
    "page_token",
    Kind::Text(Text {
        min: 1,
        max: 1024,
        pattern: "^[A-Za-z0-9_-]+$",
        accepts: |text| text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')),
        rule: "is not a page token",
    }),
    "The `next_page_token` of the page before, with the same filters.",
);

/// One page of a list.
#[derive(Debug, Serialize)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    pub(crate) next_page_token: Option<String>,
}

impl<T: Described> Described for Page<T> {
    fn reference(components: &mut Components) -> Value {
        serde_json::json!({
            "type": "object",
            "required": ["items", "next_page_token"],
            "properties": {
                "items": { "type": "array", "items": T::reference(components), "maxItems": MAX_LIMIT },
                "next_page_token": {
                    "type": ["string", "null"],
                    "description": "Gives the next page when sent as `page_token`; null on the last page."
                }
            }
        })
    }
}

/// What one request for a page asks for.
#[derive(Debug)]
pub(crate) struct Paging {
    /// Items on the page.
    pub(crate) limit: i64,
    /// The place of the last item of the page before.
    pub(crate) after: Option<String>,
    scope: Vec<u8>,
}

impl Paging {
    /// Reads `limit` and `page_token`; a bad token becomes a fault of the input.
    pub(crate) fn read(input: &mut Input, list: &str, tenant: &Tenant) -> Self {
        let scope = serde_json::to_vec(&(list, tenant.as_str(), input.without(&["limit", "page_token"])))
            .expect("invariant: plain values serialise");
        let mut paging = Self { limit: input.integer("limit").unwrap_or(DEFAULT_LIMIT), after: None, scope };
        if let Some(token) = input.text("page_token") {
            paging.after = paging.open(&token);
            if paging.after.is_none() {
                input.fault("page_token", "invalid", "is not a token of this list with these filters");
            }
        }
        paging
    }

    /// How many rows to read: one more than the page shows tells whether there is another page.
    pub(crate) fn n_rows(&self) -> i64 {
        self.limit + 1
    }

    /// Makes the page from rows read with [`n_rows`](Self::n_rows). `place` names a row's place in the list.
    pub(crate) fn page<R, T>(
        &self,
        mut rows: Vec<R>,
        place: impl Fn(&R) -> String,
        show: impl Fn(R) -> T,
    ) -> Page<T> {
        let limit = self.limit as usize;
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let next_page_token = rows.last().filter(|_| has_more).map(|row| self.seal(&place(row)));
        Page { items: rows.into_iter().map(show).collect(), next_page_token }
    }

    /// The token for the page behind a place.
    pub(crate) fn seal(&self, place: &str) -> String {
        let mut bytes = self.sum(place.as_bytes()).to_vec();
        bytes.extend_from_slice(place.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn open(&self, token: &str) -> Option<String> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (sum, place) = bytes.split_at_checked(SUM_LEN)?;
        (sum == self.sum(place)).then(|| String::from_utf8(place.to_vec()).ok()).flatten()
    }

    fn sum(&self, place: &[u8]) -> [u8; SUM_LEN] {
        let mut covered = self.scope.clone();
        covered.push(0);
        covered.extend_from_slice(place);
        let mut sum = [0; SUM_LEN];
        sum.copy_from_slice(&digest(&SHA256, &covered).as_ref()[..SUM_LEN]);
        sum
    }
}

/// The place that a query's page token names in a list of this tenant. Reads as a handler does; the fuzz target calls it.
///
/// # Errors
/// What a caller would be answered.
pub fn read_place(query: &str, tenant: &Tenant) -> Result<Option<String>, Problem> {
    static FIELDS: &[Field] =
        &[LIMIT, TOKEN, Field::optional("type", Kind::Text(Text::line(0, 9)), "Filter.")];
    let mut input = Input::from_query(FIELDS, Some(query));
    let paging = Paging::read(&mut input, "list", tenant);
    input.finish().map(|()| paging.after)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    static FIELDS: &[Field] = &[LIMIT, TOKEN, Field::optional("type", Kind::Text(Text::line(0, 9)), "")];

    fn read(query: &str, tenant: &str) -> (Paging, bool) {
        let mut input = Input::from_query(FIELDS, Some(query));
        let paging = Paging::read(&mut input, "events", &Tenant::from_stored(tenant));
        (paging, input.finish().is_ok())
    }

    #[test]
    fn a_token_is_bound_to_its_list() {
        let token = read("type=a&limit=5", "t1").0.seal("place");
        assert_eq!(
            read(&format!("type=a&limit=9&page_token={token}"), "t1").0.after.as_deref(),
            Some("place")
        );
        assert!(!read(&format!("type=b&page_token={token}"), "t1").1);
        assert!(!read(&format!("type=a&page_token={token}"), "t2").1);
        assert!(!read(&format!("page_token={token}"), "t1").1);
    }

    proptest! {
        #[test]
        fn altered_tokens_are_refused(place in ".{0,40}", at in any::<usize>(), with in "[A-Za-z0-9_-]") {
            let (paging, _) = read("", "t");
            let mut token = paging.seal(&place);
            prop_assert_eq!(paging.open(&token), Some(place));
            let at = at % token.len();
            prop_assume!(token[at..=at] != with);
            token.replace_range(at..=at, &with);
            prop_assert_eq!(paging.open(&token), None);
        }

        #[test]
        fn foreign_tokens_never_panic(token in ".{0,60}") {
            prop_assert_eq!(read("", "t").0.open(&token), None);
        }
    }
}
