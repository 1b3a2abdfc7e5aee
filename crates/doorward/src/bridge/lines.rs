//! The client's side: messages from standard input, and messages to standard output.

use std::io;

use bytes::Bytes;
use doorward_process::lines::{self, Broken, one_line};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

/// Reads messages up to a maximum size.
pub struct Lines<R>(lines::Lines<R>);

impl<R: AsyncRead + Unpin> Lines<R> {
    pub fn new(from: R) -> Self {
        Self(lines::Lines::new(from))
    }

    /// The next non-blank line, without its line end; `None` at the end of the input. The last line
    /// needs no line end.
    pub async fn next(&mut self, limit: usize) -> io::Result<Option<Bytes>> {
        loop {
            let (line, ended) = match self.0.next(limit).await {
                Ok(Some(line)) => (line, false),
                Ok(None) => (self.0.rest(), true),
                Err(Broken::Io(error)) => return Err(error),
                Err(Broken::TooLong) => {
                    let why = format!("a message is larger than the limit of {limit} bytes");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, why));
                }
            };
            if !line.trim_ascii().is_empty() {
                return Ok(Some(line));
            }
            if ended {
                return Ok(None);
            }
        }
    }
}

/// Writes each message as one line.
pub async fn write_lines(mut to: impl AsyncWrite + Unpin, mut queue: mpsc::Receiver<Bytes>) {
    while let Some(text) = queue.recv().await {
        let line = one_line(&text);
        if to.write_all(&line).await.is_err() || to.flush().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_read_one_by_one_and_never_too_long() {
        let mut lines = Lines::new(&b"{}\n\n [1]\r\nlast"[..]);
        for want in ["{}", " [1]\r", "last"] {
            assert_eq!(lines.next(100).await.unwrap().unwrap(), want);
        }
        assert!(lines.next(100).await.unwrap().is_none());
        let long = vec![b'x'; 64 << 10];
        assert!(Lines::new(&long[..]).next(1000).await.is_err());
    }
}
