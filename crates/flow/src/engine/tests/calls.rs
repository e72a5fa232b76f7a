//! Calls by description, schemas that lie elsewhere, MCP and processes, from the definition to the wire.

use serde_json::{Value, json};
use trunkline_model::NoSecrets;
use trunkline_testkit::for_each_store;

use super::super::effects::ProcessLimits;
use super::super::*;
use super::json_of;
use super::net::{Net, Reply};
use super::rig::{Rig, tenant};
use crate::program::Format;

fn ok(value: &Value) -> Reply {
    (200, vec![("content-type", "application/json".to_owned())], value.to_string())
}

async fn output(rig: &Rig, net: &Arc<Net>, tasks: &str, input: Value) -> Value {
    let engine = rig.start_with(net.world(), Arc::new(NoSecrets));
    let definition = rig.define(&engine, "it", tasks).await;
    let id = rig.begin(&engine, &definition, input).await;
    let row = rig.reaches(&engine, &id, "completed").await;
    engine.stop().await;
    json_of(row.output.as_ref())
}

#[test]
fn an_operation_of_a_document_is_called() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let document = json!({"openapi": "3.0.3", "servers": [{"url": "http://pets.test/v1"}], "paths": {"/pets/{id}": {"get": {
            "operationId": "getPet", "parameters": [{"name": "id", "in": "path", "required": true}]}}}});
        let net = Net::new(move |sent| match sent.url.as_str() {
            "http://docs.test/api.json" => Some(ok(&document)),
            "http://pets.test/v1/pets/7" => Some(ok(&json!({"name": "Rex"}))),
            _ => Some((404, Vec::new(), String::new())),
        });
        let tasks = "do: [{f: {for: {each: i, in: '[7, 7]'}, do: [{c: {call: openapi, with: {document: {endpoint: 'http://docs.test/api.json'}, operationId: getPet, parameters: {id: '${ $i }'}}}}]}}]";
        assert_eq!(output(&rig, &net, tasks, json!({})).await, json!({"name": "Rex"}));
        assert_eq!(net.sent_to("docs.test").len(), 1, "the document is fetched once");
        assert_eq!(net.sent_to("pets.test")[1].method, "GET");
    });
}

#[test]
fn a_schema_that_lies_elsewhere_is_fetched_before_anything_is_done_and_never_again() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let net = Net::new(|sent| match sent.url.as_str() {
            "http://docs.test/in.yaml" => Some((
                200,
                Vec::new(),
                "type: object\nrequired: [id]\nproperties: {id: {type: integer}}\n".to_owned(),
            )),
            _ => Some((404, Vec::new(), String::new())),
        });
        let engine = rig.start_with(net.world(), Arc::new(NoSecrets));
        let tasks = "input: {schema: {resource: {endpoint: 'http://docs.test/in.yaml'}}}\ndo: [{w: {wait: PT30S}}, {s: {set: {id: '${ .id + 1 }'}, output: {schema: {resource: {endpoint: 'http://docs.test/in.yaml'}}}}}]";
        let definition = rig.define(&engine, "schema", tasks).await;
        let good = rig.begin(&engine, &definition, json!({"id": 1})).await;
        rig.until("it waits", async || rig.row(&good).await.phase.as_str() == "waiting").await;
        engine.stop().await;
        let n_fetched = net.sent().len();
        assert_eq!(n_fetched, 1);
        // Another process goes on from the records alone.
        let dead = Net::new(|_| Some((404, Vec::new(), String::new())));
        let engine = rig.start_with(dead.world(), Arc::new(NoSecrets));
        let row = rig.reaches(&engine, &good, "completed").await;
        assert_eq!(json_of(row.output.as_ref()), json!({"id": 2}));
        assert!(dead.sent().is_empty());
        engine.stop().await;
        let engine = rig.start_with(net.world(), Arc::new(NoSecrets));
        let bad = rig.begin(&engine, &definition, json!({"id": "x"})).await;
        let row = rig.reaches(&engine, &bad, "faulted").await;
        assert!(json_of(row.error.as_ref())["type"].as_str().unwrap().ends_with("/validation"));
        let absent = tasks.replace("in.yaml", "absent.yaml");
        let definition = rig.define(&engine, "absent", &absent).await;
        let id = rig.begin(&engine, &definition, json!({})).await;
        let row = rig.reaches(&engine, &id, "faulted").await;
        assert_eq!(json_of(row.error.as_ref())["status"], 404);
        engine.stop().await;
    });
}

