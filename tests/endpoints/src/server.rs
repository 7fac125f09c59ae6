//! The thread, the runtime and the socket of every server of this crate.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread::JoinHandle;

use hyper::body::{Body, Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;

/// A running HTTP/1.1 server on a free port of the loopback address. Dropping it stops it: connections are
/// cut, requests in progress are dropped, and the thread has ended when the drop returns.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The reply to one request.
pub(crate) enum Answer<B> {
    /// Send this response.
    Reply(hyper::Response<B>),
    /// Cut the connection without a response.
    Hangup,
}

/// Ends the connection: hyper sends nothing after its service has failed.
#[derive(Debug)]
struct Hungup;

impl std::fmt::Display for Hungup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the connection is cut on purpose")
    }
}

impl std::error::Error for Hungup {}

impl Server {
    /// Serves every request of every connection with `handle`.
    ///
    /// # Panics
    /// If no socket, runtime or thread is available.
    pub(crate) fn start<H, F, B>(name: &str, handle: H) -> Self
    where
        H: Fn(hyper::Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Answer<B>> + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let socket =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port on the loopback address");
        socket.set_nonblocking(true).expect("a socket that does not block");
        let address = socket.local_addr().expect("the address of a bound socket");
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let runtime = runtime.expect("a runtime for a server");
                runtime.block_on(async {
                    tokio::select! {
                        _ = stopped => {}
                        never = accept(socket, handle) => match never {},
                    }
                });
            })
            .expect("a thread for a server");
        Self { address, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(address = %self.address, "the server's thread panicked");
        }
    }
}

async fn accept<H, F, B>(socket: TcpListener, handle: H) -> Infallible
where
    H: Fn(hyper::Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Answer<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let socket = tokio::net::TcpListener::from_std(socket).expect("the socket within the runtime");
    loop {
        let stream = match socket.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // The process is most likely out of descriptors; others may be closed in the meantime.
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                continue;
            }
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "the connection may be slow");
        }
        let handle = handle.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let answer = handle(request);
                async move {
                    match answer.await {
                        Answer::Reply(reply) => Ok(reply),
                        Answer::Hangup => Err(Hungup),
                    }
                }
            });
            if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
}
