//! Exports records by syslog (RFC 5424) over TCP, with octet counting (RFC 6587 section 3.4.1), or over TLS (RFC 5425).
//! Syslog has no acknowledgements: records of a connection that broke are sent again on the next one, with the same
//! ids.

use std::sync::Arc;
use std::time::Duration;

use doorward_store::hostname;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Outgoing;
use doorward_config::SyslogExport;
use doorward_net::tls::trusted;

const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait, after writing, for the peer to close the connection.
const MOMENT: Duration = Duration::from_millis(20);

trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for S {}

pub struct SyslogSink {
    settings: SyslogExport,
    host: String,
    stream: Option<Box<dyn Stream>>,
    /// The latest records, which may not have arrived.
    last: Vec<Outgoing>,
}

impl SyslogSink {
    pub fn new(settings: &SyslogExport) -> Self {
        let host = hostname().replace(|c: char| !c.is_ascii_graphic(), "-");
        let host = if host.is_empty() { "-".into() } else { host };
        Self { settings: settings.clone(), host, stream: None, last: Vec::new() }
    }

    pub async fn deliver(&mut self, records: Vec<Outgoing>) -> Result<(), String> {
        let sending = self.send(&records);
        let sent = tokio::time::timeout(PATIENCE, sending).await;
        let sent = sent.unwrap_or_else(|_| Err("the receiver does not read".into()));
        match sent {
            Ok(()) => {
                self.last = records;
                Ok(())
            }
            Err(why) => {
                self.stream = None;
                Err(format!("{}: {why}", self.settings.address))
            }
        }
    }

    async fn send(&mut self, records: &[Outgoing]) -> Result<(), String> {
        let mut open = self.stream.take();
        if let Some(stream) = &mut open
            && has_ended(stream).await
        {
            open = None;
        }
        let mut stream = match open {
            Some(stream) => stream,
            None => {
                let mut stream = self.connect().await?;
                let again = self.frames(&self.last);
                stream.write_all(&again).await.map_err(|error| error.to_string())?;
                stream
            }
        };
        let frames = self.frames(records);
        stream.write_all(&frames).await.map_err(|error| error.to_string())?;
        stream.flush().await.map_err(|error| error.to_string())?;
        if has_ended(&mut stream).await {
            return Err("the receiver closed the connection".into());
        }
        self.stream = Some(stream);
        Ok(())
    }

    async fn connect(&self) -> Result<Box<dyn Stream>, String> {
        let address = &self.settings.address;
        let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        let _ = stream.set_nodelay(true);
        if !self.settings.tls {
            return Ok(Box::new(stream));
        }
        let mut config = trusted().clone();
        if let Some(path) = &self.settings.ca {
            let failed = |why: String| format!("{}: {why}", path.display());
            let mut roots = rustls::RootCertStore::empty();
            let read =
                CertificateDer::pem_file_iter(path).map_err(|error| failed(error.to_string()))?;
            for certificate in read {
                let certificate = certificate.map_err(|error| failed(error.to_string()))?;
                roots.add(certificate).map_err(|error| failed(error.to_string()))?;
            }
            config =
                rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        }
        let name = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
        let name = ServerName::try_from(name.trim_matches(['[', ']']).to_owned());
        let name = name.map_err(|_| "no host name".to_owned())?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        Ok(Box::new(stream.map_err(|error| error.to_string())?))
    }

    fn frames(&self, records: &[Outgoing]) -> Vec<u8> {
        let mut frames = Vec::new();
        for record in records {
            let severity = if record.bad { 4 } else { 6 };
            let priority = u32::from(self.settings.facility) * 8 + severity;
            let at = jiff::Timestamp::from_millisecond(record.at).unwrap_or_default();
            // No structured data: the message is JSON and contains the ids.
            let text = format!(
                "<{priority}>1 {at:.3} {} {} {} audit - \u{feff}{}",
                self.host,
                self.settings.app_name,
                std::process::id(),
                record.text
            );
            frames.extend_from_slice(format!("{} ", text.len()).as_bytes());
            frames.extend_from_slice(text.as_bytes());
        }
        frames
    }
}

/// Whether the peer has closed the connection. It sends nothing otherwise.
async fn has_ended(stream: &mut (impl AsyncRead + Unpin)) -> bool {
    let mut byte = [0];
    !matches!(tokio::time::timeout(MOMENT, stream.read(&mut byte)).await, Err(_) | Ok(Ok(1)))
}
