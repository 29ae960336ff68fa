//! Opens listeners.

use crate::{config::Listen, net::tune_listener};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    fmt, io,
    net::SocketAddr,
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::Path,
};

/// Connections that may wait to be accepted; the system bounds it further.
const BACKLOG: i32 = 4096;
/// Who may connect to a Unix socket: owner and group.
const SOCKET_MODE: u32 = 0o660;

/// A listener that can't be opened.
#[derive(Debug)]
pub struct ListenError {
    /// Which.
    pub listen: Listen,
    /// Why.
    pub error: io::Error,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "can't listen on {}: {}", self.listen, self.error)
    }
}

impl std::error::Error for ListenError {}

/// An open listener.
pub enum Listener {
    /// Of TCP.
    Tcp(std::net::TcpListener),
    /// Of a Unix socket.
    Unix(UnixListener),
}

/// Opens all of them, or none.
pub fn open_all(places: &[Listen]) -> Result<Vec<(Listen, Listener)>, ListenError> {
    let open = |listen: &Listen| match listen {
        Listen::Tcp(address) => tcp(*address).map(Listener::Tcp),
        Listen::Unix(path) => unix(path).map(Listener::Unix),
    };
    let with_error = |listen: &Listen| match open(listen) {
        Ok(listener) => Ok((listen.clone(), listener)),
        Err(error) => Err(ListenError { listen: listen.clone(), error }),
    };
    places.iter().map(with_error).collect()
}

fn tcp(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let listener = socket.into();
    tune_listener(&listener);
    Ok(listener)
}

fn unix(path: &Path) -> io::Result<UnixListener> {
    // A socket that nobody listens on was left by a process that is gone. Anything else at that place is not ours to remove.
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    if is_socket && UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(SOCKET_MODE))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
