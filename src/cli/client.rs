//! A small HTTP client for the admin API: one connection a request, over a Unix socket, TCP or TLS.

use super::exit::Exit;
use crate::net::ClientTls;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use std::{fmt, io, path::PathBuf, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_rustls::client::TlsStream;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a question may take to be answered. Orders have their own times: see [`super::order`].
const ANSWER: Duration = Duration::from_secs(30);
/// The largest answer that is read.
const LARGEST: usize = 256 * 1024 * 1024;

/// Where the API is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Address {
    Unix(PathBuf),
    Tcp(String),
}

/// A way to one Pointsman.
#[derive(Clone)]
pub(super) struct Client {
    address: Address,
    tls: Option<ClientTls>,
    token: Option<String>,
}

/// An answer.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

impl Reply {
    /// The body as a value.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Lost> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Lost::Cut(format!("the answer (HTTP {}) isn't understood: {error}", self.status)))
    }

    /// The body as it came, without a line feed at its end.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).trim_end().to_owned()
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// Nothing was sent: nobody answers there.
    NoAnswer(String),
    /// Nothing was sent: the socket may not be opened.
    NotAllowed(String),
    /// It was sent, and no whole answer came.
    Cut(String),
}

impl Lost {
    /// The exit code where nothing was to be changed.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::NoAnswer(_) | Self::Cut(_) => Exit::NoAnswer,
            Self::NotAllowed(_) => Exit::NotAllowed,
        }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer(detail) | Self::NotAllowed(detail) | Self::Cut(detail) => f.write_str(detail),
        }
    }
}

impl Client {
    /// A client of `unix:PATH`, `http://HOST:PORT` or `https://HOST:PORT`, which takes [`Client::secured`] as well.
    pub(super) fn new(address: &str) -> Result<Self, String> {
        if let Some(path) = address.strip_prefix("unix:") {
            return Ok(Self::of(Address::Unix(path.into())));
        }
        let rest = address.strip_prefix("http://").or_else(|| address.strip_prefix("https://"));
        let rest = rest.map(|rest| rest.trim_end_matches('/'));
        let valid = |rest: &&str| {
            rest.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        };
        match rest.filter(valid) {
            Some(rest) => Ok(Self::of(Address::Tcp(rest.to_owned()))),
            None => Err(format!("--admin {address:?}: neither unix:PATH nor http://HOST:PORT nor https://HOST:PORT")),
        }
    }

    fn of(address: Address) -> Self {
        Self { address, tls: None, token: None }
    }

    /// The same by TLS.
    pub(super) fn secured(self, tls: ClientTls) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// The same with a token.
    pub(super) fn known_by(self, token: Option<String>) -> Self {
        Self { token, ..self }
    }

    /// The host that it asks over a network.
    pub(super) fn host(&self) -> Option<&str> {
        let Address::Tcp(address) = &self.address else { return None };
        let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
        Some(host.trim_start_matches('[').trim_end_matches(']'))
    }

    /// A client of a TCP address.
    pub(super) fn tcp(address: std::net::SocketAddr) -> Self {
        Self::of(Address::Tcp(address.to_string()))
    }

    /// Asks.
    pub(super) async fn get(&self, path: &str) -> Result<Reply, Lost> {
        self.send(self.request("GET", path, Bytes::new(), None), ANSWER).await
    }

