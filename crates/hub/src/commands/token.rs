//! `trunkline token create|revoke|list`: through the API when a token of an admin is given, otherwise on the store itself.
//!
//! Directly on a SQLite store this needs the hub to be stopped, because the hub holds the file; that is also what makes it
//! safe: whoever can open the file owns the hub anyway.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use trunkline_api::auth::token::{self, NewToken, create as create_in_store};
use trunkline_api::auth::{Person, Role};
use trunkline_config::Env;
use trunkline_model::{Clock as _, Room, SystemClock, Tenant, Timestamp};
use trunkline_store::tables::token::{TokenRow, token_list, token_revoke};
use trunkline_store::{Commit, CommitError, Store};

use super::event::text;
use super::migrate::open_fault;
use crate::cli::{TokenCreateArgs, TokenListArgs, TokenRevokeArgs, TokenTarget};
use crate::client::{Api, Content, segment};
use crate::configuration;
use crate::exit::{Exit, Fault};
use crate::terminal::{Terminal, Tone, cell};

const PATH: &str = "api/v1/tokens";

/// Makes a token and prints it, once.
///
/// # Errors
/// Wrong arguments, or those of the API or the store.
pub async fn create(args: &TokenCreateArgs, env: &Env, terminal: &Terminal) -> anyhow::Result<Exit> {
    let now = SystemClock.now();
    let lifetime = args.expires.as_deref().map(|text| lifetime(text, now)).transpose()?;
    let rooms = rooms(args)?;
    let made = if has_token(&args.target) {
        if args.target.tenant.is_some() {
            let fix =
                "leave --tenant out, or stop the hub and leave the token out to change the store directly";
            let message = "through the API a token acts for the tenant of your own token";
            return Err(Fault::new(Exit::Usage, message, fix).into());
        }
        let mut body = json!({ "name": args.name, "role": args.role });
        if let Some(lifetime) = lifetime {
            body["expires_in_s"] = json!(lifetime.as_secs().max(1));
        }
        if let Some(user) = &args.user {
            (body["user"], body["groups"]) = (json!(user), json!(args.groups));
        }
        if !rooms.is_empty() {
            body["rooms"] = rooms.iter().map(Room::as_str).collect();
        }
        Api::new(&args.target.remote)?.post(PATH, Content::json(&body)).await?
    } else {
        let role = Role::parse(&args.role).context("the role is unknown")?;
        let person = args.user.clone().map(|user| Person { user, groups: args.groups.clone() });
        let (tenant, name) = (tenant(&args.target)?, args.name.clone());
        let new = NewToken { tenant, name, role, lifetime, person, rooms };
        let store = open(&args.target, env).await?;
        let made = create_in_store(&store, new, now).await;
        store.close().await;
        let (row, secret) = made.context("the token could not be stored")?;
        let mut shown = shown(&row);
        shown["token"] = json!(secret.expose());
        shown
    };
    if args.target.remote.json {
        terminal.json(&made);
        return Ok(Exit::Done);
    }
    terminal.line(text(&made, "token"));
    terminal.note(format_args!(
        "{} for {} ({}); keep the token now, it is not shown again",
        cell(text(&made, "id"), Tone::Name),
        cell(&args.name, Tone::Strong),
        args.role,
    ));
    Ok(Exit::Done)
}

/// The rooms that a new token opens: clinics, drivers and others.
fn rooms(args: &TokenCreateArgs) -> anyhow::Result<Vec<Room>> {
    let clinics = args.clinics.iter().map(|id| format!("clinic:{id}"));
    let drivers = args.drivers.iter().map(|id| format!("driver:{id}"));
    let read = |name: String| {
        let room = Room::parse(&name).ok().filter(token::may_open);
        let fix =
            "write kind:id such as route:7; rooms of a user or a role come with --user, --group and --role";
        room.with_context(|| {
            Fault::new(Exit::Usage, format!("{name:?} is no room that a token can name"), fix)
        })
    };
    clinics.chain(drivers).chain(args.rooms.iter().cloned()).map(read).collect()
}

/// Revokes a token.
///
/// # Errors
/// When there is no such live token, or those of the API or the store.
pub async fn revoke(args: &TokenRevokeArgs, env: &Env, terminal: &Terminal) -> anyhow::Result<Exit> {
    if has_token(&args.target) {
        Api::new(&args.target.remote)?.delete(&format!("{PATH}/{}", segment(&args.id))).await?;
    } else {
        let store = open(&args.target, env).await?;
        let statement = token_revoke(&tenant(&args.target)?, &args.id, SystemClock.now());
        let revoked = store.commit(Commit::statements(vec![statement])).await;
        store.close().await;
        match revoked {
            Ok(_) => {}
            Err(CommitError::Guard { .. }) => {
                let fix = "`trunkline token list` shows the live ones; --tenant names another tenant";
                return Err(Fault::new(Exit::Failed, "there is no live token with this id", fix).into());
            }
            Err(error) => return Err(error).context("the token could not be revoked"),
        }
    }
    terminal.line(format_args!("{} {} is revoked", cell("✓", Tone::Good), cell(&args.id, Tone::Name)));
    Ok(Exit::Done)
}

