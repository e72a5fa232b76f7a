//! Follows new events through the list of events, for `event tail` and `webhook listen`.
//!
//! The list is newest first. A poll reads pages until one holds an event it has met before; every other event on these
//! pages is new. Events that are committed out of the order of their times are found too, because whole pages are looked
//! at and the first page is learnt before the following begins.

use std::collections::{HashSet, VecDeque};

use serde_json::Value;

use super::Api;

/// Events remembered; far more than the pages a poll reads.
const MEMORY: usize = 20_000;
/// Pages of one poll; beyond them older events of a flood are left out.
const MAX_PAGES: usize = 100;
const PAGE_LIMIT: &str = "100";

/// Remembers which events were met.
pub(crate) struct Follower<'a> {
    api: &'a Api,
    known: HashSet<String>,
    order: VecDeque<String>,
}

impl<'a> Follower<'a> {
    /// Begins with the newest `n_first` events known so far, oldest first; only later ones are new.
    ///
    /// # Errors
    /// Those of the API.
    pub(crate) async fn start(api: &'a Api, n_first: usize) -> anyhow::Result<(Self, Vec<Value>)> {
        let mut follower = Self { api, known: HashSet::new(), order: VecDeque::new() };
        let mut first = Vec::new();
        let mut token = None;
        loop {
            let (items, next) = follower.page(token.as_deref()).await?;
            for item in items {
                follower.learn(&item);
                first.push(item);
            }
            token = next;
            if token.is_none() || first.len() >= n_first {
                break;
            }
        }
        first.truncate(n_first);
        first.reverse();
        Ok((follower, first))
    }

    /// The events that have come since, oldest first.
    ///
    /// # Errors
    /// Those of the API.
    pub(crate) async fn poll(&mut self) -> anyhow::Result<Vec<Value>> {
        let mut new = Vec::new();
        let mut token = None;
        for _ in 0..MAX_PAGES {
            let (items, next) = self.page(token.as_deref()).await?;
            let n_items = items.len();
            let n_before = new.len();
            new.extend(items.into_iter().filter(|item| self.learn(item)));
            token = next;
            if token.is_none() || new.len() - n_before < n_items {
                break;
            }
        }
        new.reverse();
        Ok(new)
    }

    async fn page(&self, token: Option<&str>) -> anyhow::Result<(Vec<Value>, Option<String>)> {
        let mut query = vec![("limit", PAGE_LIMIT)];
        query.extend(token.map(|token| ("page_token", token)));
        let mut page = self.api.get("api/v1/events", &query).await?;
        let items = match page["items"].take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        };
        Ok((items, page["next_page_token"].as_str().map(str::to_owned)))
    }

    /// Remembers an event; tells whether it is new.
    fn learn(&mut self, item: &Value) -> bool {
        let key = format!("{} {}", item["id"].as_str().unwrap_or(""), item["source"].as_str().unwrap_or(""));
        if !self.known.insert(key.clone()) {
            return false;
        }
        self.order.push_back(key);
        if self.order.len() > MEMORY
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}
