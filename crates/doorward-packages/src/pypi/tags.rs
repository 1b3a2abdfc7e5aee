//! Which wheels a Python can use (PEP 425, 600 and 656), the most specific first.

use serde::Deserialize;

/// A Python, as far as wheels are concerned.
#[derive(Debug, Clone, Deserialize)]
pub struct Target {
    /// `cpython`, or another.
    pub implementation: String,
    pub major: u32,
    pub minor: u32,
    #[serde(default)]
    pub patch: u32,
    /// `t` for builds without the global lock.
    #[serde(default)]
    pub abiflags: String,
    /// As `uname` has it: `x86_64`.
    pub machine: String,
    /// Version of glibc, if it is that.
    #[serde(default)]
    pub glibc: Option<(u32, u32)>,
    /// Version of musl, if it is that.
    #[serde(default)]
    pub musl: Option<(u32, u32)>,
}

/// The lowest glibc that wheels are made for, by machine.
fn oldest(machine: &str) -> u32 {
    if matches!(machine, "x86_64" | "i686") { 5 } else { 17 }
}

impl Target {
    fn interpreter(&self) -> String {
        let short = match self.implementation.as_str() {
            "cpython" => "cp",
            "pypy" => "pp",
            other => other,
        };
        format!("{short}{}{}", self.major, self.minor)
    }

    /// In one word, for the lock file: `cp311-linux-x86_64-glibc`.
    pub fn name(&self) -> String {
        let libc = if self.musl.is_some() { "musl" } else { "glibc" };
        format!("{}{}-linux-{}-{libc}", self.interpreter(), self.abiflags, self.machine)
    }

    fn platforms(&self) -> Vec<String> {
        let machine = &self.machine;
        let mut all = Vec::new();
        if let Some((2, minor)) = self.glibc {
            for minor in (oldest(machine)..=minor).rev() {
                all.push(format!("manylinux_2_{minor}_{machine}"));
                let old = match minor {
                    17 => "manylinux2014",
                    12 => "manylinux2010",
                    5 => "manylinux1",
                    _ => continue,
                };
                all.push(format!("{old}_{machine}"));
            }
        }
        if let Some((major, minor)) = self.musl {
            all.extend(
                (0..=minor).rev().map(|minor| format!("musllinux_{major}_{minor}_{machine}")),
            );
        }
        all.push(format!("linux_{machine}"));
        all
    }

    /// How well a wheel with these tags (each may list several, with dots) fits: the lower the better. `None` if it cannot
    /// be used.
    pub fn rank(&self, python: &str, abi: &str, platform: &str) -> Option<usize> {
        let platforms = self.platforms();
        let mut best = None;
        for python in python.split('.') {
            for abi in abi.split('.') {
                let Some(kind) = self.kind(python, abi) else { continue };
                for platform in platform.split('.') {
                    let at = match platform {
                        "any" if abi == "none" => Some(platforms.len()),
                        "any" => None,
                        platform => platforms.iter().position(|one| one == platform),
                    };
                    let rank = at.map(|at| kind * 1_000 + at);
                    best = match (best, rank) {
                        (Some(best), Some(rank)) => Some(std::cmp::min(best, rank)),
                        (best, rank) => best.or(rank),
                    };
                }
            }
        }
        best
    }

    fn kind(&self, python: &str, abi: &str) -> Option<usize> {
        let own = self.interpreter();
        let is_cpython = self.implementation == "cpython";
        let minor_of = |prefix: &str| python.strip_prefix(prefix)?.parse::<u32>().ok();
        if python == own && abi == format!("{own}{}", self.abiflags) {
            return Some(0);
        }
        if is_cpython && self.abiflags.is_empty() && abi == "abi3" {
            let minor = minor_of(&format!("cp{}", self.major))?;
            return (2..=self.minor).contains(&minor).then(|| 1 + (self.minor - minor) as usize);
        }
        if abi != "none" {
            return None;
        }
        if python == own {
            return Some(40);
        }
        if python == format!("py{}{}", self.major, self.minor) {
            return Some(41);
        }
        if python == format!("py{}", self.major) {
            return Some(42);
        }
        let minor = minor_of(&format!("py{}", self.major))?;
        (minor < self.minor).then(|| 43 + (self.minor - minor) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_wheel_that_can_be_used_is_the_best() {
        let target = Target {
            implementation: "cpython".into(),
            major: 3,
            minor: 11,
            patch: 7,
            abiflags: String::new(),
            machine: "x86_64".into(),
            glibc: Some((2, 36)),
            musl: None,
        };
        assert_eq!(target.name(), "cp311-linux-x86_64-glibc");
        let best_first = [
            ("cp311", "cp311", "manylinux_2_28_x86_64"),
            ("cp311", "cp311", "manylinux_2_17_x86_64.manylinux2014_x86_64"),
            ("cp311", "cp311", "manylinux1_x86_64"),
            ("cp38", "abi3", "manylinux2014_x86_64"),
            ("cp36", "abi3", "manylinux2014_x86_64"),
            ("py3", "none", "manylinux_2_17_x86_64"),
            ("py2.py3", "none", "any"),
            ("py38", "none", "any"),
        ];
        let ranks: Vec<usize> = best_first
            .iter()
            .map(|(python, abi, platform)| target.rank(python, abi, platform).unwrap())
            .collect();
        assert!(ranks.is_sorted(), "{ranks:?}");
        for (python, abi, platform) in [
            ("cp312", "cp312", "manylinux_2_17_x86_64"),
            ("cp312", "abi3", "manylinux_2_17_x86_64"),
            ("cp311", "cp311t", "manylinux_2_17_x86_64"),
            ("cp311", "cp311", "manylinux_2_39_x86_64"),
            ("cp311", "cp311", "manylinux_2_17_aarch64"),
            ("cp311", "cp311", "musllinux_1_2_x86_64"),
            ("cp311", "cp311", "win_amd64"),
            ("cp311", "cp311", "macosx_11_0_arm64"),
            ("py2", "none", "any"),
            ("pp39", "pypy39_pp73", "manylinux_2_17_x86_64"),
        ] {
            assert_eq!(target.rank(python, abi, platform), None, "{python}-{abi}-{platform}");
        }
        let musl = Target { glibc: None, musl: Some((1, 2)), ..target };
        assert!(musl.rank("cp311", "cp311", "musllinux_1_1_x86_64").is_some());
        assert!(musl.rank("cp311", "cp311", "manylinux_2_17_x86_64").is_none());
    }
}
