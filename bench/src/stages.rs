//! Measures the cost of each stage of a governed call: the same build with more and more stages on, in turn.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::gateway::output;

/// A configuration, and the stage that it adds to the previous one.
#[derive(Debug)]
pub struct Stage {
    pub name: &'static str,
    pub config: String,
    /// Its own database; `None` for none.
    pub store: Option<PathBuf>,
}

/// Configurations in front of one server, each with one more stage than the previous one.
pub async fn all(program: &Path, folder: &Path, server: &str) -> Result<Vec<Stage>, String> {
    let collector = collector().await.map_err(|error| error.to_string())?;
    let servers =
        format!("servers: {{modern: {{url: '{server}', tools: {{'*': {{write: false}}}}}}}}\n");
    let limits = "rate_limits: {rules: {all: {rate: 1000000/s}, user: {per: [user], rate: 1000000/s, daily: 1000000000}, \
                  tool: {per: [user, tool], concurrency: 1000}}}\n";
    let prices =
        "billing: {prices: {all: {tools: '*', call: 0.000001, kb: 0.000001}}, alerts: {at: []}}\n";
    let traces =
        format!("telemetry: {{otlp: {{endpoint: '{collector}'}}, traces: {{sample: 0.05}}}}\n");
    let inspection = "inspection: {results: {data: {default: mask}}}\n";
    let flow = "flow: {after_start: clean, labels: [untrusted]}\n";
    let conversations = "conversations: {calls: 4000000000, repeated: 4000000000}\n";
    let parts: [(&'static str, &str); 7] = [
        ("+ record", ""),
        ("+ limits", limits),
        ("+ prices", prices),
        ("+ traces 5%", &traces),
        ("+ inspection", inspection),
        ("+ flow rules", flow),
        ("+ conversations", conversations),
    ];
    let mut stages = vec![Stage { name: "nothing", config: servers.clone(), store: None }];
    let mut config = servers;
    for (number, (name, part)) in parts.into_iter().enumerate() {
        config.push_str(part);
        let store = folder.join(format!("stage-{number}.db"));
        let url = format!("sqlite:{}", store.display());
        output(program, &["credits", "grant", "--user", "local", "1000000", "--store", &url])?;
        stages.push(Stage { name, config: config.clone(), store: Some(store) });
    }
    Ok(stages)
}

/// A collector that accepts everything.
async fn collector() -> std::io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = vec![0; 64 << 10];
                let mut text = Vec::new();
                loop {
                    let Ok(Ok(read @ 1..)) =
                        tokio::time::timeout(Duration::from_secs(30), stream.read(&mut buffer))
                            .await
                    else {
                        return;
                    };
                    text.extend_from_slice(&buffer[..read]);
                    let Some(head) = text.windows(4).position(|it| it == b"\r\n\r\n") else {
                        continue;
                    };
                    let said = String::from_utf8_lossy(&text[..head]).to_lowercase();
                    let length =
                        said.lines().find_map(|line| line.strip_prefix("content-length: "));
                    let length: usize = length.and_then(|it| it.trim().parse().ok()).unwrap_or(0);
                    if text.len() >= head + 4 + length {
                        text.drain(..head + 4 + length);
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                        if stream.write_all(answer).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    Ok(format!("http://{address}"))
}
