//! Container images: fetched and run by Podman or Docker, by digest alone, and closed off: no network, a root that is
//! read-only, no capabilities, unless the server's `confine` says more.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use doorward_config::{Confinement, PackageSettings, Program, Secret};
use tokio::process::Command;

use crate::digest::Digest;
use crate::error::{Error, Result};

/// How long an image may take to be fetched.
const PATIENCE: Duration = Duration::from_secs(600);

/// The container engine: the configured one, else Podman, else Docker.
///
/// # Errors
/// If there is none.
pub fn engine(configured: Option<&Path>) -> Result<PathBuf> {
    if let Some(engine) = configured {
        return Ok(engine.to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = ["podman", "docker"].iter().find_map(|name| {
        std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
    });
    found.ok_or_else(|| {
        let why = "images need Podman or Docker on this machine, and there is neither; install one, or set \
            'packages.container' to it";
        Error::Missing(why.into())
    })
}

/// An image by its digest.
///
/// # Errors
/// If the name or the digest is none.
pub fn image(package: &PackageSettings) -> Result<(String, Digest)> {
    let name = package.oci.as_deref().unwrap_or_default();
    let digest: Digest = package.digest.as_deref().unwrap_or_default().parse()?;
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_./:".contains(&byte);
    if name.is_empty() || name.starts_with('-') || !name.bytes().all(plain) {
        return Err(Error::unsupported(format!("'{name}' is not a name of an image")));
    }
    Ok((format!("{name}@{digest}"), digest))
}

/// Fetches an image, unless it is there.
///
/// # Errors
/// If the engine cannot.
pub async fn fetch(engine: &Path, image: &str) -> Result<()> {
    if run(engine, &["image", "inspect", image]).await.is_ok() {
        return Ok(());
    }
    run(engine, &["pull", "--quiet", image]).await.map_err(|why| Error::Unreachable {
        url: image.into(),
        why: format!("{}: {why}", engine.display()),
    })
}

async fn run(engine: &Path, arguments: &[&str]) -> Result<(), String> {
    let running = Command::new(engine)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, running).await;
    let output = output.map_err(|_| format!("not done within {} s", PATIENCE.as_secs()))?;
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it failed");
    Err(last.chars().take(300).collect())
}

/// How an image is run. What `confine` allows is allowed to the container; secrets go by its environment, not by the
/// command line.
///
/// # Errors
/// If a path cannot be mounted.
pub fn program(
    engine: &Path,
    image: &str,
    args: &[String],
    env: &BTreeMap<String, Secret>,
    confine: &Confinement,
) -> Result<Program> {
    let mut all: Vec<String> = [
        "run",
        "--interactive",
        "--rm",
        "--init",
        "--pull=never",
        "--read-only",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--stop-timeout=2",
    ]
    .map(str::to_owned)
    .into();
    if !confine.network {
        all.push("--network=none".into());
    }
    all.push(format!("--pids-limit={}", confine.processes));
    all.push(format!("--memory={}", confine.memory_in_all.unwrap_or(confine.memory).0));
    all.push(format!("--ulimit=nofile={0}:{0}", confine.files));
    all.push(format!("--ulimit=fsize={0}:{0}", confine.file_size.0));
    if let Some(cpu) = confine.cpu {
        all.push(format!("--ulimit=cpu={0}:{0}", cpu.0.as_secs().max(1)));
    }
    if let Some(user) = &confine.user {
        all.push(format!("--user={user}"));
    }
    for (paths, more) in [(&confine.read, ",readonly"), (&confine.write, "")] {
        for path in paths {
            let text = path.display().to_string();
            if text.contains([',', ':', '"', '\n']) {
                return Err(Error::unsupported(format!(
                    "'{text}' cannot be mounted in a container"
                )));
            }
            all.push(format!("--mount=type=bind,source={text},destination={text}{more}"));
        }
    }
    all.extend(env.keys().map(|name| format!("--env={name}")));
    all.push(image.to_owned());
    all.extend(args.iter().cloned());
    let command = engine.display().to_string();
    Ok(Program { command, args: all, env: env.clone(), confine: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_may_what_was_declared_and_nothing_else() {
        let package = PackageSettings {
            oci: Some("r.example:5000/a/b".into()),
            digest: Some(format!("sha256:{}", "a".repeat(64))),
            ..PackageSettings::default()
        };
        let (image, _) = image(&package).unwrap();
        assert_eq!(image, format!("r.example:5000/a/b@sha256:{}", "a".repeat(64)));
        let env = [("KEY".to_owned(), Secret("k3y".into()))].into();
        let closed =
            program(Path::new("podman"), &image, &["x".into()], &env, &Confinement::default())
                .unwrap();
        for flag in ["--network=none", "--read-only", "--cap-drop=ALL", "--pull=never", "--env=KEY"]
        {
            assert!(closed.args.iter().any(|arg| arg == flag), "{flag}: {:?}", closed.args);
        }
        assert!(closed.args.ends_with(&[image.clone(), "x".into()]));
        assert!(!closed.args.iter().any(|arg| arg.contains("k3y") || arg.starts_with("--mount")));
        let confine = Confinement {
            read: vec!["/r".into()],
            write: vec!["/w".into()],
            network: true,
            ..Confinement::default()
        };
        let open = program(Path::new("podman"), &image, &[], &env, &confine).unwrap();
        let has = |flag: &str| open.args.iter().any(|arg| arg == flag);
        assert!(has("--mount=type=bind,source=/r,destination=/r,readonly"));
        assert!(has("--mount=type=bind,source=/w,destination=/w"));
        assert!(!has("--network=none"));
        let comma = Confinement { read: vec!["/a,b".into()], ..Confinement::default() };
        assert!(program(Path::new("podman"), &image, &[], &env, &comma).is_err());
        for name in ["", "-v", "A/b", "a b", "a;b"] {
            let package = PackageSettings { oci: Some(name.into()), ..package.clone() };
            assert!(super::image(&package).is_err(), "{name}");
        }
    }
}
