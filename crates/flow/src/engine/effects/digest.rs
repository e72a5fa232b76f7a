//! HTTP digest authentication (RFC 7616): challenges read, proofs made. With quality of protection `auth` or none, by
//! SHA-256 or, for servers of the last century, MD5.

use md5::{Digest as _, Md5};

use super::UserPassword;

/// What a server asks to have proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    is_session: bool,
    has_qop: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Algorithm {
    Md5,
    Sha256,
}

/// The strongest of several challenges that can be answered.
pub(super) fn strongest<'a>(challenges: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    challenges.filter_map(Challenge::parse).max_by_key(|challenge| challenge.algorithm)
}

impl Challenge {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("digest") {
            return None;
        }
        let parameters = parameters(rest);
        let get = |name: &str| {
            parameters
                .iter()
                .find(|(known, _)| known.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.clone())
        };
        let name = get("algorithm").unwrap_or_else(|| "MD5".to_owned()).to_ascii_uppercase();
        let is_session = name.ends_with("-SESS");
        let algorithm = match name.trim_end_matches("-SESS") {
            "MD5" => Algorithm::Md5,
            "SHA-256" => Algorithm::Sha256,
            _ => return None,
        };
        let qop = get("qop");
        let has_qop = qop.is_some();
        if qop.is_some_and(|qop| !qop.split(',').any(|one| one.trim().eq_ignore_ascii_case("auth"))) {
            return None;
        }
        Some(Self {
            realm: get("realm")?,
            nonce: get("nonce")?,
            opaque: get("opaque"),
            algorithm,
            is_session,
            has_qop,
        })
    }

    /// The value of the `Authorization` header. `client_nonce` is chance in hexadecimal digits.
    pub(super) fn answer(&self, user: &UserPassword, method: &str, path: &str, client_nonce: &str) -> String {
        let hash = |parts: &[&str]| self.hash(&parts.join(":"));
        let mut secret = hash(&[&user.username, &self.realm, user.password.expose()]);
        if self.is_session {
            secret = hash(&[&secret, &self.nonce, client_nonce]);
        }
        let request = hash(&[method, path]);
        let response = if self.has_qop {
            hash(&[&secret, &self.nonce, "00000001", client_nonce, "auth", &request])
        } else {
            hash(&[&secret, &self.nonce, &request])
        };
        let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        let algorithm = match self.algorithm {
            Algorithm::Md5 => "MD5",
            Algorithm::Sha256 => "SHA-256",
        };
        let mut value = format!(
            "Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{path}\", response=\"{response}\", algorithm={algorithm}{}",
            quoted(&user.username),
            quoted(&self.realm),
            quoted(&self.nonce),
            if self.is_session { "-sess" } else { "" },
        );
        if self.has_qop {
            value += ", qop=auth, nc=00000001, cnonce=\"";
            value += client_nonce;
            value += "\"";
        }
        if let Some(opaque) = &self.opaque {
            value += ", opaque=\"";
            value += &quoted(opaque);
            value += "\"";
        }
        value
    }

    fn hash(&self, text: &str) -> String {
        match self.algorithm {
            Algorithm::Md5 => hex::encode(Md5::digest(text.as_bytes())),
            Algorithm::Sha256 => hex::encode(ring::digest::digest(&ring::digest::SHA256, text.as_bytes())),
        }
    }
}

/// Names and values, quoted or not, with commas between.
fn parameters(mut rest: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_start_matches([',', ' ', '\t']).trim().to_owned();
        let after = after.trim_start();
        let (value, end) = if let Some(quoted) = after.strip_prefix('"') {
            let (value, end) = unquoted(quoted);
            (value, end + 1)
        } else {
            let end = after.find(',').unwrap_or(after.len());
            (after[..end].trim().to_owned(), end)
        };
        found.push((name, value));
        rest = &after[end..];
    }
    found
}

/// The text up to the closing quotation mark, and where it ends.
fn unquoted(text: &str) -> (String, usize) {
    let (mut value, mut chars) = (String::new(), text.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, at + 1),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, text.len())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // everything here is a test

    use trunkline_model::Secret;

    use super::*;

    /// The example of RFC 7616, 3.9.1.
    #[test]
    fn the_proofs_of_the_standard_come_out() {
        let user = UserPassword { username: "Mufasa".to_owned(), password: Secret::new("Circle of Life") };
        let challenge = |algorithm: &str| {
            format!(
                "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, \
                 nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
            )
        };
        let nonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        let (sha, md5) = (challenge("SHA-256"), challenge("MD5"));
        let found = strongest([md5.as_str(), "Basic realm=\"x\"", sha.as_str()].into_iter()).unwrap();
        let proof = found.answer(&user, "GET", "/dir/index.html", nonce);
        assert!(
            proof.contains("753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
            "{proof}"
        );
        let proof =
            strongest([md5.as_str()].into_iter()).unwrap().answer(&user, "GET", "/dir/index.html", nonce);
        assert!(proof.contains("8ca523f5e9506fed4657c9700eebdbec"), "{proof}");
    }

    #[test]
    fn hostile_challenges_are_left_alone() {
        for text in [
            "",
            "Digest",
            "Digest =",
            "Digest realm=\"",
            "Digest realm=\"a\\",
            "Digest realm=é, nonce",
            "Digest a=b,,,=\"\"",
        ] {
            assert_eq!(strongest([text].into_iter()), None, "{text}");
        }
    }
}
