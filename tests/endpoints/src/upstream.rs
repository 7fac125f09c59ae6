//! The server behind a proxy: requests are forwarded unchanged, each on its own connection.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HeaderMap, HeaderName, TRANSFER_ENCODING};
use hyper::http::{request, response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// An error between the proxy and the server.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// A completely read request, so that it can be sent several times.
#[derive(Debug, Clone)]
pub(crate) struct Whole {
    head: request::Parts,
    body: Bytes,
}

/// A completely read reply.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) head: response::Parts,
    pub(crate) body: Bytes,
}

/// Headers that concern one connection, not the request.
const OF_THE_CONNECTION: [HeaderName; 3] =
    [CONNECTION, TRANSFER_ENCODING, HeaderName::from_static("keep-alive")];

fn without_connection(headers: &mut HeaderMap) {
    for name in &OF_THE_CONNECTION {
        headers.remove(name);
    }
}

impl Whole {
    /// Reads a request completely. Path, query, `Host` and all that may be signed are unchanged.
    pub(crate) async fn read(request: hyper::Request<Incoming>) -> Result<Self, Error> {
        let (mut head, body) = request.into_parts();
        without_connection(&mut head.headers);
        // This proxy reads the body without waiting for a permission, so `Expect` is not needed.
        head.headers.remove(hyper::header::EXPECT);
        Ok(Self { head, body: body.collect().await?.to_bytes() })
    }

    /// Sends it to `authority` (`host:port`) and reads the reply completely.
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