#[test]
fn a_tool_of_a_server_is_called_in_a_session() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let net = Net::new(|sent| {
            let message: Value = serde_json::from_str(&sent.body).unwrap_or_default();
            match message["method"].as_str() {
                Some("initialize") => {
                    let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {"protocolVersion": "2025-06-18", "capabilities": {}}});
                    let headers = vec![
                        ("content-type", "application/json".to_owned()),
                        ("mcp-session-id", "s-1".to_owned()),
                    ];
                    Some((200, headers, answer.to_string()))
                }
                Some("tools/call") => {
                    let answer = json!({"jsonrpc": "2.0", "id": 2, "result": {"content": [{"type": "text", "text": message["params"]["arguments"]["q"]}]}});
                    let noise = "event: message\ndata: {\"jsonrpc\": \"2.0\", \"method\": \"notifications/progress\"}\n\n";
                    let headers = vec![("content-type", "text/event-stream".to_owned())];
                    Some((200, headers, format!("{noise}data: {answer}\n\n")))
                }
                _ => Some((202, Vec::new(), String::new())),
            }
        });
        let tasks = "do: [{t: {call: mcp, with: {method: tools/call, parameters: {name: find, arguments: {q: '${ .q }'}}, transport: {http: {endpoint: 'http://mcp.test/mcp', headers: {x-a: b}}}}}}]";
        let result = output(&rig, &net, tasks, json!({"q": "hello"})).await;
        assert_eq!(result, json!({"content": [{"type": "text", "text": "hello"}]}));
        let methods: Vec<String> = net.sent().iter().map(|sent| sent.method.clone()).collect();
        assert_eq!(methods, ["POST", "POST", "POST", "DELETE"]);
        assert!(
            net.sent()[1..]
                .iter()
                .all(|sent| sent.headers["mcp-session-id"] == "s-1" && sent.headers["x-a"] == "b")
        );
    });
}

#[test]
fn agents_are_called_and_messages_published() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let async_document = json!({"asyncapi": "3.0.0", "servers": {"s": {"host": "h.test:8080", "protocol": "http", "pathname": "/in"}},
            "channels": {"made": {"address": "orders/made"}}, "operations": {"tell": {"action": "send", "channel": {"$ref": "#/channels/made"}}}});
        let net = Net::new(move |sent| match sent.url.as_str() {
            "http://docs.test/async.json" => Some(ok(&async_document)),
            "http://agent.test/card.json" => Some(ok(&json!({"name": "a", "url": "http://agent.test/rpc"}))),
            "http://agent.test/rpc" => {
                Some(ok(&json!({"jsonrpc": "2.0", "id": 1, "result": {"said": sent.body.len() > 10}})))
            }
            "http://h.test:8080/in/orders/made" => Some(ok(&json!({"got": true}))),
            _ => Some((404, Vec::new(), String::new())),
        });
        let tasks = "do:\n- a: {call: a2a, with: {agentCard: {endpoint: 'http://agent.test/card.json'}, method: message/send, parameters: {message: hi}}}\n- p: {call: asyncapi, with: {document: {endpoint: 'http://docs.test/async.json'}, operation: tell, message: {payload: {said: '${ .said }'}, headers: {x-n: '1'}}}}";
        assert_eq!(output(&rig, &net, tasks, json!({})).await, json!({"got": true}));
        let sent = net.sent_to("h.test").remove(0);
        assert_eq!((sent.body.as_str(), &sent.headers["x-n"]), (r#"{"said":true}"#, &json!("1")));
    });
}

#[test]
fn functions_of_catalogs_and_urls_run_as_instances_of_their_own() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let net = Net::new(|sent| {
            let yaml = |text: &str| Some((200, Vec::new(), text.to_owned()));
            match sent.url.as_str() {
                "http://c.test/functions/double/1.0.0/function.yaml" => yaml(
                    "input: {schema: {document: {type: object, required: [n]}}}\ndo: [{w: {wait: PT5S}}, {s: {set: {n: '${ .n * 2 }'}}}]",
                ),
                "http://f.test/bad.yaml" => yaml("call: nothing"),
                "http://f.test/deep.yaml" => yaml("call: 'http://f.test/deep.yaml'"),
                _ => Some((404, Vec::new(), String::new())),
            }
        });
        let tasks = "use: {catalogs: {own: {endpoint: 'http://c.test/'}}}\ndo: [{d: {call: 'double:1.0.0@own', with: {n: '${ .n }'}}}, {s: {set: {got: '${ .n }'}}}]";
        assert_eq!(output(&rig, &net, tasks, json!({"n": 21})).await, json!({"got": 42}));
        let engine = rig.start_with(net.world(), Arc::new(NoSecrets));
        for (name, expect) in [("bad", "is no task"), ("deep", "calls no other"), ("absent", "status 404")] {
            let tasks = format!("do: [{{d: {{call: 'http://f.test/{name}.yaml'}}}}]");
            let definition = rig.define(&engine, name, &tasks).await;
            let id = rig.begin(&engine, &definition, json!({})).await;
            let row = rig.reaches(&engine, &id, "faulted").await;
            let error = json_of(row.error.as_ref());
            assert!(error["detail"].as_str().unwrap().contains(expect), "{error}");
        }
        engine.stop().await;
    });
}

