//! Secrets reach those they are for, and are kept nowhere.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::{Value, json};
use trunkline_model::outlets::{Message, NotSent, Notifier, SentMessage};
use trunkline_store::tables::stored_record::stored_record_get;
use trunkline_testkit::for_each_store;

use super::super::*;
use super::json_of;
use super::net::{Given, Net};
use super::rig::{Rig, tenant};

const KEY: &str = "canary-4711 key/ü";
const PASSWORD: &str = "canary-pass+word";
const TOKEN: &str = "canary.token.value";
const FETCHED: &str = "canary-fetched-0815";

fn given() -> Arc<Given> {
    let login = json!({"username": "ann", "password": PASSWORD}).to_string();
    let client = json!({"authority": "http://login.test", "grant": "client_credentials",
        "client": {"id": "hub", "secret": "canary-client-secret"}})
    .to_string();
    Given::new(&[("key", KEY), ("login", &login), ("token", TOKEN), ("client", &client)])
}

const TASKS: &str = r#"
use: {secrets: [key, login, token, client]}
do:
- header: {call: http, with: {method: get, endpoint: 'http://a.test/header', headers: {x-key: '${ "K " + ($secrets.key | @base64) }'}, output: response}}
- query: {call: http, with: {method: get, endpoint: 'http://a.test/query', query: {q: '${ $secret.key }'}, output: response}}
- body: {call: http, with: {method: post, endpoint: 'http://a.test/body', body: {k: '${ $secrets.key }', u: '${ $secrets.login.password | ascii_upcase }', n: 1}}}
- url: {call: http, with: {method: get, endpoint: '${ "http://a.test/url/" + ($secrets.key | @uri) }', output: response}}
- basic: {call: http, with: {method: get, endpoint: {uri: 'http://a.test/basic', authentication: {basic: {use: login}}}, output: response}}
- bearer: {call: http, with: {method: get, endpoint: {uri: 'http://a.test/bearer', authentication: {bearer: {token: '${ $secrets.token }'}}}, output: raw}}
- fetched: {call: http, with: {method: get, endpoint: {uri: 'http://a.test/fetched', authentication: {oauth2: {use: client}}}}}
- from: {input: {from: '${ {passed: $secrets.key} }'}, call: http, with: {method: post, endpoint: 'http://a.test/from', body: '${ .passed | @base64 }'}}
- kept: {set: {kept: '${ "<" + $secrets.token + ">" }', auth: '${ $authorization }'}, export: {as: '${ {kept: .kept} }'}}
- later: {wait: PT30S}
- passed: {call: http, with: {method: post, endpoint: 'http://a.test/passed', body: '${ $context.kept }'}}
- told: {emit: {event: {with: {type: it.leaked, data: {secret: '${ $secrets.key }'}}}}}
- wrong: {try: [{w: {call: http, with: {method: post, endpoint: 'http://a.test/wrong', body: '${ $secrets.key | tonumber }'}}}], catch: {as: error, do: [{c: {set: {e: '${ $error }'}}}]}}
- fails: {call: http, with: {method: get, endpoint: '${ "http://a.test/refuse/" + ($secrets.key | @uri) }', headers: {x: '${ $secrets.token }'}}, metadata: {}}
"#;

