//! Responses that are compressed although it was not requested, as some proxies do: decompressed as they arrive, within
//! limits, since a few bytes may expand to many.

use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use brotli_decompressor::DecompressorWriter;
use bytes::{Buf, Bytes};
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::Response;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http_body::{Body, Frame};

use crate::clients::{BodyError, Incoming};

/// Maximum decompressed size in bytes: this much for any response, plus a multiple of the received size.
const FREE: u64 = 8 << 20;
const RATIO: u64 = 100;
/// Number of bytes decompressed at a time, and the maximum size of their output.
const PIECE: usize = 1 << 10;
const MOST_OF_A_PIECE: usize = 4 << 20;

/// Marks a response that was compressed and is now decoded.
#[derive(Debug, Clone, Copy)]
pub struct WasEncoded;

/// Decodes a response with a supported content encoding.
pub fn decode(mut response: Response<Incoming>) -> Response<Incoming> {
    let named = response.headers().get_all(CONTENT_ENCODING);
    let named = named.iter().flat_map(|value| value.to_str().unwrap_or("?").split(','));
    // At most one coding, besides names without effect.
    let mut coding = None;
    for name in named {
        match Coding::named(name) {
            Some(None) => {}
            Some(one) if coding.is_none() => coding = one,
            _ => return response,
        }
    }
    response.headers_mut().remove(CONTENT_ENCODING);
    response.headers_mut().remove(CONTENT_LENGTH);
    let Some(coding) = coding else { return response };
    response.extensions_mut().insert(WasEncoded);
    response.map(|body| Incoming::Decoded(Box::new(Decoded::new(body, coding))))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Gzip,
    /// zlib format (RFC 9110 section 8.4.1.2), or raw deflate as some servers send it.
    Deflate,
    Brotli,
}

impl Coding {
    /// `None` for an unknown coding, `Some(None)` for a name without effect.
    fn named(name: &str) -> Option<Option<Self>> {
        match name.trim().to_ascii_lowercase().as_str() {
            // Some servers send values here that belong elsewhere: a character set, or a chunking scheme of cloud
            // storage.
            "identity" | "" | "none" | "utf-8" | "utf8" | "aws-chunked" => Some(None),
            "gzip" | "x-gzip" => Some(Some(Self::Gzip)),
            "deflate" => Some(Some(Self::Deflate)),
            "br" => Some(Some(Self::Brotli)),
            _ => None,
        }
    }
}

/// A body that is decompressed as it arrives.
#[derive(Debug)]
pub struct Decoded {
    inner: Incoming,
    coding: Coding,
    decoder: Option<Decoder>,
    /// Received, not yet decompressed.
    packed: Bytes,
    received: u64,
    unpacked: u64,
    /// An error to report after the data before it was returned.
    broken: Option<io::Error>,
    ended: bool,
}

enum Decoder {
    Gzip(MultiGzDecoder<Out>),
    Zlib(ZlibDecoder<Out>),
    Deflate(DeflateDecoder<Out>),
    Brotli(Box<DecompressorWriter<Out>>),
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Decoder")
    }
}

/// The output of one piece.
#[derive(Debug, Default)]
struct Out(Vec<u8>);

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MOST_OF_A_PIECE {
            return Err(io::Error::other("it is too large when decompressed"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Decoder {
    fn new(coding: Coding, first: &[u8]) -> Self {
        match coding {
            Coding::Gzip => Self::Gzip(MultiGzDecoder::new(Out::default())),
            Coding::Brotli => Self::Brotli(Box::new(DecompressorWriter::new(Out::default(), 4096))),
            // A zlib header (RFC 1950 section 2.2). Possibly only its first byte has arrived.
            Coding::Deflate
                if first.first().is_some_and(|byte| byte & 0x0f == 8 && byte >> 4 <= 7) =>
            {
                Self::Zlib(ZlibDecoder::new(Out::default()))
            }
            Coding::Deflate => Self::Deflate(DeflateDecoder::new(Out::default())),
        }
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Gzip(it) => it,
            Self::Zlib(it) => it,
            Self::Deflate(it) => it,
            Self::Brotli(it) => it,
        }
    }

    /// Takes the output so far.
    fn take(&mut self) -> Vec<u8> {
        let out = match self {
            Self::Gzip(it) => it.get_mut(),
            Self::Zlib(it) => it.get_mut(),
            Self::Deflate(it) => it.get_mut(),
            Self::Brotli(it) => it.get_mut(),
        };
        std::mem::take(&mut out.0)
    }

    /// The output of a piece, even if an error follows it.
    fn push(&mut self, piece: &[u8]) -> (Vec<u8>, io::Result<()>) {
        let writer = self.writer();
        let written = writer.write_all(piece).and_then(|()| writer.flush());
        (self.take(), written)
    }

    /// Ends the stream. Fails if the data is incomplete.
    fn end(&mut self) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(it) => it.try_finish(),
            Self::Zlib(it) => it.try_finish(),
            Self::Deflate(it) => it.try_finish(),
            Self::Brotli(it) => it.close(),
        }?;
        Ok(self.take())
    }
}

impl Decoded {
    fn new(inner: Incoming, coding: Coding) -> Self {
        let packed = Bytes::new();
        Self {
            inner,
            coding,
            decoder: None,
            packed,
            received: 0,
            unpacked: 0,
            broken: None,
            ended: false,
        }
    }

    /// The output of the next piece.
    fn unpack(&mut self) -> io::Result<Vec<u8>> {
        let piece = self.packed.split_to(self.packed.len().min(PIECE));
        let decoder = self.decoder.get_or_insert_with(|| Decoder::new(self.coding, &piece));
        let (out, written) = decoder.push(&piece);
        let out = self.count(piece.len(), out)?;
        match written {
            Err(error) if !out.is_empty() => self.broken = Some(error),
            written => written?,
        }
        Ok(out)
    }

    fn count(&mut self, received: usize, out: Vec<u8>) -> io::Result<Vec<u8>> {
        self.received += received as u64;
        self.unpacked += out.len() as u64;
        if self.unpacked > FREE + self.received.saturating_mul(RATIO) {
            return Err(io::Error::other("it is too large when decompressed"));
        }
        Ok(out)
    }
}

fn broken(error: &io::Error) -> BodyError {
    BodyError::Encoding(error.to_string())
}

impl Body for Decoded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        loop {
            if this.ended {
                return Poll::Ready(None);
            }
            if let Some(error) = this.broken.take() {
                this.ended = true;
                return Poll::Ready(Some(Err(broken(&error))));
            }
            if this.packed.has_remaining() {
                match this.unpack() {
                    Ok(out) if out.is_empty() => continue,
                    Ok(out) => return Poll::Ready(Some(Ok(Frame::data(out.into())))),
                    Err(error) => {
                        this.ended = true;
                        return Poll::Ready(Some(Err(broken(&error))));
                    }
                }
            }
            match ready!(Pin::new(&mut this.inner).poll_frame(context)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        this.packed = data;
                    }
                }
                Some(Err(error)) => {
                    this.ended = true;
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    this.ended = true;
                    let ended = this.decoder.as_mut().map_or(Ok(Vec::new()), Decoder::end);
                    return match ended.and_then(|out| this.count(0, out)) {
                        Ok(out) if out.is_empty() => Poll::Ready(None),
                        Ok(out) => Poll::Ready(Some(Ok(Frame::data(out.into())))),
                        Err(error) => Poll::Ready(Some(Err(broken(&error)))),
                    };
                }
            }
        }
    }
}
