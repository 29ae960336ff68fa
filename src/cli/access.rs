//! Where the admin API is and who asks: the options that every command has which asks a running Pointsman.
//!
//! Input: options and variables. Output: a [`Client`]. A token comes from a file only: on a command line or in a variable everybody
//! of the machine could read it.

use super::client::Client;
use crate::{
    config::{NodeIdentity, NodeTls},
    net::ClientTls,
};
use clap::Args;
use std::{
    net::IpAddr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// The permission bit that lets everyone read a file.
const OTHERS_READ: u32 = 0o004;
/// No file of a token is longer.
const LONGEST: u64 = 4096;
/// Where systems keep the authorities that they trust.
const TRUSTED: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

/// What these options stand under in every help, behind those of the command itself.
pub(super) const REACHING: &str = "Reaching Pointsman";

/// Global options.
#[derive(Debug, Args)]
pub(super) struct Access {
    /// Where the admin API is: `unix:PATH`, `http://HOST:PORT` or `https://HOST:PORT`.
    #[arg(long, global = true, help_heading = REACHING, hide_env_values = true, value_name = "ADDRESS", env = "POINTSMAN_ADMIN", default_value = "unix:/run/pointsman/admin.sock")]
    admin: String,
    /// The file of your token, as `pointsman token` prints it.
    #[arg(long, global = true, help_heading = REACHING, hide_env_values = true, value_name = "FILE", env = "POINTSMAN_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// Who signs the API's certificate (https); default: the authorities that the system trusts.
    #[arg(long, global = true, help_heading = REACHING, hide_env_values = true, value_name = "FILE", env = "POINTSMAN_CA")]
    ca: Option<PathBuf>,
    /// Your certificate, where the API asks for one.
    #[arg(long, global = true, help_heading = REACHING, hide_env_values = true, value_name = "FILE", env = "POINTSMAN_CLIENT_CERTIFICATE", requires = "client_key")]
    client_certificate: Option<PathBuf>,
    /// Its key.
    #[arg(long, global = true, help_heading = REACHING, hide_env_values = true, value_name = "FILE", env = "POINTSMAN_CLIENT_KEY", requires = "client_certificate")]
    client_key: Option<PathBuf>,
}

impl Access {
    /// The way in. The error is a whole sentence.
    pub(super) fn client(&self) -> Result<Client, String> {
        let token = self.token_file.as_deref().map(token).transpose()?;
        let client = Client::new(&self.admin)?;
        if token.is_some() && self.admin.starts_with("http://") && !client.host().is_some_and(is_loopback) {
            return Err(format!("--admin {}: the token would pass the network in clear: use https://", self.admin));
        }
        let client = if self.admin.starts_with("https://") { client.secured(self.tls()?) } else { client };
        Ok(client.known_by(token))
    }

    fn tls(&self) -> Result<ClientTls, String> {
        let trusted = || TRUSTED.iter().map(PathBuf::from).find(|path| path.exists());
        let ca = self.ca.clone().or_else(trusted).ok_or("--ca: say who signs the API's certificate")?;
        let identity = self.client_certificate.clone().zip(self.client_key.clone());
        let identity = identity.map(|(certificate, key)| NodeIdentity { certificate, key });
        ClientTls::load(&NodeTls { ca, identity, server_name: None }).map_err(|error| error.to_string())
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The token in a file: its first line, so that what `pointsman token` prints can be kept as it is.
fn token(path: &Path) -> Result<String, String> {
    let unusable = |why: &str| format!("--token-file {}: {why}", path.display());
    let about = std::fs::metadata(path).map_err(|error| unusable(&error.to_string()))?;
    if !about.is_file() || about.len() > LONGEST {
        return Err(unusable("it is no file of a token"));
    }
    if about.mode() & OTHERS_READ != 0 {
        return Err(unusable("everyone can read it: chmod o-rwx"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| unusable(&error.to_string()))?;
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    if line.is_empty() || !line.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(unusable("its first line is no token"));
    }
    Ok(line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt};

    #[test]
    fn a_token_is_the_first_line_of_a_file_that_others_cannot_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        assert!(token(&path).is_err(), "no file");
        let write = |text: &str, mode| {
            fs::write(&path, text).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
            token(&path)
        };
        assert_eq!(write("pm_abc\n\n[[admin.people]]\n", 0o600).as_deref(), Ok("pm_abc"));
        assert_eq!(write("\n  pm_abc \r\n", 0o640).as_deref(), Ok("pm_abc"));
        for (text, mode) in [("pm_abc", 0o644), ("", 0o600), ("a b", 0o600), (&*"x".repeat(5000), 0o600)] {
            let error = write(text, mode).expect_err("refused");
            assert!(!error.contains("abc"), "{error}");
        }
        assert!(token(folder.path()).is_err(), "a folder");
    }

    #[test]
    fn loopback_is_where_no_network_is() {
        assert!(["localhost", "127.0.0.1", "127.8.8.8", "::1"].into_iter().all(is_loopback));
        assert!(!["10.0.0.1", "ops.example", "0.0.0.0", "localhost.example"].into_iter().any(is_loopback));
    }
}
