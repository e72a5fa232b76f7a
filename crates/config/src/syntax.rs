//! The small grammars inside string settings: addresses, networks, header names, identifiers. Pure
//! functions for the section readers; each failure says what to write instead.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::error::Problem;

/// Quotes a value for an error, cut to a readable length. Never used on anything that may be secret.
pub(crate) fn quoted(text: &str) -> String {
    let cut: String = text.chars().take(60).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    format!("\"{}{more}\"", cut.escape_debug())
}

/// Reads `IP:PORT`.
pub(crate) fn socket_address(text: &str) -> Result<SocketAddr, Problem> {
    text.parse().map_err(|_| {
        Problem::new(
            format!("must be an IP address and a port, found {}", quoted(text)),
            "write for example 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080",
        )
    })
}

/// Reads a web origin as browsers write it: scheme, host, and a port that is not the scheme's own.
pub(crate) fn origin(text: &str) -> Result<String, Problem> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let of_host = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._:[]".contains(c);
    let own_port = if text.starts_with("https:") { ":443" } else { ":80" };
    let is_fit = host.is_some_and(|host| {
        !host.is_empty() && host.chars().all(of_host) && !host.ends_with(own_port) && !host.ends_with(':')
    });
    if is_fit {
        return Ok(text.to_owned());
    }
    Err(Problem::new(
        format!("must be the origin of a page, found {}", quoted(text)),
        "write for example https://portal.example or http://localhost:3000: lower case, no path, no wildcard, and no \
         port that is the scheme's own",
    ))
}

/// Reads the URL at which others reach a part of the hub: http or https, a host, no query. It is kept as it is written,
/// because providers sign it as it is written.
pub(crate) fn public_url(text: &str) -> Result<String, Problem> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let authority = rest.map_or("", |rest| rest.split('/').next().unwrap_or(""));
    let is_fit = !authority.is_empty()
        && !authority.starts_with(':')
        && text.len() <= 2048
        && text.bytes().all(|b| b.is_ascii_graphic())
        && !text.contains(['?', '#', '@', '\\', '"', '<', '>']);
    if is_fit {
        return Ok(text.to_owned());
    }
    Err(Problem::new(
        format!("must be a URL that begins with https:// or http://, without query, found {}", quoted(text)),
        "write for example https://hub.example.com/in/sms, exactly as the provider has it",
    ))
}

/// Reads a network in CIDR form; a bare address stands for itself alone.
pub(crate) fn network(text: &str) -> Result<IpNet, Problem> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.into());
    }
    let net: IpNet = text.parse().map_err(|_| {
        Problem::new(
            format!("must be an IP address or CIDR network, found {}", quoted(text)),
            "write for example 10.0.0.0/8, 192.0.2.7 or fd00::/8",
        )
    })?;
    if net.trunc() == net {
        return Ok(net);
    }
    Err(Problem::new(
        format!("{net} has address bits beyond its prefix"),
        format!("write {} for the network, or {} for the one address", net.trunc(), net.addr()),
    ))
}

/// Reads an HTTP header name (RFC 9110 token) into lower case.
pub(crate) fn header_name(text: &str) -> Result<String, Problem> {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if !text.is_empty() && text.len() <= 128 && text.chars().all(token) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(Problem::new(
        format!("must be an HTTP header name, found {}", quoted(text)),
        "write the bare name, such as x-signature",
    ))
}

/// Reads the name of a source: 1 to 64 of `a-z`, `0-9`, `-` and `_`, as it becomes part of a URL.
pub(crate) fn source_name(text: &str) -> Result<String, Problem> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    word(text, allowed, "lower-case letters, digits, - and _")
}

/// Reads the name of a tenant: 1 to 64 of `A-Z`, `a-z`, `0-9`, `-`, `_` and `.`.
pub(crate) fn tenant_name(text: &str) -> Result<String, Problem> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
    if text.starts_with(['-', '_']) {
        return word("", allowed, "a-z, 0-9, - and _, the first one a letter or digit");
    }
    word(text, allowed, "a-z, 0-9, - and _")
}

fn word(text: &str, allowed: impl Fn(char) -> bool, alphabet: &str) -> Result<String, Problem> {
    if (1..=64).contains(&text.len()) && text.chars().all(allowed) {
        return Ok(text.to_owned());
    }
    Err(Problem::new(
        format!("must be 1 to 64 characters of {alphabet}, found {}", quoted(text)),
        "choose a name of these characters",
    ))
}

/// Reads text that may stand in a header value: visible ASCII and spaces, 1 to 256 characters.
pub(crate) fn header_text(text: &str) -> Result<String, Problem> {
    let visible = |c: char| c == ' ' || c.is_ascii_graphic();
    if (1..=256).contains(&text.len()) && text.chars().all(visible) && text.trim() == text {
        return Ok(text.to_owned());
    }
    Err(Problem::new("must be 1 to 256 visible ASCII characters", "remove other characters"))
}

/// Reads a log filter: levels, alone or as `target=level`, separated by commas.
pub(crate) fn log_filter(text: &str) -> Result<String, Problem> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let target = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let good = text.split(',').all(|part| match part.trim().split_once('=') {
        Some((name, level)) => !name.is_empty() && name.chars().all(target) && LEVELS.contains(&level),
        None => LEVELS.contains(&part.trim()),
    });
    if good {
        return Ok(text.to_owned());
    }
    Err(Problem::new(
        format!("must be a log level, found {}", quoted(text)),
        "write one of error, warn, info, debug, trace, or with targets: info,trunkline_dispatch=debug",
    ))
}
