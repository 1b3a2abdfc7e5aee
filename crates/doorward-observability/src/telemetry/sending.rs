//! Sending to a collector: OTLP over HTTP with protobuf bodies, or over gRPC.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use url::Url;

use doorward_config::Secret;
use doorward_net::outbound::{self, Author};
use doorward_net::tls::{cause_chain, trusted};

const PATIENCE: Duration = Duration::from_secs(10);

/// The kind of signal, by the last part of its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Traces,
    Metrics,
    Logs,
}

impl Signal {
    fn path(self) -> &'static str {
        match self {
            Self::Traces => "v1/traces",
            Self::Metrics => "v1/metrics",
            Self::Logs => "v1/logs",
        }
    }

    fn service(self) -> &'static str {
        match self {
            Self::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            Self::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        }
    }
}

/// The connection to a collector.
#[derive(Debug, Clone)]
pub struct Collector {
    endpoint: Url,
    headers: HeaderMap,
    grpc: Option<Grpc>,
}

type Grpc = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

impl Collector {
    pub fn new(endpoint: &Url, headers: &BTreeMap<String, Secret>, grpc: bool) -> Self {
        let headers = headers_of(headers);
        Self { endpoint: endpoint.clone(), headers, grpc: grpc.then(grpc_client) }
    }

    /// Sends an encoded request. The error is for operators.
    pub async fn send(&self, signal: Signal, request: Vec<u8>) -> Result<(), String> {
        match &self.grpc {
            Some(client) => self.call(client, signal, &request).await,
            None => self.post(signal, request).await,
        }
    }

    async fn post(&self, signal: Signal, request: Vec<u8>) -> Result<(), String> {
        let mut url = self.endpoint.clone();
        let path = format!("{}/{}", url.path().trim_end_matches('/'), signal.path());
        url.set_path(&path);
        let mut headers = self.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let answer = outbound::post(&url, Author::OperatorsNetwork, headers, request.into()).await;
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.status.is_success() {
            Ok(())
        } else {
            Err(format!("HTTP {}", answer.status.as_u16()))
        }
    }

    /// A unary call (gRPC over HTTP/2).
    async fn call(&self, client: &Grpc, signal: Signal, request: &[u8]) -> Result<(), String> {
        let mut url = self.endpoint.clone();
        url.set_path(signal.service());
        let mut body = BytesMut::with_capacity(request.len() + 5);
        // The gRPC frame: uncompressed, and its length.
        body.put_u8(0);
        body.put_u32(u32::try_from(request.len()).map_err(|_| "the message is too long")?);
        body.put_slice(request);
        let mut request = Request::new(Full::new(body.freeze()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url.as_str().parse().map_err(|_| "the endpoint is not a URL")?;
        let headers = request.headers_mut();
        headers.extend(self.headers.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc+proto"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
        let calling = async {
            let response = client.request(request).await.map_err(|error| cause_chain(&error))?;
            if !response.status().is_success() {
                return Err(format!("HTTP {}", response.status().as_u16()));
            }
            let (head, mut body) = response.into_parts();
            let mut trailers = None;
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| cause_chain(&error))?;
                if let Ok(last) = frame.into_trailers() {
                    trailers = Some(last);
                }
            }
            // A response with trailers only sends them as headers.
            let status = trailers.as_ref().and_then(|last| last.get("grpc-status"));
            match status.or_else(|| head.headers.get("grpc-status")).map(HeaderValue::as_bytes) {
                Some(b"0") => Ok(()),
                Some(other) => Err(format!("gRPC status {}", String::from_utf8_lossy(other))),
                None => Err("the answer has no gRPC status".into()),
            }
        };
        tokio::time::timeout(PATIENCE, calling)
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())))
    }
}

/// The operator's additional headers. Their names were validated with the settings.
pub fn headers_of(settings: &BTreeMap<String, Secret>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in settings {
        let value = HeaderValue::try_from(value.expose());
        if let (Ok(name), Ok(mut value)) = (HeaderName::try_from(name), value) {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
    headers
}

fn grpc_client() -> Grpc {
    let mut plain = HttpConnector::new();
    plain.set_connect_timeout(Some(PATIENCE));
    plain.enforce_http(false);
    let tls = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(trusted().clone())
        .https_or_http()
        .enable_http2()
        .wrap_connector(plain);
    Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).http2_only(true).build(tls)
}
