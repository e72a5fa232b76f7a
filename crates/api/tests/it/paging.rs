//! Paging: whatever the limits, every item comes once and in order.

use proptest::prelude::*;
use serde_json::Value;

use crate::harness::Hub;

/// Walks a list with a limit for each page in turn.
async fn walk(hub: &Hub, path: &str, limits: &[usize]) -> Vec<String> {
    let (mut ids, mut token) = (Vec::new(), None::<String>);
    for limit in limits.iter().cycle() {
        let token_part = token.as_ref().map(|token| format!("&page_token={token}")).unwrap_or_default();
        let page = hub.get(&format!("{path}limit={limit}{token_part}")).await;
        assert_eq!(page.status, 200, "{}", page.text);
        let items = page.body["items"].as_array().unwrap();
        assert!(items.len() <= *limit);
        ids.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        match &page.body["next_page_token"] {
            Value::String(next) => {
                assert_eq!(items.len(), *limit, "a page before the last is full");
                token = Some(next.clone());
            }
            _ => break,
        }
    }
    ids
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    #[test]
    fn every_item_comes_once(n in 0..40_usize, limits in proptest::collection::vec(1..12_usize, 1..4)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let hub = Hub::start().await;
            let types = ["order.created", "order.paid"];
            for index in 0..n {
                assert_eq!(hub.emit(&format!("e{index}"), types[index % 2]).await.status, 202);
                if index % 3 == 0 {
                    let input = serde_json::json!({ "url": "https://example.com/", "events": ["**"] });
                    assert_eq!(hub.post("/api/v1/webhooks", &input).await.status, 201);
                }
            }
            let expect: Vec<String> = (0..n).rev().map(|index| format!("e{index}")).collect();
            assert_eq!(walk(&hub, "/api/v1/events?", &limits).await, expect);
            let paid: Vec<String> = (0..n).rev().filter(|i| i % 2 == 1).map(|i| format!("e{i}")).collect();
            assert_eq!(walk(&hub, "/api/v1/events?type=order.paid&", &limits).await, paid);
            let webhooks = walk(&hub, "/api/v1/webhooks?", &limits).await;
            assert_eq!(webhooks.len(), n.div_ceil(3));
            assert!(webhooks.windows(2).all(|pair| pair[0] > pair[1]));
        });
    }
}

#[tokio::test]
async fn bad_paging_is_refused() {
    let hub = Hub::start().await;
    for index in 0..3 {
        hub.emit(&format!("e{index}"), "a.b").await;
    }
    let page = hub.get("/api/v1/events?limit=1").await;
    let token = page.body["next_page_token"].as_str().unwrap();
    let cases = [
        ("limit=0".to_owned(), "query:limit"),
        ("limit=101".to_owned(), "query:limit"),
        ("limit=ten".to_owned(), "query:limit"),
        ("page_token=AAAA".to_owned(), "query:page_token"),
        ("page_token=%00".to_owned(), "query:page_token"),
        (format!("page_token={token}&type=a.b"), "query:page_token"),
        (format!("page_token={}x", &token[..token.len() - 1]), "query:page_token"),
        ("colour=red".to_owned(), "query:colour"),
        ("since=yesterday".to_owned(), "query:since"),
        ("limit=1&limit=2".to_owned(), "query:limit"),
    ];
    for (query, pointer) in cases {
        let answer = hub.get(&format!("/api/v1/events?{query}")).await;
        assert_eq!((answer.status.as_u16(), answer.pointers()), (400, vec![pointer.to_owned()]), "{query}");
    }
    let other_list = hub.get(&format!("/api/v1/webhooks?page_token={token}")).await;
    assert_eq!(other_list.pointers(), ["query:page_token"]);
}
