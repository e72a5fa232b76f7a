//! Standard Webhooks signatures as a sender makes them, for `init`, `webhook listen` and `demo`.
//!
//! Source: Standard Webhooks specification 1.0.0. Written apart from the engines' own code, so that the demo checks them
//! against something else than themselves.

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::hmac::{HMAC_SHA256, Key, sign, verify};
use ring::rand::{SecureRandom as _, SystemRandom};
use trunkline_model::Secret;

const KEY_LEN: usize = 32;

/// Makes a fresh `whsec_…` secret.
///
/// # Errors
/// A machine without a source of randomness.
pub(crate) fn fresh_secret() -> anyhow::Result<Secret> {
    let mut key = [0; KEY_LEN];
    SystemRandom::new().fill(&mut key).ok().context("the system gives no random numbers")?;
    Ok(Secret::new(format!("whsec_{}", BASE64.encode(key))))
}

/// The header `webhook-signature` of a call.
///
/// # Errors
/// A secret that is no `whsec_…`.
pub(crate) fn header(secret: &Secret, id: &str, timestamp_s: i64, body: &[u8]) -> anyhow::Result<String> {
    let signature = sign(&key(secret)?, &signed(id, &timestamp_s.to_string(), body));
    Ok(format!("v1,{}", BASE64.encode(signature)))
}

/// Whether one of the header's signatures fits.
///
/// # Errors
/// A secret that is no `whsec_…`.
pub(crate) fn fits(
    secret: &Secret,
    (id, timestamp): (&str, &str),
    body: &[u8],
    header: &str,
) -> anyhow::Result<bool> {
    let key = key(secret)?;
    let signed = signed(id, timestamp, body);
    let candidates = header.split(' ').filter_map(|entry| BASE64.decode(entry.strip_prefix("v1,")?).ok());
    Ok(candidates.into_iter().any(|candidate| verify(&key, &signed, &candidate).is_ok()))
}

fn key(secret: &Secret) -> anyhow::Result<Key> {
    let encoded = secret.expose().strip_prefix("whsec_").context("the secret does not begin with whsec_")?;
    let bytes = BASE64.decode(encoded).ok().context("the secret is not base64")?;
    Ok(Key::new(HMAC_SHA256, &bytes))
}

fn signed(id: &str, timestamp: &str, body: &[u8]) -> Vec<u8> {
    [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_signature() {
        // The example of the specification's reference libraries.
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let (id, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", br#"{"test": 2432232314}"#);
        let header = header(&secret, id, 1_614_265_330, body).unwrap();
        assert_eq!(header, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(fits(&secret, (id, "1614265330"), body, &format!("v1a,AAAA {header}")).unwrap());
        assert!(!fits(&secret, (id, "1614265331"), body, &header).unwrap());
        assert!(!fits(&fresh_secret().unwrap(), (id, "1614265330"), body, &header).unwrap());
    }
}
