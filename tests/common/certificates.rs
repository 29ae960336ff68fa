//! A certificate authority and certificates of a day, for TLS tests.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// PEM files of an authority, a server (`localhost`, `127.0.0.1`) and a client, in one folder.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// The authority's certificate.
    pub ca: PathBuf,
    /// The server's certificate.
    pub server: PathBuf,
    /// The server's key.
    pub server_key: PathBuf,
    /// The client's certificate.
    pub client: PathBuf,
    /// The client's key.
    pub client_key: PathBuf,
}

impl Certificates {
    /// Makes a new authority and writes all files below `folder`; those there before are replaced.
    pub fn write(folder: &Path) -> Self {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, "test authority");
        let authority =
            CertifiedIssuer::self_signed(authority, KeyPair::generate().expect("a key")).expect("an authority");
        let ca = folder.join("ca.pem");
        std::fs::write(&ca, authority.pem()).expect("writing the authority");
        let (server, server_key) = issue(folder, "server", &["localhost", "127.0.0.1"], &authority);
        let (client, client_key) = issue(folder, "client", &["client.test"], &authority);
        Self { ca, server, server_key, client, client_key }
    }
}

fn issue(folder: &Path, name: &str, hosts: &[&str], by: &CertifiedIssuer<'_, KeyPair>) -> (PathBuf, PathBuf) {
    let key = KeyPair::generate().expect("a key");
    let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    let mut parameters = CertificateParams::new(hosts).expect("valid names");
    parameters.distinguished_name.push(DnType::CommonName, name);
    let certificate = parameters.signed_by(&key, by).expect("a certificate");
    let (certificate_file, key_file) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
    std::fs::write(&certificate_file, certificate.pem()).expect("writing a certificate");
    std::fs::write(&key_file, key.serialize_pem()).expect("writing a key");
    // A key that everyone can read is refused.
    std::fs::set_permissions(&key_file, std::fs::Permissions::from_mode(0o600)).expect("its mode");
    (certificate_file, key_file)
}
