//! The Unix socket of the admin API: who may connect, and that only one Pointsman listens there.

use super::{api::AdminApi, gate::Peer, serve};
use crate::config::Admin;
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
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// How many connections of root and our own user are served at once: nobody else can take their places.
const OWN: usize = 1280;
/// How many of the people.
const PEOPLE: usize = 1280;
/// How many of others, who only hear that they may not.
const STRANGERS: usize = 16;
/// How long to rest when accepting fails (no descriptors left), so that the loop doesn't burn the CPU.
const REST: Duration = Duration::from_millis(100);

/// Places for connections, by who takes them.
struct Rooms {
    own: Arc<Semaphore>,
    people: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
}

impl Default for Rooms {
    fn default() -> Self {
        let room = |places| Arc::new(Semaphore::new(places));
        Self { own: room(OWN), people: room(PEOPLE), strangers: room(STRANGERS) }
    }
}

/// The bound socket. Dropping it removes the file.
#[derive(Debug)]
pub struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl AdminSocket {
    /// Binds `admin.socket`, creating its folder if it isn't there. A socket file that nobody answers on is removed; one
    /// that somebody answers on, or a file that is no socket, is an error. Must be called within a tokio runtime.
    pub fn bind(admin: &Admin) -> io::Result<Self> {
        let path = admin.socket.as_path();
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(named)?;
        }
        remove_stale(path).map_err(named)?;
        let listener = UnixListener::bind(path).map_err(named)?;
        set_mode(path, admin).map_err(named)?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Serves operators until the future is dropped; connections go with it.
    pub async fn serve(self, api: AdminApi) {
        let rooms = Rooms::default();
        let mut connections = tokio::task::JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let Some((peer, slot)) = admit(&stream, &api, &rooms) else { continue };
                    serve::bound(&stream);
                    let router = api.router(peer);
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

/// Who connects, and a place for the connection; nothing if that sort of callers has no place left. Who they are is asked again with
/// each request, since a reload may change it.
fn admit(stream: &UnixStream, api: &AdminApi, rooms: &Rooms) -> Option<(Peer, OwnedSemaphorePermit)> {
    let credentials = stream.peer_cred();
    let credentials =
        credentials.inspect_err(|error| tracing::warn!(%error, "the kernel doesn't say who connects")).ok()?;
    let (uid, gid) = (credentials.uid(), credentials.gid());
    let room = match api.who(uid, gid) {
        Some(_) if api.is_own(uid) => &rooms.own,
        Some(_) => &rooms.people,
        None => &rooms.strangers,
    };
    let slot = room.clone().try_acquire_owned();
    let slot = slot.inspect_err(|_| tracing::warn!(uid, "too many connections to the admin socket: one was closed"));
    Some((Peer::Socket { uid, gid }, slot.ok()?))
}

/// Sets who can connect at all: once people are named by uid or gid everybody, since the kernel says who each is and the others hear
/// nothing; before that the owner and the group of the file.
pub(super) fn set_mode(path: &Path, admin: &Admin) -> io::Result<()> {
    let named = admin.people.iter().any(|person| person.uid.is_some() || person.gid.is_some());
    fs::set_permissions(path, fs::Permissions::from_mode(if named { 0o666 } else { 0o660 }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Person, TokenHash},
        model::person::Role,
    };

    #[tokio::test]
    async fn a_socket_is_as_open_as_it_must_be_and_taken_over_only_when_dead() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("run/admin.sock");
        let admin = Admin { socket: path.clone(), ..Admin::default() };
        let first = AdminSocket::bind(&admin).expect("the first binds");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().expect("a folder"))), (0o660, 0o755));
        let ann = Person { name: "ann".into(), role: Role::Viewer, uid: Some(1001), gid: None, tokens: Vec::new() };
        let tokens = Person { uid: None, tokens: vec![TokenHash([0; 32])], ..ann.clone() };
        for (person, expected) in [(ann, 0o666), (tokens, 0o660)] {
            set_mode(&path, &Admin { people: vec![person], ..Admin::default() }).expect("a mode");
            assert_eq!(mode(&path), expected);
        }
        assert_eq!(AdminSocket::bind(&admin).expect_err("in use").kind(), io::ErrorKind::AddrInUse);
        drop(first);
        assert!(!path.exists(), "a stopped Pointsman leaves no socket");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket that its owner leaves behind"));
        assert!(path.exists());
        drop(AdminSocket::bind(&admin).expect("a dead socket is replaced"));
        fs::write(&path, "precious").expect("a file");
        assert_eq!(AdminSocket::bind(&admin).expect_err("a file").kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).expect("still there"), b"precious");
    }
}