#[test]
fn processes_run_where_the_operator_lets_them() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let net = Net::new(|_| None);
        let tasks = "do:\n- a: {run: {shell: {command: 'printf \"%s %s\" \"$1\" \"$NAME\"', arguments: ['${ .x }'], environment: {NAME: '${ .y }'}}}}\n- b: {run: {await: false, shell: {command: 'exit 1'}}}\n- c: {set: {out: '${ . }'}}";
        let engine = rig.start_with(net.world(), Arc::new(NoSecrets));
        let text =
            format!("document: {{dsl: '1.0.3', namespace: test, name: sh, version: '1.0.0'}}\n{tasks}");
        let state = trunkline_store::tables::workflow::definition::DefinitionState::Active;
        let refused = engine.store_definition(&tenant(), text, Format::Yaml, state).await;
        assert!(
            matches!(&refused, Err(StoreDefinitionError::Unsupported(found)) if found.len() == 2),
            "{refused:?}"
        );
        engine.stop().await;

        let limits = ProcessLimits {
            time: Duration::from_secs(20),
            output_bytes: 4096,
            memory_bytes: 1 << 30,
            at_once: 2,
        };
        let engine =
            rig.start_with(net.world_with(|options| options.processes = Some(limits)), Arc::new(NoSecrets));
        let definition = rig.define(&engine, "sh", tasks).await;
        let id = rig.begin(&engine, &definition, json!({"x": "a; b", "y": "$(id)"})).await;
        let row = rig.reaches(&engine, &id, "completed").await;
        assert_eq!(json_of(row.output.as_ref()), json!({"out": "a; b $(id)"}));
        engine.stop().await;
    });
}

#[test]
fn a_server_that_is_a_process_is_talked_with() {
    const SERVER: &str = r#"
read -r opening
echo noise >&2
printf '%s\n' 'no message' '{"jsonrpc":"2.0","id":"p","method":"ping"}' '{"jsonrpc":"2.0","id":7,"method":"roots/list"}'
read -r pong; read -r refusal
case "$pong$refusal" in *'"id":"p"'*'-32601'*) ;; *) exit 1 ;; esac
printf '%s\n' '{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-06-18","capabilities":{}}}'
read -r opened; read -r call
case "$opened$call" in *initialized*tools/call*"$1"*) ;; *) exit 1 ;; esac
printf '{"jsonrpc":"2.0","id":2,"result":{"content":[{"type":"text","text":"%s"}]}}\n' "$NAME"
"#;
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let net = Net::new(|_| None);
        let limits = ProcessLimits {
            time: Duration::from_secs(20),
            output_bytes: 4096,
            memory_bytes: 1 << 30,
            at_once: 1,
        };
        let engine =
            rig.start_with(net.world_with(|options| options.processes = Some(limits)), Arc::new(NoSecrets));
        let call = |script: &str, timeout: &str| {
            let stdio = json!({"command": "sh", "arguments": ["-c", script, "sh", "${ .q }"], "environment": {"NAME": "${ .q }"}});
            let with = json!({"method": "tools/call", "parameters": {"name": "find", "arguments": {"q": "${ .q }"}},
                "timeout": timeout, "transport": {"stdio": stdio}});
            format!("do: [{{t: {{call: mcp, with: {with}}}}}]")
        };
        let definition = rig.define(&engine, "good", &call(SERVER, "PT20S")).await;
        let id = rig.begin(&engine, &definition, json!({"q": "hello"})).await;
        let row = rig.reaches(&engine, &id, "completed").await;
        assert_eq!(json_of(row.output.as_ref()), json!({"content": [{"type": "text", "text": "hello"}]}));
        let refused = r#"read -r o; echo '{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no such version"}}'"#;
        for (name, script, timeout, kind, expect) in [
            ("gone", "exit 0", "PT20S", "/communication", "ended before it answered"),
            ("silent", "while read -r line; do :; done", "PT0.2S", "/timeout", "in time"),
            ("talkative", "while :; do echo 0123456789; done", "PT20S", "/runtime", "too much"),
            ("refusing", refused, "PT20S", "/communication", "no such version"),
        ] {
            let definition = rig.define(&engine, name, &call(script, timeout)).await;
            let id = rig.begin(&engine, &definition, json!({"q": "x"})).await;
            let error = json_of(rig.reaches(&engine, &id, "faulted").await.error.as_ref());
            assert!(error["type"].as_str().unwrap().ends_with(kind), "{name}: {error}");
            assert!(error["detail"].as_str().unwrap().contains(expect), "{name}: {error}");
        }
        engine.stop().await;
    });
}