    /// Asks, and reads the answer as a value. What isn't a success comes as its exit code, already complained about.
    pub(super) async fn get_json<T: DeserializeOwned>(&self, path: &str) -> Result<T, Exit> {
        let reply = self.get(path).await.and_then(|reply| match reply.status {
            StatusCode::OK => Ok(reply.json().map(Ok)?),
            _ => Ok(Err(reply)),
        });
        match reply {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(reply)) => Err(super::report::failed(&reply)),
            Err(lost) => Err(super::exit::complain(lost.exit(), &lost.to_string())),
        }
    }

    /// Orders: `body` is JSON. `time` is how long the answer may take.
    pub(super) async fn post(&self, path: &str, body: Bytes, key: Option<&str>, time: Duration) -> Result<Reply, Lost> {
        self.send(self.request("POST", path, body, key), time).await
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        body: Bytes,
        key: Option<&str>,
    ) -> Result<Request<Full<Bytes>>, String> {
        let host = match &self.address {
            Address::Unix(_) => "localhost",
            Address::Tcp(address) => address,
        };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, host)
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        request.body(Full::new(body)).map_err(|error| format!("this can't be asked: {error}"))
    }

    async fn send(&self, request: Result<Request<Full<Bytes>>, String>, time: Duration) -> Result<Reply, Lost> {
        let request = request.map_err(Lost::NoAnswer)?;
        let connecting = async {
            match (&self.address, &self.tls) {
                (Address::Unix(path), _) => UnixStream::connect(path).await.map(Stream::Unix),
                (Address::Tcp(address), None) => TcpStream::connect(address).await.map(Stream::Tcp),
                (Address::Tcp(address), Some(tls)) => {
                    let stream = TcpStream::connect(address).await?;
                    tls.connect_async(stream, address).await.map(|stream| Stream::Tls(Box::new(stream)))
                }
            }
        };
        let stream = timeout(CONNECT, connecting).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        match stream.map_err(|error| self.unconnected(&error))? {
            Stream::Unix(stream) => self.exchange(stream, request, time).await,
            Stream::Tcp(stream) => self.exchange(stream, request, time).await,
            Stream::Tls(stream) => self.exchange(stream, request, time).await,
        }
    }

    fn unconnected(&self, error: &io::Error) -> Lost {
        match error.kind() {
            io::ErrorKind::PermissionDenied => Lost::NotAllowed(format!(
                "{self}: not allowed ({error}); root and the user that Pointsman runs as may, and the people of [[admin.people]]"
            )),
            _ => Lost::NoAnswer(format!(
                "no Pointsman answers at {self} ({error}); is it running, and is --admin or POINTSMAN_ADMIN right?"
            )),
        }
    }

    async fn exchange<S>(&self, stream: S, request: Request<Full<Bytes>>, time: Duration) -> Result<Reply, Lost>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let cut = |error: &dyn fmt::Display| Lost::Cut(format!("the connection to {self} broke: {error}"));
        let talk = async {
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| cut(&error))?;
            let driver = tokio::spawn(connection);
            let answer = sender.send_request(request).await.map_err(|error| cut(&error))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), LARGEST).collect().await.map_err(|error| cut(&error))?;
            driver.abort();
            Ok(Reply { status, body: body.to_bytes() })
        };
        let late = || Lost::Cut(format!("{self} did not answer within {} s", time.as_secs()));
        timeout(time, talk).await.unwrap_or_else(|_| Err(late()))
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.address, &self.tls) {
            (Address::Unix(path), _) => write!(f, "unix:{}", path.display()),
            (Address::Tcp(address), None) => write!(f, "http://{address}"),
            (Address::Tcp(address), Some(_)) => write!(f, "https://{address}"),
        }
    }
}

enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A name as one segment of a path: everything but letters, digits, `-`, `_` and `.` is escaped.
pub(super) fn segment(name: &str) -> String {
    use fmt::Write;
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            out.push(char::from(byte));
        } else {
            // Writing to a String can't fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(Client::new("unix:/a/b").ok().map(|client| client.address), Some(Address::Unix("/a/b".into())));
        assert_eq!(Client::new("http://[::1]:9320/").expect("valid").to_string(), "http://[::1]:9320");
        assert_eq!(Client::new("https://[::1]:9320").expect("valid").host(), Some("::1"));
        for bad in ["", "/a/b", "http://host", "http://:1", "ftp://h:1", "http://h:x"] {
            assert!(Client::new(bad).is_err(), "{bad}");
        }
        assert_eq!(segment("a b/ü"), "a%20b%2F%C3%BC");
    }

    #[tokio::test]
    async fn nobody_there_is_code_69() {
        let lost = Client::new("unix:/nonexistent/admin.sock").expect("valid").get("/").await.expect_err("nobody");
        assert_eq!(lost.exit(), Exit::NoAnswer);
        assert!(lost.to_string().contains("unix:/nonexistent/admin.sock"));
    }
}
