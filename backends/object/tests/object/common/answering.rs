//! A server on loopback that answers every request as the test sets.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// The requests so far, and the address of the server.
#[derive(Debug)]
pub(crate) struct Answering {
    pub(crate) url: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Answering {
    /// Answers with the status and the body that `answer` gives for the head of a request, until the test's
    /// runtime ends.
    pub(crate) async fn start(answer: impl Fn(&str) -> (u16, String) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (heads, answer) = (Arc::<Mutex<Vec<String>>>::default(), Arc::new(answer));
        tokio::spawn({
            let heads = heads.clone();
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, heads.clone(), answer.clone()));
                }
            }
        });
        Self { url, heads }
    }

    /// The heads of the requests that came since the last time.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.heads.lock().unwrap())
    }
}

async fn serve(
    mut stream: TcpStream,
    heads: Arc<Mutex<Vec<String>>>,
    answer: Arc<impl Fn(&str) -> (u16, String)>,
) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
        });
        while bytes.len() < end + length.unwrap_or(0) {
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
        }
        bytes.drain(..end + length.unwrap_or(0));
        let (status, body) = answer(&head);
        // An object server answers a write without a body.
        let body = if status == 200 && head.starts_with("PUT ") { String::new() } else { body };
        let is_look = head.starts_with("HEAD ");
        heads.lock().unwrap().push(head);
        let answer = format!(
            "HTTP/1.1 {status} X\r\ncontent-length: {}\r\netag: \"e\"\r\nlast-modified: Mon, 30 Nov 2026 10:00:00 GMT\r\n\r\n{}",
            body.len(),
            if is_look { "" } else { &body }
        );
        stream.write_all(answer.as_bytes()).await?;
    }
}
