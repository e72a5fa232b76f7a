//! Hides what must not be read by people: credentials in headers kept for operators.

/// Header names whose values are credentials. Compared in lower case.
const CREDENTIAL_HEADERS: [&str; 7] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
    "x-api-key",
    "x-auth-token",
    "x-one-time-token",
];

/// What stands in place of a hidden value.
pub const MASK: &str = "***";

/// Tells whether the header `name` (any case) carries a credential.
pub fn is_credential_header(name: &str) -> bool {
    CREDENTIAL_HEADERS.iter().any(|known| name.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_credentials_in_any_case() {
        assert!(is_credential_header("Authorization"));
        assert!(is_credential_header("COOKIE"));
        assert!(!is_credential_header("webhook-id"));
    }
}
