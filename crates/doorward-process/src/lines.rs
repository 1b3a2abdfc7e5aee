//! Newline-delimited messages: MCP over standard input and output (spec 2025-11-25 basic/transports, stdio).

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Writes a message as one line: line breaks between JSON tokens become spaces. JSON strings contain none.
pub fn one_line(text: &[u8]) -> Bytes {
    let mut line = BytesMut::with_capacity(text.len() + 1);
    line.extend_from_slice(text);
    for byte in line.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')) {
        *byte = b' ';
    }
    line.extend_from_slice(b"\n");
    line.freeze()
}

/// Why reading failed.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    #[error("a line is larger than the limit")]
    TooLong,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads lines from a stream, in bounded memory.
#[derive(Debug)]
pub struct Lines<R> {
    stream: R,
    buffer: BytesMut,
    /// Number of bytes in the buffer already searched for a line break.
    searched: usize,
    skip_line: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub fn new(stream: R) -> Self {
        Self { stream, buffer: BytesMut::new(), searched: 0, skip_line: false }
    }

    /// Skips the rest of a line that was too long.
    pub fn skip_line(&mut self) {
        self.skip_line = true;
    }

    /// The next line without its line break; `None` at the end of the stream.
    pub async fn next(&mut self, limit: usize) -> Result<Option<Bytes>, Broken> {
        loop {
            let found = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n');
            if let Some(end) = found {
                let mut line = self.buffer.split_to(self.searched + end + 1);
                self.searched = 0;
                line.truncate(line.len() - 1);
                if std::mem::take(&mut self.skip_line) {
                    continue;
                }
                return Ok(Some(line.freeze()));
            }
            self.searched = self.buffer.len();
            if self.buffer.len() > limit {
                self.buffer.advance(self.buffer.len());
                self.searched = 0;
                if !self.skip_line {
                    return Err(Broken::TooLong);
                }
            }
            self.buffer.reserve(8 << 10);
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// The data after the last line break, once the stream has ended.
    pub fn rest(&mut self) -> Bytes {
        self.searched = 0;
        self.buffer.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_complete_and_within_the_limit() {
        let mut lines = Lines::new(&b"a\n\nbb\nlonger than that\nc\ncut"[..]);
        assert_eq!(lines.next(8).await.unwrap().unwrap(), "a");
        assert_eq!(lines.next(8).await.unwrap().unwrap(), "");
        assert_eq!(lines.next(8).await.unwrap().unwrap(), "bb");
        // The whole text arrives with one read, so this line is complete before the limit is checked.
        assert_eq!(lines.next(8).await.unwrap().unwrap(), "longer than that");
        assert_eq!(lines.next(8).await.unwrap().unwrap(), "c");
        assert!(lines.next(8).await.unwrap().is_none());
        assert_eq!(lines.rest(), "cut");
        let endless = tokio::io::repeat(b'x').take(1 << 20);
        assert!(Lines::new(endless).next(1000).await.is_err());
    }

    #[test]
    fn a_message_is_one_line() {
        assert_eq!(one_line(b"{\n\"a\":\r\n1}"), "{ \"a\":  1}\n");
    }
}
