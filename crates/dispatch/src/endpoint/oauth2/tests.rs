//! What is asked of a token endpoint.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::*;

fn credentials() -> ClientCredentials {
    ClientCredentials {
        token_url: "https://login.example/token".to_owned(),
        client_id: "hub:1".to_owned(),
        client_secret: Secret::new("canary/ä+&"),
        scope: Some("a b".to_owned()),
        audience: None,
        auth_style: AuthStyle::Basic,
    }
}

#[test]
fn requests_say_who_asks_in_either_style() {
    let in_body = ClientCredentials {
        auth_style: AuthStyle::Body,
        audience: Some("https://api.example".to_owned()),
        ..credentials()
    };
    let (in_header, in_body) = (credentials().request(), in_body.request());
    let pair = BASE64.encode("hub%3A1:canary%2F%C3%A4%2B%26");
    assert_eq!(in_header.headers[header::AUTHORIZATION], format!("Basic {pair}"));
    assert_eq!(in_header.body, "grant_type=client_credentials&scope=a+b");
    assert!(!in_body.headers.contains_key(header::AUTHORIZATION));
    let expect = "grant_type=client_credentials&scope=a+b&audience=https%3A%2F%2Fapi.example&client_id=hub%3A1&\
                  client_secret=canary%2F%C3%A4%2B%26";
    assert_eq!(in_body.body, expect);
    let target = Target::parse("https://login.example/token", &EgressPolicy::default()).unwrap();
    assert!(!format!("{:?} {:?}", credentials(), credentials().into_source(target)).contains("canary"));
}
