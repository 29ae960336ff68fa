//! Reads `[[services.NAME.users]]`, `[services.NAME.replication_user]` and what else only MySQL and MariaDB have.
//!
//! Input: a service's table and its kind. Output: the users in the order of the file. Never: a password in a problem.

use super::{DAY, MS_100, Reader, access};
use crate::config::problem::Code;
use crate::config::schema::{ReplicationUser, User};
use crate::config::table::{Field, Table};
use crate::config::units::shown;
use crate::model::name::Kind;
use std::time::Duration;

/// As long as the servers let an account's name be, in characters (MySQL: 32, MariaDB: 128).
const LONGEST_NAME: usize = 128;
const MAX_CONNECTIONS: u32 = 1_000_000;

/// The application's users, at least one for a kind that has them.
pub(super) fn users(table: &mut Table<'_>, kind: Option<Kind>, r: &mut Reader<'_>) -> Vec<User> {
    let field = table.get("users");
    let Some(field) = field else {
        if kind == Some(Kind::Mysql) {
            let message = format!("`users` is missing in `{}`", table.name);
            let help = "add a table `[[services.NAME.users]]` with `name` and `password_file` for each user of the application";
            r.sink.error(table.span.clone(), Code::Missing, message, help);
        }
        return Vec::new();
    };
    if refused(&field, kind, r) {
        return Vec::new();
    }
    let members = field.list(&mut r.sink, "a list of tables").unwrap_or_default();
    if members.is_empty() {
        let message = format!("`{}` is empty", field.name);
        r.sink.error(field.span.clone(), Code::Missing, message, "nobody could log in");
    }
    let mut all: Vec<User> = Vec::with_capacity(members.len());
    for member in members {
        let Some(table) = member.table(&mut r.sink) else { continue };
        all.extend(user(table, &all, r));
    }
    all
}

fn user(mut table: Table<'_>, before: &[User], r: &mut Reader<'_>) -> Option<User> {
    let field = table.require(&mut r.sink, "name", "name = \"shop\"");
    let name = field.as_ref().and_then(|field| name(field, r));
    if let (Some(field), Some(name)) = (&field, &name)
        && before.iter().any(|user| user.name == *name)
    {
        let message = format!("the service has a user {} already", shown(name));
        r.sink.error(field.span.clone(), Code::Duplicate, message, "each user stands here once");
    }
    let most = table.get("max_connections").and_then(|field| field.integer(&mut r.sink, 1..=MAX_CONNECTIONS));
    let password = access::password(&mut table, r);
    table.finish(&mut r.sink);
    Some(User { name: name?, password, max_connections: most.map(|most| most as usize) })
}

/// How a demoted primary logs in to the new one.
pub(super) fn replication_user(
    table: &mut Table<'_>,
    kind: Option<Kind>,
    r: &mut Reader<'_>,
) -> Option<ReplicationUser> {
    let field = table.get("replication_user")?;
    if refused(&field, kind, r) {
        return None;
    }
    let mut table = field.table(&mut r.sink)?;
    let field = table.require(&mut r.sink, "name", "name = \"repl\"");
    let name = field.and_then(|field| name(&field, r));
    let password = access::password(&mut table, r);
    table.finish(&mut r.sink);
    Some(ReplicationUser { name: name?, password })
}

/// How long a transaction may be idle.
pub(super) fn idle_in_transaction(table: &mut Table<'_>, kind: Option<Kind>, r: &mut Reader<'_>) -> Option<Duration> {
    let field = table.get("idle_in_transaction")?;
    if refused(&field, kind, r) {
        return None;
    }
    field.duration(&mut r.sink, &(MS_100..=DAY))
}

fn name(field: &Field<'_>, r: &mut Reader<'_>) -> Option<String> {
    let name = field.text(&mut r.sink)?;
    if name.chars().count() > LONGEST_NAME {
        let message = format!("`{}` is longer than {LONGEST_NAME} characters", field.name);
        r.sink.error(field.span.clone(), Code::OutOfRange, message, "no server has such a name");
        return None;
    }
    Some(name)
}

/// Reports the key where the kind of store has no such thing.
fn refused(field: &Field<'_>, kind: Option<Kind>, r: &mut Reader<'_>) -> bool {
    let refused = kind.is_some_and(|kind| kind != Kind::Mysql);
    if refused {
        let message = format!("`{}` belongs to a service of kind \"mysql\"", field.name);
        r.sink.error(field.span.clone(), Code::Conflict, message, "leave it out");
    }
    refused
}
