//! What a filter costs on an event of some 800 bytes, in nanoseconds a run; the best of some rounds, since the machine is shared.
//! Run with `cargo run --profile bench-lite -p trunkline-jq --example speed`.

#![allow(clippy::print_stdout, clippy::unwrap_used)] // a program to be run by hand

use std::hint::black_box;
use std::time::Instant;

use serde_json::json;
use trunkline_jq::{Filter, Input, Limits};

const ROUNDS: u32 = 15;
const RUNS: u32 = 4_000;

fn main() {
    let event = event();
    println!("event of {} bytes, best of {ROUNDS} rounds of {RUNS} runs", event.len());
    for text in [
        "true",
        ".data.amount > 100",
        "select(.data.amount > 100)",
        ".type == \"order.paid\" and .data.amount > 100 and .data.currency == \"AUD\"",
        "any(.data.items[]; .quantity > 2)",
        ".data.customer.email | test(\"@example\\\\.com$\")",
        "{text: \"\\(.data.customer.name) paid \\(.data.amount)\", at: .timestamp, items: [.data.items[].sku]}",
    ] {
        let filter = Filter::compile(text).unwrap();
        let limits = Limits::filter();
        let round = || {
            let started = Instant::now();
            for _ in 0..RUNS {
                black_box(filter.is_true(Input::json(black_box(event.as_bytes())), &limits)).unwrap();
            }
            started.elapsed() / RUNS
        };
        let best = (0..ROUNDS).map(|_| round()).min().unwrap_or_default();
        println!("{:>8} ns  {text}", best.as_nanos());
    }
}

/// An order as a shop would send it.
fn event() -> String {
    let item = |n: u32| json!({"sku": format!("SKU-{n:05}"), "name": "A thing that is sold", "quantity": n, "price": 19.95, "tax": 0.1});
    let customer = json!({
        "id": "cus_01hzy3f5", "name": "Ada Lovelace", "email": "ada@example.com", "phone": "+61 2 5550 1234",
        "address": {"street": "1 Example Street", "city": "Sydney", "state": "NSW", "postcode": "2000", "country": "AU"},
    });
    let data = json!({
        "id": "ord_01hzy3f4", "currency": "AUD", "amount": 120.5, "paid": true, "coupon": null, "customer": customer,
        "items": [item(1), item(2), item(3), item(4)], "tags": ["web", "returning", "newsletter"],
        "note": "Please leave it at the back door, and mind the dog.",
    });
    json!({"type": "order.paid", "timestamp": "2026-01-31T12:00:00Z", "data": data}).to_string()
}
