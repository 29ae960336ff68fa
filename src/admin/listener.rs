//! The Unix socket of the admin API: who may connect, and that only one Pointsman listens there.

use super::{api, problem::Problem, serve};
use crate::{
    control::Handle,
    model::person::{Caller, Role, Way},
};
use axum::{Extension, Router};
use std::{
    fs, io,
    os::unix::{
        fs::{DirBuilderExt, FileTypeExt, PermissionsExt},
        net::UnixStream as StdUnixStream,
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::Semaphore,
};

/// How many operators' connections are served at once; more wait in the socket's backlog.
const CONNECTIONS: usize = 128;
/// How long to rest when accepting fails (no descriptors left), so that the loop doesn't burn the CPU.
const REST: Duration = Duration::from_millis(100);

/// The bound socket. Dropping it removes the file.
#[derive(Debug)]
pub struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl AdminSocket {
    /// Binds `path` with mode 660, creating its folder with mode 750. A socket file that nobody answers on is removed; one
    /// that somebody answers on, or a file that is no socket, is an error. Must be called within a tokio runtime.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::DirBuilder::new().recursive(true).mode(0o750).create(folder).map_err(named)?;
        }
        remove_stale(path).map_err(named)?;
        let listener = UnixListener::bind(path).map_err(named)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o660)).map_err(named)?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Serves operators until the future is dropped; connections go with it.
    pub async fn serve(self, handle: Handle) {
        let router = api::router(handle);
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = tokio::task::JoinSet::new();
        loop {
            // The semaphore is never closed.
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            while connections.try_join_next().is_some() {}
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let router = admit(&stream, &router);
                    connections.spawn(async move {
                        serve::connection(stream, router).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the admin socket can't accept");
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = fs::remove_file(&self.path);
    }
}

/// Removes a socket that a dead Pointsman left.
fn remove_stale(path: &Path) -> io::Result<()> {
    let kind = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !kind.is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is not a socket"));
    }
    match StdUnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process answers there")),
    }
}

/// The routes that this peer may use: all for root and our own user, none for others (people come later).
fn admit(stream: &UnixStream, router: &Router) -> Router {
    let own = rustix::process::geteuid().as_raw();
    match stream.peer_cred().map(|peer| peer.uid()) {
        Ok(uid) if allowed(uid, own) => {
            let caller = Caller { name: format!("uid:{uid}"), role: Role::Operator, via: Way::Socket };
            router.clone().layer(Extension(caller))
        }
        Ok(uid) => forbidden(format!("uid {uid} may not: only root and uid {own} are operators here")),
        Err(error) => forbidden(format!("the peer's user is unknown: {error}")),
    }
}

fn allowed(uid: u32, own: u32) -> bool {
    uid == 0 || uid == own
}

fn forbidden(detail: String) -> Router {
    Router::new().fallback(async move || Problem::forbidden(detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_our_own_user_are_operators() {
        assert!(allowed(0, 1000) && allowed(1000, 1000));
        assert!(!allowed(1001, 1000));
    }

    #[tokio::test]
    async fn a_socket_is_private_and_taken_over_only_when_dead() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("run/admin.sock");
        let first = AdminSocket::bind(&path).expect("the first binds");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().expect("a folder"))), (0o660, 0o750));
        assert_eq!(AdminSocket::bind(&path).expect_err("in use").kind(), io::ErrorKind::AddrInUse);
        drop(first);
        assert!(!path.exists(), "a stopped Pointsman leaves no socket");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket that its owner leaves behind"));
        assert!(path.exists());
        drop(AdminSocket::bind(&path).expect("a dead socket is replaced"));
        fs::write(&path, "precious").expect("a file");
        assert_eq!(AdminSocket::bind(&path).expect_err("a file").kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).expect("still there"), b"precious");
    }
}
