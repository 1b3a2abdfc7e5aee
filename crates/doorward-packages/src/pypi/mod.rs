//! Packages of PyPI: wheels, the dependencies resolved once for the machine's Python, verified, and unpacked into one
//! folder of modules. Neither pip nor any code of a package runs before the server itself.

mod index;
mod interpreter;
mod requirement;
mod resolve;
mod tags;
mod wheel;

use std::path::Path;

use crate::error::{Error, Result};
use crate::lock::Artifact;

pub use interpreter::Interpreter;
pub(crate) use interpreter::answer;
pub use resolve::Resolver;
use wheel::SITE;
pub use wheel::{programs, unpack};

/// Runs a console script: the modules of the package come after Python's own, and nothing else is there.
const RUN: &str = "import sys; sys.path.append(sys.argv[1]); module, names = sys.argv[2:4]; \
sys.argv[:] = sys.argv[4:]; import site, importlib; site.setquit(); run = importlib.import_module(module)
for name in names.split('.'): run = getattr(run, name)
sys.exit(run())";

/// The command line of a console script, `module:function`, of an unpacked package.
pub fn arguments(folder: &Path, program: &str, place: &str) -> Vec<String> {
    let (module, function) = place.split_once(':').unwrap_or((place, "main"));
    let site = folder.join(SITE).display().to_string();
    let fixed = ["-I", "-S", "-B", "-c", RUN, &site, module, function, program];
    fixed.map(str::to_owned).into()
}

/// Checks that wheels that were chosen on one machine can be used on this one.
///
/// # Errors
/// If one of them cannot.
pub fn check_usable(artifacts: &[Artifact], python: &Interpreter) -> Result<()> {
    for archive in artifacts {
        let file = archive.url.rsplit('/').next().unwrap_or_default();
        let parts = index::Parts::of(file);
        let rank = parts.and_then(|it| python.target.rank(it.python, it.abi, it.platform));
        if rank.is_none() {
            let target = python.target.name();
            return Err(Error::NotLocked(format!("'{file}' does not run on {target}")));
        }
    }
    Ok(())
}
