//! Reads credentials and TLS files: everything that opens other files or the environment.
//!
//! Input: the tables `credentials`, `tls`, `node_tls`, and those of users. Output: secrets in memory and paths known to be readable. Never: the
//! content of a secret in a problem, nor any file at all when loaded without secrets. What PEM files hold is judged where
//! TLS is set up.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Reader;
use crate::config::problem::Code;
use crate::config::schema::{Credentials, ListenerTls, NodeIdentity, NodeTls};
use crate::config::table::{Field, Table};
use crate::config::units::shown;
use crate::model::name::Kind;
use crate::model::secret::Secret;

/// A password file holds one password, not a disk image.
const MAX_SECRET: u64 = 4096;
/// The permission bit that lets everyone read a file.
const OTHERS_READ: u32 = 0o004;

pub(super) fn credentials(mut table: Table<'_>, kind: Option<Kind>, r: &mut Reader<'_>) -> Credentials {
    let basic = kind == Some(Kind::Elasticsearch);
    let field = table.get("username");
    let username = field.as_ref().and_then(|field| field.text(&mut r.sink));
    if basic && field.is_none() {
        let message = format!("`username` is missing in `{}`", table.name);
        r.sink.error(table.span.clone(), Code::Missing, message, "this kind of store has no default user");
    }
    if let (true, Some(field), Some(name)) = (basic, &field, &username)
        && name.contains(':')
    {
        let message = format!("{} can't be sent: a colon ends the name in basic authentication", shown(name));
        r.sink.error(field.span.clone(), Code::BadValue, message, "make a user without a colon in its name");
    }
    let password = password(&mut table, r);
    table.finish(&mut r.sink);
    Credentials { username, password }
}

/// The one password that a login's table gives.
pub(super) fn password(table: &mut Table<'_>, r: &mut Reader<'_>) -> Option<Secret> {
    let (clear, file, env) = (table.get("password"), table.get("password_file"), table.get("password_env"));
    let given = [&clear, &file, &env].into_iter().flatten().count();
    if given != 1 {
        let help = "give one of `password_file`, `password_env` and `password`";
        let count = if given == 0 { "no password" } else { "several passwords" };
        let message = format!("`{}` gives {count}", table.name);
        let code = if given == 0 { Code::Missing } else { Code::Conflict };
        r.sink.error(table.span.clone(), code, message, help);
    }
    let clear = clear.and_then(|field| password_in_clear(&field, r));
    let file = file.and_then(|field| password_file(&field, r));
    let env = env.and_then(|field| password_env(&field, r));
    clear.or(file).or(env)
}

fn password_in_clear(field: &Field<'_>, r: &mut Reader<'_>) -> Option<Secret> {
    let text = field.text(&mut r.sink)?;
    let help = "move it to a file of its own and name that in `password_file`";
    r.sink.warning(field.span.clone(), Code::SecretExposed, "a password stands in the file in clear", help);
    r.options.secrets.then(|| Secret::new(text.into_bytes()))
}

fn password_env(field: &Field<'_>, r: &mut Reader<'_>) -> Option<Secret> {
    let name = field.text(&mut r.sink)?;
    if !r.options.secrets {
        return None;
    }
    let fault = match std::env::var(&name) {
        Ok(value) if !value.is_empty() => return Some(Secret::new(value.into_bytes())),
        Ok(_) => "is empty",
        Err(std::env::VarError::NotPresent) => "is not set",
        Err(std::env::VarError::NotUnicode(_)) => "is not UTF-8",
    };
    let message = format!("the environment variable {} {fault}", shown(&name));
    r.sink.error(field.span.clone(), Code::SecretMissing, message, "set it where Pointsman is started");
    None
}