#[test]
fn no_secret_is_kept_anywhere() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let net = Net::new(|sent| {
            let grant = json!({"access_token": FETCHED, "token_type": "Bearer"}).to_string();
            match () {
                () if sent.url.contains("login.test") => Some((200, Vec::new(), grant)),
                () if sent.url.contains("/refuse") => Some((500, Vec::new(), "no".to_owned())),
                () => None,
            }
        });
        let engine = rig.start_with(net.world(), given());
        let definition = rig.define(&engine, "leak", TASKS).await;
        let id = rig.begin(&engine, &definition, json!({})).await;
        let row = rig.reaches(&engine, &id, "faulted").await;
        engine.stop().await;
        assert_eq!(json_of(row.error.as_ref())["status"], 500, "{:?}", row.error);

        let one = |path: &str| {
            let sent = net.sent_to(path);
            assert_eq!(sent.len(), 1, "{path}");
            sent.into_iter().next().unwrap()
        };
        assert_eq!(one("/header").headers["x-key"], format!("K {}", BASE64.encode(KEY)));
        assert_eq!(one("/query").url, "http://a.test/query?q=canary-4711+key%2F%C3%BC");
        let body: Value = serde_json::from_str(&one("/body").body).unwrap();
        assert_eq!(body, json!({"k": KEY, "u": PASSWORD.to_uppercase(), "n": 1}));
        assert_eq!(one("/url/").url, "http://a.test/url/canary-4711%20key%2F%C3%BC");
        let pair = BASE64.encode(format!("ann:{PASSWORD}"));
        assert_eq!(one("/basic").headers["authorization"], format!("Basic {pair}"));
        assert_eq!(one("/bearer").headers["authorization"], format!("Bearer {TOKEN}"));
        assert_eq!(one("/fetched").headers["authorization"], format!("Bearer {FETCHED}"));
        assert_eq!(one("/from").body, BASE64.encode(KEY));
        assert_eq!(one("/passed").body, format!("<{TOKEN}>"));
        assert!(net.sent_to("/wrong").is_empty());

        let kept = home.contents().await;
        assert!(kept.contains("it.leaked") && kept.contains("[secret key]"), "the contents are read");
        let hex = |text: &str| hex::encode(text);
        for secret in [KEY, PASSWORD, TOKEN, FETCHED, "canary-client-secret"] {
            for form in [secret.to_owned(), BASE64.encode(secret), hex(secret), secret[..12].to_owned()] {
                let at = kept.find(&form);
                let around =
                    at.map(|at| kept[at.saturating_sub(200)..].chars().take(400).collect::<String>());
                assert_eq!(around, None, "{form} is kept");
            }
        }
        assert!(
            !kept.contains(&pair) && !kept.contains("canary-4711+key") && !kept.contains("canary-4711%20key")
        );
    });
}

#[test]
fn a_secret_of_another_tenant_is_none() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let net = Net::new(|_| None);
        let mut secrets = Given::default();
        secrets.0.insert(("clinic-2".to_owned(), "key".to_owned()), KEY.to_owned());
        let engine = rig.start_with(net.world(), Arc::new(secrets));
        let tasks = "use: {secrets: [key]}\ndo: [{c: {call: http, with: {method: get, endpoint: 'http://a.test/x', headers: {k: '${ $secrets.key }'}}}}]";
        let definition = rig.define(&engine, "foreign", tasks).await;
        let id = rig.begin(&engine, &definition, json!({})).await;
        let row = rig.reaches(&engine, &id, "faulted").await;
        let error = json_of(row.error.as_ref());
        assert_eq!(error["detail"], "the secret `key` is not configured for this tenant");
        assert!(net.sent().is_empty());
        engine.stop().await;
    });
}

#[test]
fn digest_and_discovered_tokens_are_answered() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let net = Net::new(|sent| {
            let json = |value: Value| Some((200, Vec::new(), value.to_string()));
            match sent.url.as_str() {
                "http://id.test/.well-known/openid-configuration" => {
                    json(json!({"issuer": "http://id.test", "token_endpoint": "http://id.test/t"}))
                }
                "http://id.test/t" => json(json!({"access_token": FETCHED, "token_type": "bearer"})),
                "http://a.test/digest" if !sent.headers.contains_key("authorization") => {
                    let challenge =
                        "Digest realm=\"r\", nonce=\"n\", qop=\"auth\", algorithm=SHA-256".to_owned();
                    Some((401, vec![("www-authenticate", challenge)], String::new()))
                }
                // The first token was withdrawn.
                "http://a.test/oidc" if sent.headers["authorization"] == format!("Bearer {FETCHED}") => {
                    Some((401, Vec::new(), String::new()))
                }
                _ => None,
            }
        });
        let engine = rig.start_with(net.world(), given());
        let tasks = r"
use: {secrets: [login, key]}
do:
- d: {call: http, with: {method: get, endpoint: {uri: 'http://a.test/digest', authentication: {digest: {use: login}}}}}
- o: {try: [{o: {call: http, with: {method: get, endpoint: {uri: 'http://a.test/oidc', authentication: {oidc: {authority: 'http://id.test', grant: password, username: ann, password: '${ $secrets.login.password }', client: {id: hub, secret: '${ $secrets.key }', authentication: client_secret_basic}, scopes: [a, b]}}}}}}], catch: {as: error, do: [{s: {set: {status: '${ $error.status }'}}}]}}
";
        let definition = rig.define(&engine, "login", tasks).await;
        let id = rig.begin(&engine, &definition, json!({})).await;
        let row = rig.reaches(&engine, &id, "completed").await;
        assert_eq!(json_of(row.output.as_ref()), json!({"status": 401}));
        let digest = net.sent_to("/digest");
        assert_eq!(digest.len(), 2);
        assert!(digest[1].headers["authorization"].as_str().unwrap().starts_with("Digest username=\"ann\""));
        let asked = net.sent_to("id.test/t");
        let body = "grant_type=password&username=ann&password=canary-pass%2Bword&scope=a+b";
        assert_eq!((asked.len(), asked[0].body.as_str()), (2, body), "a refused token is fetched again once");
        assert_eq!(net.sent_to("openid-configuration").len(), 1);
        engine.stop().await;
    });
}

