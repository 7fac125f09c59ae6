//! A proxy that passes everything on except one PUT, or the reply to it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Which half of a PUT is lost. The connection is closed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The server does not receive the request.
    Request,
    /// The server has applied the request, and its reply is lost.
    Reply,
}

/// Starts a proxy in front of the server at `address` and returns its address. It loses the n-th PUT, counted
/// from 1, and runs until the runtime of the test ends.
pub(crate) async fn one_put(address: String, lost: Lost, number: usize) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let way = listener.local_addr().unwrap().to_string();
    let puts = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&address).await.unwrap();
            tokio::spawn(hand_on(client, server, puts.clone(), lost, number));
        }
    });
    way
}

async fn hand_on(
    mut client: TcpStream,
    mut server: TcpStream,
    puts: Arc<AtomicUsize>,
    lost: Lost,
    number: usize,
) -> std::io::Result<()> {
    let (mut asked, mut answered) = ([0; 16_384], [0; 16_384]);
    let mut loses = false;
    loop {
        tokio::select! {
            read = client.read(&mut asked) => match read? {
                0 => return Ok(()),
                read => {
                    // A request begins with its method, and what comes after it on this connection waits for
                    // its answer.
                    let is_put = asked.starts_with(b"PUT ");
                    loses |= is_put && puts.fetch_add(1, Ordering::SeqCst) + 1 == number;
                    if loses && lost == Lost::Request {
                        return Ok(());
                    }
                    server.write_all(&asked[..read]).await?;
                }
            },
            read = server.read(&mut answered) => match read? {
                0 => return Ok(()),
                _ if loses => return Ok(()),
                read => client.write_all(&answered[..read]).await?,
            },
        }
    }
}
