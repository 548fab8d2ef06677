//! The cloud on a socket, for clients that are not in this process.

mod answer;
mod error;
mod listen;
#[cfg(feature = "tls")]
mod tls;

use std::any::Any;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::answer::Answers;
pub use self::error::ServeError;
use self::listen::Listening;
#[cfg(feature = "tls")]
pub use self::tls::Tls;
use crate::cloud::Cloud;

/// What a [`Server`] may be started with; [`Cloud::serve`] makes it.
#[derive(Debug, Clone)]
#[must_use = "nothing listens until start() is called"]
pub struct ServerBuilder {
    cloud: Cloud,
    address: String,
    worker: Option<String>,
    max_connections: usize,
    max_concurrent_streams: u32,
    max_request_bytes: usize,
    read_timeout: Duration,
    grace: Duration,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
}

impl Cloud {
    /// Puts the cloud on a socket, for programs outside this process and clients in other languages:
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cloud = kinesis_testkit::Cloud::new();
    /// let server = cloud.serve().bind("127.0.0.1:0").start().await?;
    /// println!("AWS_ENDPOINT_URL={}", server.url()); // of both services
    /// server.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The clock has to run: a paused one jumps on whenever all tasks wait for a socket. A client with a clock of its own
    /// sees the cloud's date, so give the cloud today's ([`crate::CloudBuilder::epoch`]).
    pub fn serve(&self) -> ServerBuilder {
        ServerBuilder::new(self.clone())
    }
}