/// Says back what it was to send, also where it refuses to.
#[derive(Default)]
struct Chatty(Mutex<Vec<String>>);

impl Notifier for Chatty {
    fn send<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Result<SentMessage, NotSent>> {
        Box::pin(async move {
            self.0.lock().push(message.body.clone());
            match message.subject.as_deref() {
                Some("refuse") => Err(NotSent::Refused(format!("not this: {}", message.body))),
                _ => Ok(SentMessage { id: format!("sent {}", message.body) }),
            }
        })
    }
}

const FUNCTIONS: &str = r#"
use: {secrets: [key, login]}
do:
- mail: {call: 'email:1@default', with: {to: a@b.example, subject: hi, body: '${ "\($secrets.key | @base64) \($secrets.login.password)" }'}, export: {as: '${ {mail: .id} }'}}
- noop: {call: 'noop:1@default', with: {given: '${ $secrets.key }', n: 1}, export: {as: '${ $context + {noop: .} }'}}
- post: {call: 'http:1@default', with: {method: post, endpoint: 'http://a.test/http', body: {p: '${ $secrets.login.password | @base64 }', k: '${ $context.noop.given }'}}}
- record: {call: 'record-update:1@default', with: {collection: patients, id: p1, data: {k: '${ $secrets.key }'}}, export: {as: '${ $context + {record: .data.k} }'}}
- wrong: {try: [{w: {call: 'email:1@default', with: {to: a@b.example, subject: refuse, body: '${ $secrets.key }'}}}], catch: {as: error, do: [{c: {set: {why: '${ $error.detail }'}}}]}}
- unfit: {try: [{u: {call: 'sms:1@default', with: {to: '${ $secrets.key }', body: hi}}}], catch: {as: error, do: [{c: {set: {why: '${ $input.why }', unfit: '${ $error.detail }'}}}]}}
- all: {set: {why: '${ .why }', unfit: '${ .unfit }', all: '${ $context }'}}
"#;

#[test]
fn functions_of_the_catalogue_get_values_and_give_none_away() {
    for_each_store(async |home| {
        let mut rig = Rig::new(home).await;
        let sender = Arc::new(Chatty::default());
        rig.outlets.notifier = Some(Arc::clone(&sender) as Arc<dyn Notifier>);
        let net = Net::new(|_| None);
        let engine = rig.start_with(net.world(), given());
        let definition = rig.define(&engine, "functions", FUNCTIONS).await;
        let id = rig.begin(&engine, &definition, json!({})).await;
        let row = rig.reaches(&engine, &id, "completed").await;
        engine.stop().await;

        let encoded = BASE64.encode(KEY);
        assert_eq!(*sender.0.lock(), [format!("{encoded} {PASSWORD}"), KEY.to_owned()]);
        let posted: Value = serde_json::from_str(&net.sent_to("/http")[0].body).unwrap();
        assert_eq!(posted, json!({"p": BASE64.encode(PASSWORD), "k": KEY}));
        let record = stored_record_get(&rig.store, &tenant(), "patients", "p1").await.unwrap().unwrap();
        assert_eq!(record.data, r#"{"k":"[secret key]"}"#, "what the hub keeps has names inside");
        let output = json_of(row.output.as_ref());
        assert_eq!(output["why"], "not this: [secret key]");
        let unfit = output["unfit"].as_str().unwrap();
        assert!(unfit.contains("/to") && !unfit.contains("canary"), "{unfit}");
        assert_eq!(output["all"]["noop"], json!({"given": "[secret key]", "n": 1}));
        assert_eq!(output["all"]["record"], "[secret key]");
        assert!(output["all"]["mail"].as_str().unwrap().contains("[secret login]"), "{output}");
        let kept = home.contents().await;
        for form in [KEY, PASSWORD, &encoded, &BASE64.encode(PASSWORD), &KEY[..12], &PASSWORD[..12]] {
            assert!(!kept.contains(form), "{form} is kept");
        }
    });
}
