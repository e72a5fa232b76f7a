//! How a publisher proves who it is: user and password, token, NKey, or JWT with NKey.
//!
//! An NKey is an ed25519 key in base32 with a type prefix and a checksum; whoever has one signs the server's nonce.
//!
//! **Source**: github.com/nats-io/nkeys (README, "Encoding"), docs.nats.io "NKey Challenge Response".

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use trunkline_model::Secret;

use super::protocol::{ConnectOptions, Info};
use crate::SinkError;
use crate::settings::Fields;

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// The prefix of every seed, in the upper five bits of its first byte: `S`.
const SEED_PREFIX: u8 = 18 << 3;
/// The type of a user's key: `U`.
const USER: u8 = 20 << 3;
const SEED_BYTES: usize = 32;

/// Credentials, checked. Clones share the key.
#[derive(Clone)]
pub(super) enum Login {
    None,
    User { username: String, password: Secret },
    Token(Secret),
    Nkey { seed: Secret, key: Arc<UserKey> },
    Jwt { file: Secret, jwt: Secret, seed: Secret, key: Arc<UserKey> },
}

impl Login {
    /// Reads the fields for credentials.
    pub(super) fn parse(fields: &mut Fields<'_>) -> Self {
        let username = fields.text("username");
        let password = fields.secret("password");
        let token = fields.secret("token");
        let seed = fields.secret("nkey_seed");
        let file = fields.secret("credentials");
        let n_ways =
            [username.is_some() || password.is_some(), token.is_some(), seed.is_some(), file.is_some()];
        if n_ways.iter().filter(|used| **used).count() > 1 {
            let detail = "set one way to log in: username and password, token, nkey_seed, or credentials";
            return refuse(fields, "username", detail);
        }
        match (username, password, token, seed, file) {
            (Some(username), Some(password), ..) => Self::User { username, password },
            (Some(_), None, ..) => refuse(fields, "password", "is required with username"),
            (None, Some(_), ..) => refuse(fields, "username", "is required with password"),
            (.., Some(token), _, _) => Self::Token(token),
            (.., Some(seed), _) => Self::of_seed(fields, seed),
            (.., Some(file)) => Self::of_file(fields, file),
            _ => Self::None,
        }
    }

    fn of_seed(fields: &mut Fields<'_>, seed: Secret) -> Self {
        match UserKey::from_seed(seed.expose()) {
            Some(key) => Self::Nkey { seed, key: Arc::new(key) },
            None => refuse(fields, "nkey_seed", "is not the seed of a user (SU…)"),
        }
    }

    fn of_file(fields: &mut Fields<'_>, file: Secret) -> Self {
        let jwt = block(file.expose(), "NATS USER JWT");
        let seed = block(file.expose(), "USER NKEY SEED");
        let (Some(jwt), Some(seed)) = (jwt, seed) else {
            return refuse(fields, "credentials", "is not the text of a .creds file");
        };
        let (jwt, seed) = (Secret::new(jwt), Secret::new(seed));
        match UserKey::from_seed(seed.expose()) {
            Some(key) => Self::Jwt { file, jwt, seed, key: Arc::new(key) },
            None => refuse(fields, "credentials", "holds no seed of a user (SU…)"),
        }
    }

    pub(super) fn username(&self) -> Option<&str> {
        if let Self::User { username, .. } = self { Some(username) } else { None }
    }

    pub(super) fn password(&self) -> Option<&Secret> {
        if let Self::User { password, .. } = self { Some(password) } else { None }
    }

    pub(super) fn token(&self) -> Option<&Secret> {
        if let Self::Token(token) = self { Some(token) } else { None }
    }

    pub(super) fn nkey_seed(&self) -> Option<&Secret> {
        if let Self::Nkey { seed, .. } = self { Some(seed) } else { None }
    }

    pub(super) fn credentials(&self) -> Option<&Secret> {
        if let Self::Jwt { file, .. } = self { Some(file) } else { None }
    }

    /// Every text that must not be shown.
    pub(super) fn secrets(&self) -> Vec<&Secret> {
        match self {
            Self::None => Vec::new(),
            Self::User { password, .. } => vec![password],
            Self::Token(token) => vec![token],
            Self::Nkey { seed, .. } => vec![seed],
            Self::Jwt { file, jwt, seed, .. } => vec![file, jwt, seed],
        }
    }

    /// Our greeting as an answer to the server's.
    pub(super) fn greet<'a>(&'a self, info: &Info, tls: bool) -> Result<ConnectOptions<'a>, SinkError> {
        let mut greeting = ConnectOptions {
            verbose: false,
            pedantic: false,
            tls_required: tls,
            name: "trunkline",
            lang: "rust",
            version: env!("CARGO_PKG_VERSION"),
            protocol: 1,
            echo: false,
            headers: true,
            no_responders: true,
            user: self.username(),
            pass: self.password().map(Secret::expose),
            auth_token: self.token().map(Secret::expose),
            nkey: None,
            jwt: None,
            sig: None,
        };
        if let Self::Nkey { key, .. } | Self::Jwt { key, .. } = self {
            let nonce = info.nonce.as_deref();
            let nonce =
                nonce.ok_or_else(|| SinkError::Auth("the server asks for no signature".to_owned()))?;
            greeting.sig = Some(key.sign(nonce));
            match self {
                Self::Jwt { jwt, .. } => greeting.jwt = Some(jwt.expose()),
                _ => greeting.nkey = Some(key.public_text()),
            }
        }
        Ok(greeting)
    }
}

