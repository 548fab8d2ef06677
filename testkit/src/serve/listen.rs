//! From a listening socket to HTTP connections.

use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
#[cfg(feature = "tls")]
use tokio_rustls::TlsAcceptor;

use super::answer::Answers;

/// A server's socket, and what becomes of its connections.
pub(super) struct Listening {
    pub(super) listener: TcpListener,
    pub(super) answers: Answers,
    pub(super) max_connections: usize,
    pub(super) max_concurrent_streams: u32,
    #[cfg(feature = "tls")]
    pub(super) acceptor: Option<TlsAcceptor>,
}

impl Listening {
    /// Until `stopped` says so, then until the last connection has ended. Dropped, it closes all connections.
    pub(super) async fn run(self, mut stopped: watch::Receiver<bool>) {
        let room = Arc::new(Semaphore::new(self.max_connections.min(Semaphore::MAX_PERMITS)));
        let mut open = JoinSet::new();
        loop {
            // The end first; then connections that ended are swept out before new ones come in.
            tokio::select! { biased;
                () = end(&mut stopped) => break,
                Some(_) = open.join_next() => {}
                (socket, place) = accept(&self.listener, &room) => {
                    let connection = self.connection(socket, stopped.clone());
                    open.spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
            }
        }
        drop(self.listener);
        while open.join_next().await.is_some() {}
    }

    fn connection(&self, socket: TcpStream, stopped: watch::Receiver<bool>) -> impl Future<Output = ()> + use<> {
        let connection =
            Connection { answers: self.answers.clone(), max_concurrent_streams: self.max_concurrent_streams, stopped };
        #[cfg(feature = "tls")]
        let acceptor = self.acceptor.clone();
        async move {
            #[cfg(feature = "tls")]
            if let Some(acceptor) = acceptor
                && is_tls(&socket).await
            {
                if let Ok(encrypted) = acceptor.accept(socket).await {
                    connection.serve(encrypted).await;
                }
                return;
            }
            connection.serve(socket).await;
        }
    }
}

/// One connection.
struct Connection {
    answers: Answers,
    max_concurrent_streams: u32,
    stopped: watch::Receiver<bool>,
}

impl Connection {
    async fn serve(mut self, socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let broken = Arc::new(Notify::new());
        let service = service_fn(|request| {
            let (answers, broken) = (self.answers.clone(), broken.clone());
            async move {
                match answers.answer(request).await {
                    Ok(response) => Ok::<_, Infallible>(response),
                    // A fault breaks the connection, and with it the other calls on it.
                    Err(_) => {
                        broken.notify_one();
                        pending().await
                    }
                }
            }
        });
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1().auto_date_header(false);
        http.http2().auto_date_header(false).max_concurrent_streams(self.max_concurrent_streams);
        let mut connection = pin!(http.serve_connection(TokioIo::new(socket), service));
        let mut ending = false;
        loop {
            // What breaks the connection goes before what could still be said on it.
            tokio::select! { biased;
                () = broken.notified() => return,
                () = end(&mut self.stopped), if !ending => {
                    connection.as_mut().graceful_shutdown();
                    ending = true;
                }
                // How a connection ends is the client's affair.
                _ = connection.as_mut() => return,
            }
        }
    }
}

/// Resolves when the server is to end, or is gone.
async fn end(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// The next connection, which sends at once, and its place among those that may be open.
async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    let place = room.clone().acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            // An answer of several frames would wait for the client's delayed ACK otherwise, 40 ms.
            Ok((socket, _)) if socket.set_nodelay(true).is_ok() => return (socket, place),
            // The client is gone, and the socket with it.
            Ok(_) => {}
            // The client is gone already, or the process has no descriptors left: there will be some when others close.
            Err(_) => tokio::time::sleep(AFTER_FAILED_ACCEPT).await,
        }
    }
}

/// A TLS handshake begins with this byte, and no HTTP method does.
#[cfg(feature = "tls")]
async fn is_tls(socket: &TcpStream) -> bool {
    const HANDSHAKE: u8 = 22;
    let mut first = [0];
    socket.peek(&mut first).await.is_ok_and(|read| read == 1 && first[0] == HANDSHAKE)
}

const AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_accepted_connection_sends_at_once_and_takes_a_place() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let client = TcpStream::connect(listener.local_addr().expect("it is bound")).await.expect("it listens");
        assert!(!client.nodelay().expect("the socket is open"), "what the system does unless it is told otherwise");
        let room = Arc::new(Semaphore::new(1));
        let (socket, place) = accept(&listener, &room).await;
        assert!(socket.nodelay().expect("the socket is open"));
        assert_eq!((place.is_some(), room.available_permits()), (true, 0));
    }
}