/// A secret that a file holds alone, its trailing line ends dropped.
pub(super) fn password_file(field: &Field<'_>, r: &mut Reader<'_>) -> Option<Secret> {
    let path = r.path(field)?;
    if !r.options.secrets {
        return None;
    }
    let file = open(field, &path, true, r)?;
    let mut bytes = Vec::new();
    if let Err(error) = file.take(MAX_SECRET + 1).read_to_end(&mut bytes) {
        return unreadable(field, &path, &error, r);
    }
    if bytes.len() as u64 > MAX_SECRET {
        let why = format!("it is longer than {MAX_SECRET} bytes");
        return unusable(field, &path, &why, "it must hold the password alone", r);
    }
    let kept = bytes.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
    bytes.truncate(kept);
    if bytes.is_empty() {
        return unusable(field, &path, "it is empty", "write the password into it", r);
    }
    Some(Secret::new(bytes))
}

/// Opens a regular file; one that holds a secret must not be readable by everyone.
fn open(field: &Field<'_>, path: &Path, secret: bool, r: &mut Reader<'_>) -> Option<File> {
    // Looked at before it is opened: opening a named pipe would wait for its writer for ever.
    let opened = std::fs::metadata(path).and_then(|meta| Ok((File::open(path)?, meta)));
    let (file, meta) = match opened {
        Ok(opened) => opened,
        Err(error) => return unreadable(field, path, &error, r),
    };
    if !meta.is_file() {
        return unusable(field, path, "it is not a regular file", "name a file", r);
    }
    if secret && meta.mode() & OTHERS_READ != 0 {
        let help = format!("chmod o-rwx {}", path.to_string_lossy().escape_debug());
        let message = format!("{} is readable by everyone", shown(&path.to_string_lossy()));
        r.sink.error(field.span.clone(), Code::SecretExposed, message, help);
        return None;
    }
    Some(file)
}

fn unreadable<T>(field: &Field<'_>, path: &Path, error: &std::io::Error, r: &mut Reader<'_>) -> Option<T> {
    let help = match error.kind() {
        ErrorKind::NotFound => "write that file, or mend the path; a relative one starts from this file's folder",
        ErrorKind::PermissionDenied => "let the user that Pointsman runs as read it",
        _ => "name a file that can be read",
    };
    unusable(field, path, &error.to_string(), help, r)
}

fn unusable<T>(field: &Field<'_>, path: &Path, why: &str, help: &str, r: &mut Reader<'_>) -> Option<T> {
    let message = format!("{} can't be used: {why}", shown(&path.to_string_lossy()));
    r.sink.error(field.span.clone(), Code::SecretMissing, message, help);
    None
}

pub(super) fn listener_tls(mut table: Table<'_>, r: &mut Reader<'_>) -> Option<ListenerTls> {
    let certificate = table
        .require(&mut r.sink, "certificate", "name the file of the certificate chain")
        .and_then(|field| pem(&field, false, r));
    let key = table
        .require(&mut r.sink, "key", "name the file of the certificate's private key")
        .and_then(|field| pem(&field, true, r));
    let client_ca = table.get("client_ca").and_then(|field| pem(&field, false, r));
    table.finish(&mut r.sink);
    Some(ListenerTls { certificate: certificate?, key: key?, client_ca })
}

pub(super) fn node_tls(mut table: Table<'_>, r: &mut Reader<'_>) -> Option<NodeTls> {
    let ca =
        table.require(&mut r.sink, "ca", "who signs the nodes' certificates").and_then(|field| pem(&field, false, r));
    let (certificate, key) = (table.get("certificate"), table.get("key"));
    if certificate.is_some() != key.is_some() {
        let message = format!("`{}` has only one of `certificate` and `key`", table.name);
        r.sink.error(table.span.clone(), Code::Missing, message, "give both or neither");
    }
    let certificate = certificate.and_then(|field| pem(&field, false, r));
    let key = key.and_then(|field| pem(&field, true, r));
    let identity = certificate.zip(key).map(|(certificate, key)| NodeIdentity { certificate, key });
    let server_name = table.get("server_name").and_then(|field| field.text(&mut r.sink));
    table.finish(&mut r.sink);
    Some(NodeTls { ca: ca?, identity, server_name })
}

/// The path of a PEM file, opened once to see that it can be.
pub(super) fn pem(field: &Field<'_>, secret: bool, r: &mut Reader<'_>) -> Option<PathBuf> {
    let path = r.path(field)?;
    if r.options.secrets {
        open(field, &path, secret, r)?;
    }
    Some(path)
}
