//! The server behind a proxy: requests go on as they came, each on a connection of its own.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HeaderMap, HeaderName, TRANSFER_ENCODING};
use hyper::http::{request, response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// What went wrong between the proxy and the server.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// A request that was read to its end, so that it can be sent as often as it takes.
#[derive(Debug, Clone)]
pub(crate) struct Whole {
    head: request::Parts,
    body: Bytes,
}

/// An answer that was read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) head: response::Parts,
    pub(crate) body: Bytes,
}

/// Headers that are about one connection, not about the request.
const OF_THE_CONNECTION: [HeaderName; 3] =
    [CONNECTION, TRANSFER_ENCODING, HeaderName::from_static("keep-alive")];

fn without_connection(headers: &mut HeaderMap) {
    for name in &OF_THE_CONNECTION {
        headers.remove(name);
    }
}

impl Whole {
    /// Reads a request to its end. Path, query, `Host` and all that may be signed stay as they are.
    pub(crate) async fn read(request: hyper::Request<Incoming>) -> Result<Self, Error> {
        let (mut head, body) = request.into_parts();
        without_connection(&mut head.headers);
        // This proxy reads first and asks later, so there is nobody to wait for a permission.
        head.headers.remove(hyper::header::EXPECT);
        Ok(Self { head, body: body.collect().await?.to_bytes() })
    }

    /// Sends it to `authority` (`host:port`) and reads the answer to its end.
    pub(crate) async fn send(self, authority: &str) -> Result<Reply, Error> {
        let stream = TcpStream::connect(authority).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let response =
            sender.send_request(hyper::Request::from_parts(self.head, Full::new(self.body))).await?;
        let (mut head, body) = response.into_parts();
        without_connection(&mut head.headers);
        let body = body.collect().await?.to_bytes();
        drop(sender);
        connection.abort();
        Ok(Reply { head, body })
    }
}
