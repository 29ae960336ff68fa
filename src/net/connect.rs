//! Connecting to a configured endpoint, and telling apart what a failure proves.
//!
//! Input: `host:port` as configured, TLS settings, a time limit. Output: a [`Stream`], or a [`ConnectError`]. The name is
//! resolved again at each connect; the last good answer is kept for when the resolver fails. It never retries.

use super::{
    options,
    stream::Stream,
    tls::{self, ClientTls},
    tls_stream::TlsStream,
};
use arc_swap::ArcSwapOption;
use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpStream, lookup_host},
    time::{Instant, timeout_at},
};

/// Why there is no connection. What each case proves differs, so they are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// Every address answered with a reset: the host is up and nobody listens.
    Refused,
    /// No answer to the connection request in time: the path is broken, or the accept queue is full.
    TimedOut,
    /// The system says that there is no way, and why.
    Unreachable(String),
    /// The name doesn't resolve, and never did since we started.
    Unresolved(String),
    /// Connected, but nothing answered the TLS handshake in time.
    Silent,
    /// The TLS handshake failed: the peer is there, but not for us.
    Tls(String),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("connection refused"),
            Self::TimedOut => f.write_str("connecting timed out"),
            Self::Unreachable(why) => write!(f, "unreachable: {why}"),
            Self::Unresolved(why) => write!(f, "the name does not resolve: {why}"),
            Self::Silent => f.write_str("connected, but the TLS handshake got no answer"),
            Self::Tls(why) => write!(f, "TLS: {why}"),
        }
    }
}

impl std::error::Error for ConnectError {}

/// A place to connect to. Shared by reference; concurrent connects are fine.
#[derive(Debug)]
pub struct Endpoint {
    address: String,
    tls: Option<ClientTls>,
    last_good: ArcSwapOption<Vec<SocketAddr>>,
}

impl Endpoint {
    /// An endpoint from `host:port` (an IPv6 address in brackets), with TLS if given.
    pub fn new(address: impl Into<String>, tls: Option<ClientTls>) -> Self {
        Self { address: address.into(), tls, last_good: ArcSwapOption::empty() }
    }

    /// The address as configured.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Connects within `limit`, which covers the name, the connection and the TLS handshake. A name with several
    /// addresses is tried in the resolver's order, each with an equal share of the time that is left.
    pub async fn connect(&self, limit: Duration) -> Result<Stream, ConnectError> {
        let deadline = Instant::now() + limit;
        let tcp = self.connect_tcp(deadline).await?;
        options::tune_upstream(&tcp);
        self.secure_until(tcp, deadline).await
    }

    /// Connects within `limit`, without TLS: for protocols that change to it after the first words. See [`Self::secure`].
    pub async fn connect_plain(&self, limit: Duration) -> Result<TcpStream, ConnectError> {
        let tcp = self.connect_tcp(Instant::now() + limit).await?;
        options::tune_upstream(&tcp);
        Ok(tcp)
    }

    /// True if TLS is to be spoken there.
    pub fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// Changes a connection to TLS within `limit`, if TLS is configured. Nothing may wait unread on it.
    pub async fn secure(&self, tcp: TcpStream, limit: Duration) -> Result<Stream, ConnectError> {
        self.secure_until(tcp, Instant::now() + limit).await
    }

    async fn secure_until(&self, tcp: TcpStream, deadline: Instant) -> Result<Stream, ConnectError> {
        let Some(tls) = &self.tls else { return Ok(Stream::Tcp(tcp)) };
        let session = tls.session(&self.address).map_err(ConnectError::Tls)?;
        match timeout_at(deadline, TlsStream::handshake(tcp, session)).await {
            Ok(Ok(stream)) => Ok(Stream::Tls(Box::new(stream))),
            Ok(Err(error)) => Err(ConnectError::Tls(tls::why(&error))),
            Err(_) => Err(ConnectError::Silent),
        }
    }

    async fn connect_tcp(&self, deadline: Instant) -> Result<TcpStream, ConnectError> {
        let addresses = self.resolve(deadline).await?;
        let mut worst = ConnectError::Refused;
        for (index, address) in addresses.iter().enumerate() {
            let now = Instant::now();
            let left = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
            let share = deadline.saturating_duration_since(now) / left;
            let error = match timeout_at(now + share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => classify(&error),
                Err(_) => ConnectError::TimedOut,
            };
            // "Refused" is a proof of death only if every address says so: any other failure outweighs it.
            if error != ConnectError::Refused {
                worst = error;
            }
        }
        Err(worst)
    }

    /// The addresses now. With an earlier answer at hand the resolver gets half of the time, else all of it.
    async fn resolve(&self, deadline: Instant) -> Result<Arc<Vec<SocketAddr>>, ConnectError> {
        if let Ok(address) = self.address.parse::<SocketAddr>() {
            return Ok(Arc::new(vec![address]));
        }
        let known = self.last_good.load_full();
        let now = Instant::now();
        let share = if known.is_some() { deadline.saturating_duration_since(now) / 2 } else { deadline - now };
        let why = match timeout_at(now + share, lookup_host(self.address.as_str())).await {
            Ok(Ok(found)) => {
                let found: Vec<_> = found.collect();
                if !found.is_empty() {
                    let found = Arc::new(found);
                    self.last_good.store(Some(found.clone()));
                    return Ok(found);
                }
                "no address".to_owned()
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the resolver did not answer in time".to_owned(),
        };
        known.ok_or(ConnectError::Unresolved(why))
    }
}

fn classify(error: &io::Error) -> ConnectError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => ConnectError::Refused,
        io::ErrorKind::TimedOut => ConnectError::TimedOut,
        _ => ConnectError::Unreachable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    const LIMIT: Duration = Duration::from_secs(2);

    async fn free_port() -> u16 {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
    }

    #[tokio::test]
    async fn a_closed_port_is_refused_and_a_name_that_never_resolved_is_said() {
        let port = free_port().await;
        let refused = Endpoint::new(format!("127.0.0.1:{port}"), None).connect(LIMIT).await;
        assert_eq!(refused.unwrap_err(), ConnectError::Refused);
        let unresolved = Endpoint::new("no-such-host.invalid:1", None).connect(LIMIT).await;
        assert!(matches!(unresolved.unwrap_err(), ConnectError::Unresolved(_)));
    }

    #[tokio::test]
    async fn a_name_is_resolved_and_its_last_answer_survives_a_broken_resolver() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let endpoint = Endpoint::new(format!("localhost:{}", address.port()), None);
        assert!(matches!(endpoint.connect(LIMIT).await, Ok(Stream::Tcp(_))));
        assert!(endpoint.last_good.load().is_some());

        let broken = Endpoint::new("no-such-host.invalid:1", None);
        broken.last_good.store(Some(Arc::new(vec![address])));
        assert!(broken.connect(LIMIT).await.is_ok());
    }

    #[tokio::test]
    async fn a_full_accept_queue_is_a_time_out_and_no_refusal() {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let endpoint = Endpoint::new(listener.local_addr().unwrap().to_string(), None);
        let mut kept = Vec::new();
        let error = loop {
            match endpoint.connect(Duration::from_millis(200)).await {
                Ok(stream) => kept.push(stream),
                Err(error) => break error,
            }
            assert!(kept.len() < 16, "the queue never filled");
        };
        assert_eq!(error, ConnectError::TimedOut);
    }
}
