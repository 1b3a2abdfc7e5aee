//! Which registry packages are resolved with: the one that is configured, else the one that the machine's own clients
//! use. What it was is written to the lock file, so that this is asked when packages are locked, and never later.

use std::path::{Path, PathBuf};

use doorward_config::{PackageSettings, PackagesSettings, is_trustworthy};
use url::Url;

use crate::error::{Error, Result};
use crate::pypi::answer;

/// The environment variables that name registries.
const NPM: &str = "DOORWARD_NPM_REGISTRY";
const PYPI: &str = "DOORWARD_PYPI_INDEX";

/// The index that pip uses: the one of its configuration, else its own.
const PIP: &str = "
import sys
from pip._internal.configuration import Configuration
from pip._internal.models.index import PyPI
configuration = Configuration(isolated=False)
configuration.load()
found = dict(configuration.items())
for key in (':env:.index-url', 'install.index-url', 'global.index-url'):
    for name, value in found.items():
        values = value if isinstance(value, dict) else {name: value}
        if key in values:
            print(values[key])
            sys.exit()
print(PyPI.simple_url)
";

/// The npm registry for a package.
///
/// # Errors
/// If none is configured, and npm does not tell.
pub async fn npm(package: &PackageSettings, settings: &PackagesSettings) -> Result<Url> {
    if let Some(url) = package.registry.as_ref().or(settings.npm.as_ref()) {
        return Ok(url.clone());
    }
    let said = match std::env::var(NPM) {
        Ok(said) => Ok(said),
        // Not in a project's folder, which may have a registry of its own.
        Err(_) => ask(Path::new("npm"), &["config", "get", "registry"]).await,
    };
    parsed(said, "the npm registry", NPM, "packages.npm")
}

/// The PyPI index for a package.
///
/// # Errors
/// If none is configured, and pip does not tell.
pub async fn pypi(package: &PackageSettings, settings: &PackagesSettings) -> Result<Url> {
    if let Some(url) = package.registry.as_ref().or(settings.pypi.as_ref()) {
        return Ok(url.clone());
    }
    let python = settings.python.clone().unwrap_or_else(|| PathBuf::from("python3"));
    let said = match std::env::var(PYPI) {
        Ok(said) => Ok(said),
        Err(_) => ask(&python, &["-c", PIP]).await,
    };
    parsed(said, "the PyPI index", PYPI, "packages.pypi")
}

async fn ask(program: &Path, arguments: &[&str]) -> Result<String, String> {
    let text = answer(program, arguments).await;
    text.map(|text| String::from_utf8_lossy(&text).trim().to_owned())
        .map_err(|why| format!("{}: {why}", program.display()))
}

fn parsed(said: Result<String, String>, what: &str, variable: &str, key: &str) -> Result<Url> {
    let why = match said.as_ref().map(|said| Url::parse(said)) {
        Ok(Ok(url)) if is_trustworthy(&url) => return Ok(url),
        Ok(_) => format!("'{}' is not an https:// URL", said.unwrap_or_default()),
        Err(why) => why.clone(),
    };
    Err(Error::Missing(format!("{what} is not known ({why}); set '{key}', or {variable}")))
}
