//! Instructions a call, bare and with everything on: what to compare two builds by where the machine is shared. One
//! caller and a fixed number of calls, so that runs differ little; valgrind does not see the kernel's part.

use std::path::Path;
use std::time::{Duration, Instant};

use doorward_bench::backend::{Backend, Era};
use doorward_bench::callgrind::{Counted, is_installed};
use doorward_bench::load::{Ask, Connection, Target};
use serde_json::json;

use crate::{text, yardstick};

const WARM_UP: u32 = 500;
const CALLS: u32 = 2_000;
/// Under valgrind a gateway is some fifty times slower.
const PATIENCE: Duration = Duration::from_secs(120);

/// Prints both, or says what is missing.
pub async fn a_call(program: &Path, modern: &Backend) -> Result<(), String> {
    if !is_installed() {
        return Err("instructions are counted by valgrind: apt-get install valgrind".into());
    }
    let folder = std::env::temp_dir().join(format!("doorward-callgrind-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(text)?;
    let done = measure(program, modern, &folder).await;
    let _ = std::fs::remove_dir_all(&folder);
    done
}

async fn measure(program: &Path, modern: &Backend, folder: &Path) -> Result<(), String> {
    println!("{:<16} {:>19} {:>7}", "instructions", "a call, user mode", "÷ bare");
    let bare = yardstick::bare(modern);
    let counted = Counted::start(program, &bare, "none", folder.join("bare"))?;
    let bare = count(&counted, None).await?;
    drop(counted);
    println!("{:<16} {bare:>19.0} {:>7.2}", "gateway, bare", 1.0);
    let full = yardstick::Full::prepare(program, modern, folder)?;
    let counted = Counted::start(program, &full.config, &full.store, folder.join("full"))?;
    let all = count(&counted, Some(full.key)).await?;
    println!("{:<16} {all:>19.0} {:>7.2}", "gateway, all on", all / bare);
    Ok(())
}

async fn count(counted: &Counted, token: Option<String>) -> Result<f64, String> {
    let address = counted.gateway.address.clone();
    let target = Target { address, path: "/mcp/modern".into(), era: Era::Modern, token };
    let work = async {
        let small = Ask::tool("echo", &json!({ "text": "hello" }));
        let mut connection = connect(&target, &small).await?;
        let request = connection.written(small.method, &small.params);
        for _ in 0..WARM_UP {
            connection.exchange(&request).await.map_err(text)?;
        }
        counted.zero()?;
        for _ in 0..CALLS {
            connection.exchange(&request).await.map_err(text)?;
        }
        Ok(counted.instructions()? as f64 / f64::from(CALLS))
    };
    let late = |_| format!("{CALLS} calls under valgrind took more than {PATIENCE:?}");
    tokio::time::timeout(PATIENCE, work).await.map_err(late)?
}

/// A connection whose first call has been answered: the gateway has to find its server first.
async fn connect(target: &Target, ask: &Ask) -> Result<Connection, String> {
    let began = Instant::now();
    loop {
        let mut connection = Connection::open(target).await.map_err(text)?;
        let request = connection.written(ask.method, &ask.params);
        match connection.exchange(&request).await {
            Ok(_) => return Ok(connection),
            Err(error) if began.elapsed() > PATIENCE / 4 => return Err(error.to_string()),
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}
