//! Long-lived streams, taken over from the HTTP library once their head is written: it uses 16 KiB of buffers for each
//! connection, and a stream that is silent for hours needs none.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// The serialized events of a stream.
pub type Endless = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// Maximum number of bytes that a client may send during a stream. It should send none.
const MAX_RECEIVED: usize = 16 << 10;

/// A body that may be a long-lived stream.
pub trait Answering:
    http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static
{
    /// Takes the stream out. The remaining body yields nothing and does not end.
    fn take_endless(&mut self) -> Option<Endless>;
}

impl Answering for axum::body::Body {
    fn take_endless(&mut self) -> Option<Endless> {
        None
    }
}

/// How events are framed, as announced by the response head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// RFC 9112 section 7.1.
    Chunked,
    /// Until the end of the connection (HTTP/1.0).
    Close,
}

/// Writes events until the stream ends, the client disconnects, or it reads nothing for `patience`.
pub async fn relay<S>(
    socket: S,
    mut events: Endless,
    framing: Framing,
    patience: Duration,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut reader, mut writer) = tokio::io::split(socket);
    let gone = until_gone(&mut reader);
    tokio::pin!(gone);
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            gone = &mut gone => return gone,
        };
        let Some(event) = event else { break };
        let framed = match framing {
            Framing::Chunked => chunk(&event),
            Framing::Close => event,
        };
        timeout(patience, writer.write_all(&framed)).await??;
    }
    if framing == Framing::Chunked {
        timeout(patience, writer.write_all(b"0\r\n\r\n")).await??;
    }
    timeout(patience, writer.shutdown()).await?
}

fn chunk(data: &[u8]) -> Bytes {
    let size = format!("{:x}\r\n", data.len());
    let mut framed = BytesMut::with_capacity(size.len() + data.len() + 2);
    framed.put_slice(size.as_bytes());
    framed.put_slice(data);
    framed.put_slice(b"\r\n");
    framed.freeze()
}

/// Returns when the client closes the connection, or sends more than it may.
async fn until_gone(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut buffer = [0; 64];
    let mut received = 0;
    while received < MAX_RECEIVED {
        match reader.read(&mut buffer).await? {
            0 => return Ok(()),
            read => received += read,
        }
    }
    Err(io::Error::other("the client keeps sending while it listens"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    const PATIENCE: Duration = Duration::from_secs(1);

    async fn relayed(framing: Framing) -> String {
        let (mut client, server) = tokio::io::duplex(1024);
        let events = stream::iter([Bytes::from_static(b"data: 1\n\n"), Bytes::from_static(b":\n")]);
        relay(server, Box::pin(events), framing, PATIENCE).await.unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn events_are_framed_as_announced() {
        assert_eq!(relayed(Framing::Chunked).await, "9\r\ndata: 1\n\n\r\n2\r\n:\n\r\n0\r\n\r\n");
        assert_eq!(relayed(Framing::Close).await, "data: 1\n\n:\n");
    }

    #[tokio::test]
    async fn it_ends_with_the_client() {
        let (client, server) = tokio::io::duplex(64);
        let relaying =
            tokio::spawn(relay(server, stream::pending().boxed(), Framing::Chunked, PATIENCE));
        drop(client);
        assert!(relaying.await.unwrap().is_ok());
        let (mut client, server) = tokio::io::duplex(64 << 10);
        client.write_all(&[b'x'; MAX_RECEIVED]).await.unwrap();
        let noisy = relay(server, stream::pending().boxed(), Framing::Chunked, PATIENCE);
        assert!(noisy.await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_is_disconnected() {
        let (_client, server) = tokio::io::duplex(16);
        let events = stream::repeat(Bytes::from_static(b"data: 1\n\n")).boxed();
        let ended = relay(server, events, Framing::Chunked, PATIENCE).await;
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
