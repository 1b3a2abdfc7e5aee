//! Queued spans. They are stored encoded, since many small short-lived values would evict others
//! from the processor's caches.

use std::collections::VecDeque;

use parking_lot::Mutex;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, message};

use super::messages::{ResourceSpans, ScopeSpans, Span, resource, scope};

/// Maximum number and bytes of queued spans.
const MOST: usize = 20_000;
const MOST_BYTES: usize = 32 << 20;
/// Maximum number and bytes of spans sent together.
const BATCH: usize = 2_000;
const BATCH_BYTES: usize = 2 << 20;
const FIRST_BYTES: usize = 256 << 10;

/// Field numbers of spans in `ScopeSpans`, of that in `ResourceSpans`, and of that in the request.
const SPANS: u32 = 2;
const SCOPES: u32 = 2;
const RESOURCES: u32 = 1;

#[derive(Debug, Default)]
pub struct Spans(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    batches: VecDeque<Batch>,
    count: usize,
    bytes: usize,
}

/// Spans that are sent together.
#[derive(Debug, Default)]
pub struct Batch {
    pub count: usize,
    /// Each as a field of `ScopeSpans`.
    encoded: Vec<u8>,
}

impl Spans {
    /// Adds the spans of a call; `false` if there is no room.
    pub fn add(&self, spans: &[Span]) -> bool {
        let mut encoded = Vec::with_capacity(spans.iter().map(|span| span.encoded_len() + 8).sum());
        spans.iter().for_each(|span| message::encode(SPANS, span, &mut encoded));
        let mut waiting = self.0.lock();
        let (count, bytes) = (waiting.count + spans.len(), waiting.bytes + encoded.len());
        if count > MOST || bytes > MOST_BYTES {
            return false;
        }
        (waiting.count, waiting.bytes) = (count, bytes);
        match waiting.batches.back_mut() {
            Some(batch) if batch.count < BATCH && batch.encoded.len() < BATCH_BYTES => {
                batch.count += spans.len();
                batch.encoded.extend_from_slice(&encoded);
            }
            // Reserve room, so that later additions need not move the data.
            _ => {
                encoded.reserve(FIRST_BYTES);
                waiting.batches.push_back(Batch { count: spans.len(), encoded });
            }
        }
        true
    }

    /// Takes the oldest batch.
    pub fn take(&self) -> Option<Batch> {
        let mut waiting = self.0.lock();
        let batch = waiting.batches.pop_front()?;
        waiting.count -= batch.count;
        waiting.bytes -= batch.encoded.len();
        Some(batch)
    }
}

impl Batch {
    /// The export request for the batch.
    pub fn request(&self, instance: &str) -> Vec<u8> {
        let mut scoped = ScopeSpans { scope: Some(scope()), spans: Vec::new() }.encode_to_vec();
        scoped.extend_from_slice(&self.encoded);
        let resource = Some(resource(instance));
        let mut all = ResourceSpans { resource, scope_spans: Vec::new() }.encode_to_vec();
        append(SCOPES, &scoped, &mut all);
        let mut request = Vec::with_capacity(all.len() + 8);
        append(RESOURCES, &all, &mut request);
        request
    }
}

/// Appends an already encoded message as a field of another.
fn append(tag: u32, encoded: &[u8], out: &mut Vec<u8>) {
    encode_key(tag, WireType::LengthDelimited, out);
    encode_varint(encoded.len() as u64, out);
    out.extend_from_slice(encoded);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::messages::TracesRequest;

    fn span(number: usize) -> Span {
        Span { name: format!("span {number}"), kind: 2, ..Span::default() }
    }

    #[test]
    fn what_waits_is_sent_as_it_was() {
        let spans = Spans::default();
        let all: Vec<Span> = (0..3).map(span).collect();
        assert!(spans.add(&all[..1]) && spans.add(&all[1..]));
        let batch = spans.take().unwrap();
        assert_eq!(batch.count, 3);
        let request = TracesRequest::decode(&*batch.request("one")).unwrap();
        let told = &request.resource_spans[0];
        assert_eq!(told.resource, Some(resource("one")));
        assert_eq!(told.scope_spans[0].scope, Some(scope()));
        assert_eq!(told.scope_spans[0].spans, all);
        assert!(spans.take().is_none());
    }

    #[test]
    fn what_waits_is_bounded_and_goes_in_parts() {
        let spans = Spans::default();
        let call: Vec<Span> = (0..10).map(span).collect();
        let taken = (0..MOST).take_while(|_| spans.add(&call)).count();
        assert_eq!(taken * 10, MOST);
        let counts: Vec<usize> =
            std::iter::from_fn(|| spans.take()).map(|batch| batch.count).collect();
        assert_eq!(counts, [BATCH; MOST / BATCH]);
        assert!(spans.add(&call));
    }
}