impl ServerBuilder {
    pub(crate) fn new(cloud: Cloud) -> Self {
        Self {
            cloud,
            address: "127.0.0.1:0".to_owned(),
            worker: None,
            max_connections: MAX_CONNECTIONS,
            max_concurrent_streams: MAX_CONCURRENT_STREAMS,
            max_request_bytes: MAX_REQUEST_BYTES,
            read_timeout: READ_TIMEOUT,
            grace: GRACE,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Where to listen, for example `"127.0.0.1:4567"`; by default on 127.0.0.1 and a port that is free.
    pub fn bind(self, address: impl ToString) -> Self {
        Self { address: address.to_string(), ..self }
    }

    /// Whatever comes through this server is the worker `name`'s: its faults and the cloud's latency apply, and its
    /// calls are logged. Without this no fault touches the server's clients, and their calls are in no log.
    pub fn worker(self, name: &str) -> Self {
        Self { worker: Some(name.to_owned()), ..self }
    }

    /// How many connections are open at one time, 1024 by default. The next one waits to be accepted.
    pub fn max_connections(self, most: usize) -> Self {
        Self { max_connections: most, ..self }
    }

    /// How many calls may be open on one HTTP/2 connection, 200 by default. A subscription is an open call as long as it
    /// lasts; a client that has used up its streams waits, or opens another connection.
    pub fn max_concurrent_streams(self, most: u32) -> Self {
        Self { max_concurrent_streams: most, ..self }
    }

    /// The largest request body in bytes, 16 MiB by default: 10 MiB of records, in base64. A larger one is answered with
    /// status 413, as the service does.
    pub fn max_request_bytes(self, most: usize) -> Self {
        Self { max_request_bytes: most, ..self }
    }

    /// How long a client may pause in the middle of a request body, 20 seconds by default. Then the call is answered with status
    /// 408: only so many bodies are read at one time, and those that have stopped would keep the others waiting.
    pub fn read_timeout(self, timeout: Duration) -> Self {
        Self { read_timeout: timeout, ..self }
    }

    /// How long [`Server::shutdown`] waits for calls that are under way, 1 second by default.
    pub fn grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// Speaks TLS, HTTP/2 or HTTP/1.1 as the client chooses. On the same port plain HTTP is answered too.
    #[cfg(feature = "tls")]
    pub fn tls(self, tls: Tls) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// Starts to listen; when this returns, clients can connect.
    ///
    /// Cancel safe: nothing listens if it is dropped.
    ///
    /// # Errors
    ///
    /// When the address is wrong or taken, a limit is zero, the certificate given is of no use, or the tokio runtime has no
    /// I/O driver or no timer (`enable_all` gives it both). Of the last tokio speaks by a panic only, which is caught here:
    /// the program's panic hook sees it, and with `panic = "abort"` it ends the program.
    pub async fn start(self) -> Result<Server, ServeError> {
        for (name, value) in [
            ("max_connections", self.max_connections),
            ("max_concurrent_streams", self.max_concurrent_streams as usize),
            ("max_request_bytes", self.max_request_bytes),
            ("read_timeout", usize::from(!self.read_timeout.is_zero())),
        ] {
            if value == 0 {
                return Err(ServeError::Zero(name));
            }
        }
        #[cfg(feature = "tls")]
        let (certificate, acceptor) = match &self.tls {
            None => (None, None),
            Some(tls) => {
                let (certificate, acceptor) = tls.acceptor()?;
                (Some(certificate), Some(acceptor))
            }
        };
        let bound = async {
            // A server without a timer would fail at its first call.
            drop(tokio::time::sleep(Duration::ZERO));
            let listener = TcpListener::bind(&self.address).await?;
            let address = listener.local_addr()?;
            io::Result::Ok((listener, address))
        };
        // Nothing is shared with what panics.
        let bound =
            AssertUnwindSafe(bound).catch_unwind().await.map_err(|panic| ServeError::Runtime(words(&*panic)))?;
        let (listener, address) = bound.map_err(|source| ServeError::Bind { address: self.address.clone(), source })?;
        let listening = Listening {
            listener,
            answers: Answers::new(self.cloud.served(self.worker.as_deref()), self.max_request_bytes, self.read_timeout),
            max_connections: self.max_connections,
            max_concurrent_streams: self.max_concurrent_streams,
            #[cfg(feature = "tls")]
            acceptor,
        };
        let (stop, stopped) = watch::channel(false);
        Ok(Server {
            address,
            #[cfg(feature = "tls")]
            certificate,
            grace: self.grace,
            stop,
            task: tokio::spawn(listening.run(stopped)),
        })
    }
}

/// A cloud that listens on a socket: one endpoint for both services. Dropped, it stops at once.
#[derive(Debug)]
#[must_use = "the server stops when this is dropped"]
pub struct Server {
    address: SocketAddr,
    #[cfg(feature = "tls")]
    certificate: Option<String>,
    grace: Duration,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Server {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// The endpoint to give to clients, for example `http://127.0.0.1:4567`; with TLS it begins with `https`.
    pub fn url(&self) -> String {
        #[cfg(feature = "tls")]
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        #[cfg(not(feature = "tls"))]
        let scheme = "http";
        // Who listens everywhere is reached here.
        let host = match self.address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        format!("{scheme}://{}", SocketAddr::new(host, self.address.port()))
    }

    /// The certificate that clients have to trust, in PEM; `None` without TLS.
    #[cfg(feature = "tls")]
    pub fn certificate_pem(&self) -> Option<&str> {
        self.certificate.as_deref()
    }

    /// Ends it: no new connection, no new call; calls that are under way are answered, within the time that
    /// [`ServerBuilder::grace`] sets. Then everything is closed.
    ///
    /// Cancel safe: dropped, it closes everything at once.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(self.grace, &mut self.task).await.is_err() {
            self.task.abort();
            // Its end, which is the cancellation, says nothing new; but the port is free then.
            let _cancelled = (&mut self.task).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

const MAX_CONNECTIONS: usize = 1024;

/// The HTTP library's own default.
const MAX_CONCURRENT_STREAMS: u32 = 200;

/// 10 MiB in base64 are 13.3 MiB; the rest is for keys and quotes.
const MAX_REQUEST_BYTES: usize = 16 << 20;

/// No client that still sends pauses for so long; the services do not say how long they wait.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

const GRACE: Duration = Duration::from_secs(1);