fn refuse(fields: &mut Fields<'_>, name: &'static str, detail: &str) -> Login {
    fields.fault(name, "invalid", detail);
    Login::None
}

/// The line between `-----BEGIN name-----` and the next line of dashes.
fn block<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let begin = format!("BEGIN {name}");
    let mut lines = text.lines().map(str::trim).skip_while(|line| !line.contains(&begin)).skip(1);
    lines.find(|line| !line.is_empty()).filter(|line| !line.starts_with('-'))
}

/// A user's NKey.
pub(super) struct UserKey(Ed25519KeyPair);

impl UserKey {
    /// Decodes a seed (`SU…`).
    fn from_seed(seed: &str) -> Option<Self> {
        let bytes = decode_base32(seed.trim())?;
        let (body, sum) = bytes.split_at_checked(2 + SEED_BYTES)?;
        let is_user_seed =
            body[0] & 0xF8 == SEED_PREFIX && (body[0] & 7) << 5 | (body[1] & 0xF8) >> 3 == USER;
        if !is_user_seed || sum != crc16(body).to_le_bytes() {
            return None;
        }
        Ed25519KeyPair::from_seed_unchecked(&body[2..]).ok().map(Self)
    }

    fn sign(&self, nonce: &str) -> String {
        BASE64URL.encode(self.0.sign(nonce.as_bytes()))
    }

    /// The public key (`U…`).
    fn public_text(&self) -> String {
        let mut bytes = vec![USER];
        bytes.extend_from_slice(self.0.public_key().as_ref());
        bytes.extend_from_slice(&crc16(&bytes).to_le_bytes());
        encode_base32(&bytes)
    }
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(
            crc ^ u16::from(*byte) << 8,
            |crc: u16, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
            },
        )
    })
}

fn decode_base32(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 5 / 8);
    let (mut bits, mut n_bits) = (0_u16, 0);
    for letter in text.bytes() {
        let value = BASE32.iter().position(|known| *known == letter)?;
        bits = bits << 5 | value as u16;
        n_bits += 5;
        if n_bits >= 8 {
            n_bits -= 8;
            bytes.push((bits >> n_bits) as u8);
            bits &= (1 << n_bits) - 1;
        }
    }
    Some(bytes)
}

fn encode_base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 8 / 5 + 1);
    let (mut bits, mut n_bits) = (0_u16, 0);
    let letter = |value: u16| char::from(BASE32[usize::from(value & 31)]);
    for byte in bytes {
        bits = (bits & 0xFF) << 8 | u16::from(*byte);
        n_bits += 8;
        while n_bits >= 5 {
            n_bits -= 5;
            text.push(letter(bits >> n_bits));
        }
    }
    if n_bits > 0 {
        text.push(letter(bits << (5 - n_bits)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pair in the NATS documentation of NKey authentication.
    const SEED: &str = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
    const PUBLIC: &str = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";

    #[test]
    fn decodes_the_documented_key() {
        let key = UserKey::from_seed(SEED).unwrap();
        assert_eq!(key.public_text(), PUBLIC);
        let signature = BASE64URL.decode(key.sign("nonce")).unwrap();
        let public = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, key.0.public_key());
        public.verify(b"nonce", &signature).unwrap();
    }

    #[test]
    fn refuses_what_is_no_user_seed() {
        let account = "SAAPN4W3EG6KCJGUQTKTJ5GSB5NHK5CHAJL4DBGFUM3HHROI4XUEP4OBK4";
        let broken = SEED.replace("SSL", "SSM");
        for seed in ["", "SU", PUBLIC, account, &broken, &SEED.to_lowercase()] {
            assert!(UserKey::from_seed(seed).is_none(), "{seed}");
        }
    }

    #[test]
    fn reads_blocks_of_a_file() {
        let file = format!(
            "-----BEGIN NATS USER JWT-----\nabc.def.ghi\n------END NATS USER JWT------\n\n\
             ***** keep it safe *****\r\n-----BEGIN USER NKEY SEED-----\r\n{SEED}\r\n------END USER NKEY SEED------\r\n"
        );
        assert_eq!(block(&file, "NATS USER JWT"), Some("abc.def.ghi"));
        assert_eq!(block(&file, "USER NKEY SEED"), Some(SEED));
        assert_eq!(block("-----BEGIN NATS USER JWT-----\n------END-----", "NATS USER JWT"), None);
        assert_eq!(block("", "NATS USER JWT"), None);
    }
}