/// Lists tokens.
///
/// # Errors
/// Those of the API or the store.
pub async fn list(args: &TokenListArgs, env: &Env, terminal: &Terminal) -> anyhow::Result<Exit> {
    let tokens = if has_token(&args.target) {
        all_pages(&Api::new(&args.target.remote)?).await?
    } else {
        let store = open(&args.target, env).await?;
        let rows = token_list(&store, &tenant(&args.target)?, None, 1000).await;
        store.close().await;
        rows?.iter().map(shown).collect()
    };
    if args.target.remote.json {
        terminal.json(&Value::Array(tokens));
        return Ok(Exit::Done);
    }
    let now = SystemClock.now().to_rfc3339();
    let rows: Vec<_> = tokens
        .iter()
        .map(|token| {
            let state = if !text(token, "revoked_at").is_empty() {
                cell("revoked", Tone::Dim)
            } else if !text(token, "expires_at").is_empty() && text(token, "expires_at") <= now.as_str() {
                cell("expired", Tone::Dim)
            } else {
                cell("live", Tone::Good)
            };
            let member = |key| text(token, key).into();
            vec![
                cell(text(token, "id"), Tone::Name),
                member("name"),
                member("role"),
                state,
                member("created_at"),
                member("expires_at"),
            ]
        })
        .collect();
    terminal.table(&["id", "name", "role", "state", "created", "expires"], &rows);
    Ok(Exit::Done)
}

async fn all_pages(api: &Api) -> anyhow::Result<Vec<Value>> {
    let (mut tokens, mut next) = (Vec::new(), None::<String>);
    loop {
        let query: Vec<_> = next.as_deref().map(|token| ("page_token", token)).into_iter().collect();
        let mut page = api.get(PATH, &query).await?;
        if let Value::Array(items) = page["items"].take() {
            tokens.extend(items);
        }
        next = page["next_page_token"].as_str().map(str::to_owned);
        if next.is_none() {
            return Ok(tokens);
        }
    }
}

fn has_token(target: &TokenTarget) -> bool {
    target.remote.token.as_deref().is_some_and(|token| !token.is_empty())
}

fn tenant(target: &TokenTarget) -> anyhow::Result<Tenant> {
    let name = target.tenant.as_deref().unwrap_or(Tenant::DEFAULT);
    Tenant::parse(name)
        .with_context(|| Fault::new(Exit::Usage, "the tenant's name cannot be used", "choose another"))
}

async fn open(target: &TokenTarget, env: &Env) -> anyhow::Result<Store> {
    let settings = configuration::load(&target.config, None, env)?;
    Store::open(configuration::store_options(&settings)).await.map_err(|error| {
        let is_in_use = matches!(error, trunkline_store::OpenError::InUse { .. });
        let error = open_fault(error);
        if !is_in_use {
            return error;
        }
        let fix = "set TRUNKLINE_TOKEN to an admin's token to ask the hub, or stop it first";
        error.context(Fault::new(Exit::Refused, "a hub runs on this store", fix))
    })
}

fn shown(row: &TokenRow) -> Value {
    json!({
        "id": row.id, "name": row.name, "role": row.role, "user": row.person, "groups": row.groups,
        "rooms": row.rooms,
        "created_at": row.created_at, "expires_at": row.expires_at, "revoked_at": row.revoked_at,
    })
}

/// Reads `90d`, `12h`, `30m`, `45s`, or a time in the future.
fn lifetime(text: &str, now: Timestamp) -> anyhow::Result<Duration> {
    let wrong = || {
        let fix = "write a duration such as 90d or 12h, or a time to come such as 2027-01-31T00:00:00Z";
        Fault::new(Exit::Usage, "--expires cannot be read", fix)
    };
    if let Ok(at) = Timestamp::parse_rfc3339(text) {
        return Some(at.since(now)).filter(|left| !left.is_zero()).ok_or_else(|| wrong().into());
    }
    let unit_s = match text.chars().last() {
        Some('d') => 86_400,
        Some('h') => 3_600,
        Some('m') => 60,
        Some('s') => 1,
        _ => return Err(wrong().into()),
    };
    let n: u64 = text[..text.len() - 1].parse().with_context(wrong)?;
    let seconds = n.checked_mul(unit_s).filter(|seconds| (1..=10 * 365 * 86_400).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(|| wrong().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes() {
        let now = Timestamp::from_secs(1_000_000_000);
        let read = |text| lifetime(text, now).ok().map(|left| left.as_secs());
        assert_eq!(read("90d"), Some(90 * 86_400));
        assert_eq!(read("12h"), Some(12 * 3_600));
        assert_eq!(read("2001-09-09T01:46:50Z"), Some(10));
        for wrong in ["", "d", "0d", "-1d", "1w", "é", "99999999999999999d", "2001-09-09T01:46:30Z"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
