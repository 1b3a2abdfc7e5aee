//! Measures how long it takes to evaluate recorded calls again: several callers make them through a gateway, and they
//! are replayed against other policies.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::backend::Era;
use crate::gateway::{Gateway, output};
use crate::issuer::policies;
use crate::load::{Ask, Target, closed_loop};

const CALLERS: usize = 10;
/// How long each caller calls before the next one's turn.
const TURN: Duration = Duration::from_millis(250);

/// What was evaluated, and how long it took.
#[derive(Debug)]
pub struct Replayed {
    pub calls: u64,
    pub turned: u64,
    pub took: Duration,
    /// The approximate size of the database.
    pub bytes: u64,
}

/// Records at least this many calls and evaluates them again.
pub async fn replay(
    program: &Path,
    folder: &Path,
    server: &str,
    calls: usize,
) -> Result<Replayed, String> {
    let (before, after) = (folder.join("before.cedar"), folder.join("after.cedar"));
    let all = "permit (principal, action, resource);\n";
    let text = format!("{all}{}", policies());
    std::fs::write(&before, &text).map_err(|error| error.to_string())?;
    // Every second caller loses access to the tool.
    let forbidden: String = (0..CALLERS)
        .step_by(2)
        .map(|number| format!("forbid (principal == User::\"caller-{number}\", action == Action::\"call\", resource == Tool::\"modern/echo\");\n"))
        .collect();
    std::fs::write(&after, text + &forbidden).map_err(|error| error.to_string())?;
    let database = folder.join("simulate.db");
    let store = format!("sqlite:{}", database.display());
    let mut keys = Vec::new();
    for number in 0..CALLERS {
        let user = format!("caller-{number}");
        let key = output(program, &["keys", "create", "--user", &user, "--store", &store])?;
        keys.push(key.trim().to_owned());
    }
    let config = format!(
        "audit: {{policy_arguments: true}}\npolicy: {{files: ['{}']}}\nservers: {{modern: {{url: '{server}', tools: {{'*': {{write: false}}}}}}}}\n",
        before.display()
    );
    let gateway = Gateway::start_with(program, &config, &store)?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let ask = Ask::tool("echo", &json!({ "text": "hello" }));
    let mut done = 0;
    for (turn, key) in keys.iter().cycle().enumerate() {
        if done >= calls && turn >= CALLERS {
            break;
        }
        let (address, path) = (gateway.address.clone(), "/mcp/modern".into());
        let target = Target { address, path, era: Era::Modern, token: Some(key.clone()) };
        let run = closed_loop(&target, &ask, 32, TURN).await.map_err(|error| error.to_string())?;
        if run.errors > 0 {
            return Err(format!("simulate: {} calls failed", run.errors));
        }
        done += run.calls();
    }
    // Wait until all records are written.
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(gateway);
    // The latest records are in the write-ahead log beside the database.
    let length = |path: PathBuf| std::fs::metadata(path).map_or(0, |file| file.len());
    let bytes = length(folder.join("simulate.db-wal")) + length(database);
    let begun = Instant::now();
    let path = after.display().to_string();
    let found = output(program, &["policy", "simulate", &path, "--store", &store, "--json"])?;
    let took = begun.elapsed();
    let found: Value = serde_json::from_str(&found).map_err(|error| error.to_string())?;
    let groups = found["groups"].as_array().cloned().unwrap_or_default();
    let turned = groups.iter().filter_map(|group| group["group"]["count"].as_u64()).sum();
    let calls = found["decided"].as_u64().unwrap_or(0);
    if calls < done as u64 || groups.len() != CALLERS.div_ceil(2) {
        return Err(format!("simulate: {calls} of {done} calls, {} groups", groups.len()));
    }
    Ok(Replayed { calls, turned, took, bytes })
}
