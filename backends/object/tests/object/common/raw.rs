//! A server that answers every request as a test says, byte for byte.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Runs until the test's runtime ends.
pub(crate) struct RawServer {
    /// `host:port`.
    pub(crate) address: String,
    requests: Arc<AtomicUsize>,
}

impl RawServer {
    /// Answers each request with what this makes of its head, which is empty for what is no HTTP. None ends
    /// the connection without an answer, and what is no HTTP/1.1 is the last one on a connection.
    pub(crate) async fn start(answer: impl Fn(&str) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (requests, answer) = (Arc::new(AtomicUsize::new(0)), Arc::new(answer));
        let count = requests.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, answer.clone(), count.clone()));
            }
        });
        Self { address, requests }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests it has answered.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// The same answer, whatever is asked.
pub(crate) async fn always(answer: impl Into<Vec<u8>>) -> RawServer {
    let answer = answer.into();
    RawServer::start(move |_| Some(answer.clone())).await
}

async fn serve(
    mut stream: TcpStream,
    answer: Arc<impl Fn(&str) -> Option<Vec<u8>>>,
    requests: Arc<AtomicUsize>,
) {
    while let Some(head) = request(&mut stream).await {
        requests.fetch_add(1, Ordering::SeqCst);
        match answer(&head) {
            Some(bytes) if stream.write_all(&bytes).await.is_ok() && bytes.starts_with(b"HTTP/1.1") => {}
            _ => return,
        }
    }
}

/// Reads a request to its end. What is no HTTP is a request as well.
async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&buffer[..read]);
        if bytes.first().is_some_and(|first| !first.is_ascii_uppercase()) {
            return Some(String::new());
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.to_ascii_lowercase();
        let length = length.split_once("content-length: ").map_or("0", |(_, rest)| rest);
        let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
        if bytes.len() >= head.len() + 4 + length {
            return Some(head.to_owned());
        }
    }
}
