//! Messages as lines: how MCP goes over standard input and output.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

/// Reads lines up to a length.
pub struct Lines<R> {
    from: R,
    buffer: BytesMut,
    /// How much of the buffer is known to hold no line end.
    searched: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub fn new(from: R) -> Self {
        Self { from, buffer: BytesMut::new(), searched: 0 }
    }

    /// The next line that is not blank, without its end; `None` at the end of the input.
    pub async fn next(&mut self, limit: usize) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(at) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(self.searched + at).freeze();
                self.buffer.advance(1);
                self.searched = 0;
                if !line.trim_ascii().is_empty() {
                    return Ok(Some(line));
                }
                continue;
            }
            self.searched = self.buffer.len();
            if self.searched > limit {
                let why = format!("a message is larger than the limit of {limit} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
            self.buffer.reserve(8 << 10);
            if self.from.read_buf(&mut self.buffer).await? == 0 {
                self.searched = 0;
                let rest = self.buffer.split().freeze();
                return Ok((!rest.trim_ascii().is_empty()).then_some(rest));
            }
        }
    }
}

/// Writes each message as one line.
pub async fn write_lines(mut to: impl AsyncWrite + Unpin, mut queue: mpsc::Receiver<Bytes>) {
    while let Some(text) = queue.recv().await {
        let mut line = BytesMut::from(&text[..]);
        // Line ends stand between tokens only: within strings JSON has none.
        for byte in line.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')) {
            *byte = b' ';
        }
        line.extend_from_slice(b"\n");
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
