//! The plainest network that fails: it hands everything on but the answer to the first PUT.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// The address of a way to the server at `address`, there until the test's runtime ends. The connection that
/// the first PUT came over is cut as soon as its answer arrives, so that the server has done what it was
/// asked.
pub(crate) async fn one_reply(address: String) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let way = listener.local_addr().unwrap().to_string();
    let is_lost = Arc::new(AtomicBool::new(false));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&address).await.unwrap();
            tokio::spawn(hand_on(client, server, is_lost.clone()));
        }
    });
    way
}

async fn hand_on(
    mut client: TcpStream,
    mut server: TcpStream,
    is_lost: Arc<AtomicBool>,
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
                    loses |= asked.starts_with(b"PUT ") && !is_lost.swap(true, Ordering::SeqCst);
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
