//! Identities, and what is refused as one.

use proptest::prelude::*;

use super::certificate::time;
use super::*;

const CLIENT: &str = include_str!("../client/fixtures/client.pem");
const CLIENT_KEY: &str = include_str!("../client/fixtures/client.key.pem");
const OTHER_KEY: &str = include_str!("../client/fixtures/other.key.pem");
const AUTHORITY: &str = include_str!("../client/fixtures/second.pem");

#[test]
fn an_identity_tells_when_it_holds() {
    let identity = ClientIdentity::from_pem(&format!("{CLIENT}{AUTHORITY}"), CLIENT_KEY).unwrap();
    assert_eq!(identity.validity(), Validity { not_before: 1_795_331_930, not_after: 4_948_931_930 });
    let again = ClientIdentity::from_pem(&format!("{CLIENT}\n{AUTHORITY}"), CLIENT_KEY).unwrap();
    assert_eq!(identity.fingerprint(), again.fingerprint());
    let alone = ClientIdentity::from_pem(CLIENT, CLIENT_KEY).unwrap();
    assert_ne!(identity.fingerprint(), alone.fingerprint());
    assert!(!format!("{identity:?}").contains("key"), "{identity:?}");
}

#[test]
fn what_is_no_identity_is_named() {
    use IdentityError as E;
    let check = |certificate: &str, key: &str, expect: &[IdentityError]| {
        assert_eq!(ClientIdentity::from_pem(certificate, key).unwrap_err(), expect, "{certificate} {key}");
    };
    check("", "", &[E::Certificate, E::Key]);
    check(CLIENT, CLIENT, &[E::Key]);
    check(CLIENT_KEY, CLIENT_KEY, &[E::Certificate]);
    check(CLIENT, OTHER_KEY, &[E::Mismatch]);
    check(&format!("{AUTHORITY}{CLIENT}"), CLIENT_KEY, &[E::Mismatch]);
    check(&CLIENT.repeat(MAX_CHAIN + 1), CLIENT_KEY, &[E::Certificate]);
    let cut = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    check(cut, CLIENT_KEY, &[E::Certificate]);
    check(&format!("{CLIENT}{cut}"), CLIENT_KEY, &[E::Certificate]);
}

#[test]
fn rsa_keys_of_certificates() {
    let rsa = RsaCertificate::from_pem(include_bytes!("../client/fixtures/rsa.pem")).unwrap();
    assert!(rsa.validity().not_before < rsa.validity().not_after);
    // The start of an `RSAPublicKey` of 2048 bits: a sequence of two integers.
    assert_eq!(rsa.public_key()[..8], [0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01]);
    for other in [CLIENT, CLIENT_KEY, "", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"] {
        assert!(RsaCertificate::from_pem(other.as_bytes()).is_none(), "{other}");
    }
}

#[test]
fn times_of_certificates() {
    let check = |der: &[u8], expect: Option<i64>| {
        assert_eq!(time(der).map(|(secs, _)| secs), expect, "{}", String::from_utf8_lossy(der));
    };
    check(b"\x17\x0d700101000000Z", Some(0));
    check(b"\x17\x0d000229120000Z", Some(951_825_600));
    check(b"\x17\x0d491231235959Z", Some(2_524_607_999));
    check(b"\x17\x0d500101000000Z", Some(-631_152_000));
    check(b"\x18\x0f21000301000000Z", Some(4_107_542_400));
    for text in
        [&b"\x17\x0d701301000000Z"[..], b"\x17\x0c70010100000Z", b"\x18\x0d700101000000Z", b"\x17\x7f7", b""]
    {
        check(text, None);
    }
}

proptest! {
    #[test]
    fn reading_never_panics(der in proptest::collection::vec(any::<u8>(), 0..80), cut in 0_usize..600) {
        let _ = validity_of(&der);
        let whole = CertificateDer::from_pem_slice(CLIENT.as_bytes()).unwrap();
        let _ = validity_of(&whole[..cut.min(whole.len())]);
        let _ = RsaCertificate::from_pem(&der);
        let _ = ClientIdentity::from_pem(&String::from_utf8_lossy(&der), CLIENT_KEY);
    }
}
