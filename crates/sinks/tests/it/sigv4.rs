//! SigV4 as a service verifies it, written from the specification and apart from the signer under test.
//!
//! **Source**: docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html, with its published example.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ring::{digest, hmac};

/// A request as it came in: path and query still percent-encoded.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    /// Lower case names.
    pub(crate) headers: BTreeMap<String, String>,
}

impl Request {
    /// A parameter of the query, decoded.
    pub(crate) fn param(&self, name: &str) -> Option<String> {
        let pairs = url::form_urlencoded::parse(self.query.as_bytes());
        pairs.into_iter().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
    }

    /// Whether the signature in the query is that of `secret`.
    pub(crate) fn is_signed_by(&self, secret: &str, region: &str) -> bool {
        self.param("X-Amz-Signature") == self.signature(secret, region)
    }

    fn signature(&self, secret: &str, region: &str) -> Option<String> {
        let time = self.param("X-Amz-Date")?;
        let scope = format!("{}/{region}/s3/aws4_request", time.get(..8)?);
        let canonical = self.canonical()?;
        let hash = hex::encode(digest::digest(&digest::SHA256, canonical.as_bytes()));
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hash}");
        let mut key = format!("AWS4{secret}").into_bytes();
        for part in scope.split('/') {
            key = mac(&key, part.as_bytes());
        }
        Some(hex::encode(mac(&key, to_sign.as_bytes())))
    }

    fn canonical(&self) -> Option<String> {
        let mut query: Vec<&str> =
            self.query.split('&').filter(|pair| !pair.starts_with("X-Amz-Signature=")).collect();
        query.sort_unstable();
        let signed = self.param("X-Amz-SignedHeaders")?;
        let mut headers = String::new();
        for name in signed.split(';') {
            writeln!(headers, "{name}:{}", self.headers.get(name)?.trim()).unwrap();
        }
        let Self { method, path, .. } = self;
        Some(format!("{method}\n{path}\n{}\n{headers}\n{signed}\nUNSIGNED-PAYLOAD", query.join("&")))
    }
}

fn mac(key: &[u8], data: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data).as_ref().to_vec()
}

#[test]
fn verifies_the_published_example() {
    let request = Request {
        method: "GET".into(),
        path: "/test.txt".into(),
        query: "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3\
                %2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-\
                Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
            .into(),
        headers: BTreeMap::from([("host".to_owned(), "examplebucket.s3.amazonaws.com".to_owned())]),
    };
    let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    assert!(request.is_signed_by(secret, "us-east-1"));
    assert!(!request.is_signed_by(secret, "eu-west-1"));
    assert!(!request.is_signed_by("another", "us-east-1"));
}
