//! A request of 2026-07-28: the HTTP headers that it requires are derived from its body.

use bytes::Bytes;
use doorward_mcp::error::{Kind, code};
use doorward_mcp::{Id, Message, Object, RpcError, Value, message, meta, method};
use doorward_transport::answer::Answer;
use doorward_transport::http::mirrored_headers;

use super::Bridge;
use doorward_gateway::call::Failure;

/// Maximum number of pages of tools that are searched for arguments to mirror in headers.
const MAX_PAGES: usize = 100;

impl Bridge {
    pub(super) async fn ask_modern(&self, id: &Id, method: &str, params: Object) {
        let body = message::request(id, method, &params);
        let mut asked_again = false;
        loop {
            let mut headers = mirrored_headers(method, &params);
            if method == method::TOOLS_CALL {
                self.mirrors.lock().add(&params, &mut headers);
            }
            let answer = match self.post(&headers, &body).await {
                Ok(response) => Answer::open(response, self.endpoint.bounds()).await,
                Err(failure) => return self.say_failed(id, &failure).await,
            };
            let mut answer = match answer {
                Ok(answer) => answer,
                Err(Err(failure)) => return self.say_failed(id, &failure).await,
                Err(Ok(none)) => {
                    let Some(Message::Error { error, .. }) = none.error else {
                        return self.say_failed(id, &none.failure()).await;
                    };
                    // The tool requires mirrored arguments that are not known yet.
                    if error.code == code::HEADER_MISMATCH
                        && method == method::TOOLS_CALL
                        && !std::mem::replace(&mut asked_again, true)
                    {
                        match self.learn_mirrors(&params).await {
                            Ok(()) => continue,
                            Err(failure) => return self.say_failed(id, &failure).await,
                        }
                    }
                    return self.say(message::error_response(Some(id), &error)).await;
                }
            };
            return match self.relay(id, &mut answer).await {
                Ok(true) => {}
                Ok(false) => self.say_failed(id, &broken()).await,
                Err(failure) => self.say_failed(id, &failure).await,
            };
        }
    }

    /// Reads the lists of tools, as the client that called one.
    async fn learn_mirrors(&self, call: &Object) -> Result<(), Failure> {
        let mut cursor: Option<Value> = None;
        for _ in 0..MAX_PAGES {
            let mut params = Object::new();
            if let Some(meta) = call.get("_meta") {
                params.set("_meta", meta.clone());
                if let Some(meta) = params.object_mut("_meta") {
                    meta.remove(meta::PROGRESS_TOKEN);
                }
            }
            if let Some(cursor) = cursor.take() {
                params.set("cursor", cursor);
            }
            let id = Id::Number(0);
            let body: Bytes = message::request(&id, method::TOOLS_LIST, &params);
            let response = self.post(&mirrored_headers(method::TOOLS_LIST, &params), &body).await?;
            let mut answer = match Answer::open(response, self.endpoint.bounds()).await {
                Ok(answer) => answer,
                Err(Err(failure)) => return Err(failure),
                Err(Ok(none)) => return Err(none.failure()),
            };
            let page = loop {
                match answer.next().await? {
                    Some(Message::Response { result, .. }) => break result,
                    Some(Message::Error { error, .. }) => return Err(refused(&error)),
                    Some(Message::Request { .. } | Message::Notification { .. }) => {}
                    None => return Err(broken()),
                }
            };
            self.mirrors.lock().learn(&page);
            cursor = page.get("nextCursor").filter(|cursor| !cursor.is_null()).cloned();
            if cursor.is_none() {
                break;
            }
        }
        Ok(())
    }
}

fn broken() -> Failure {
    Failure::new(Kind::StreamEnded, "The server closed the response before it was complete")
}

fn refused(error: &RpcError) -> Failure {
    Failure::new(Kind::InvalidMessage, "The server does not list its tools").because(&error.message)
}
