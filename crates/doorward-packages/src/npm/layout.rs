//! Where each package stands, so that Node finds for each `require` the version that was asked for: as high as possible,
//! and below whoever needs another version than the rest.

use std::collections::BTreeMap;

use nodejs_semver::Version;

use super::document::parse_range;
use crate::error::{Error, Result};

/// Packages that one package may have in all.
pub const MAX_PACKAGES: usize = 3_000;
const MODULES: &str = "node_modules";

/// What one package needs of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The name that it is imported by.
    pub name: String,
    /// The package that has this name there, which is another one for aliases (`npm:other@1`).
    pub package: String,
    pub range: String,
    /// Beside the one that needs it, not below it.
    pub is_peer: bool,
    pub is_optional: bool,
}

/// What is where.
#[derive(Debug, Default)]
pub struct Layout {
    /// By path: `node_modules/a/node_modules/b`.
    placed: BTreeMap<String, Placed>,
    /// Who needs what, and where it was found: paths.
    edges: Vec<(String, Need, String)>,
}

#[derive(Debug)]
struct Placed {
    package: String,
    version: String,
}

/// Where a need is met.
#[derive(Debug, PartialEq, Eq)]
pub enum Met {
    /// By what is there.
    By(String),
    /// By nothing yet.
    Not,
}

impl Need {
    /// A dependency as `package.json` has it.
    ///
    /// # Errors
    /// If it is not a package of the registry: a URL, a repository or a folder.
    pub fn parse(name: &str, spec: &str) -> Result<Self> {
        let spec = spec.trim();
        let (package, range) = match spec.strip_prefix("npm:") {
            Some(alias) => {
                let at = alias.rfind('@').filter(|at| *at > 0);
                at.map_or((alias, "*"), |at| (&alias[..at], &alias[at + 1..]))
            }
            None => (name, spec),
        };
        let is_tag = |text: &str| {
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        if !is_name(name) || !is_name(package) || !(parse_range(range).is_some() || is_tag(range)) {
            let shown: String = format!("{name}@{spec}").chars().take(200).collect();
            return Err(Error::unsupported(format!(
                "'{shown}' is not a version of a package in the registry"
            )));
        }
        let (name, package, range) = (name.to_owned(), package.to_owned(), range.to_owned());
        Ok(Self { name, package, range, is_peer: false, is_optional: false })
    }

    fn accepts(&self, placed: &Placed) -> bool {
        if placed.package != self.package {
            return false;
        }
        match (parse_range(&self.range), Version::parse(&placed.version)) {
            (Some(range), Ok(version)) => range.satisfies(&version),
            // A tag: what it was when it was first resolved.
            (None, _) => true,
            _ => false,
        }
    }
}

/// Whether a text is a name of an npm package, and safe as one of a folder.
pub fn is_name(name: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with(['.', '_'])
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~!'()*".contains(&byte))
    };
    let whole = match name.strip_prefix('@') {
        Some(scoped) => {
            scoped.split_once('/').is_some_and(|(scope, name)| part(scope) && part(name))
        }
        None => part(name),
    };
    whole && name.len() <= 214 && !name.contains(MODULES)
}

/// The folders whose `node_modules` Node looks into for a package, the nearest first.
fn scopes(path: &str) -> Vec<&str> {
    let mut all = vec![path];
    let mut at = path;
    while let Some(end) = at.rfind(MODULES) {
        at = at[..end].trim_end_matches('/');
        all.push(at);
    }
    all
}

fn inside(scope: &str, name: &str) -> String {
    if scope.is_empty() { format!("{MODULES}/{name}") } else { format!("{scope}/{MODULES}/{name}") }
}

/// Whether a path is below a scope, or is it.
fn is_within(path: &str, scope: &str) -> bool {
    scope.is_empty()
        || path.strip_prefix(scope).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a user that found a package finds the one of the same name in a scope first.
fn is_hidden(user: &str, found: &str, scope: &str, name: &str) -> bool {
    let above = found.len().saturating_sub(MODULES.len() + 1 + name.len());
    is_within(user, scope) && scope.len() > found[..above].trim_end_matches('/').len()
}

impl Layout {
    /// Finds what meets a need as Node would, and remembers it if it does.
    pub fn meet(&mut self, from: &str, need: &Need) -> Met {
        match self.find(from, &need.name) {
            Some(path) if need.accepts(&self.placed[&path]) => {
                self.edges.push((from.to_owned(), need.clone(), path.clone()));
                Met::By(path)
            }
            _ => Met::Not,
        }
    }

    fn find(&self, from: &str, name: &str) -> Option<String> {
        let mut paths = scopes(from).into_iter().map(|scope| inside(scope, name));
        paths.find(|path| self.placed.contains_key(path))
    }

    /// Places a version that meets a need which nothing meets yet. Returns its path.
    ///
    /// # Errors
    /// If there is no place where it is found, and nobody else finds it who needs another version.
    pub fn place(&mut self, from: &str, need: &Need, version: &str) -> Result<String> {
        if self.placed.len() >= MAX_PACKAGES {
            return Err(Error::refused(format!("it has more than {MAX_PACKAGES} dependencies")));
        }
        let all = scopes(from);
        // What has the name already, and is another version, is found first unless this one is below it.
        let taken =
            all.iter().position(|scope| self.placed.contains_key(&inside(scope, &need.name)));
        let free = &all[..taken.unwrap_or(all.len())];
        let placed = Placed { package: need.package.clone(), version: version.to_owned() };
        let scope = free.iter().rev().find(|scope| !self.would_hide(scope, &need.name, &placed));
        let Some(scope) = scope else {
            let why = format!("{}@{version} has no place beside the others", need.package);
            return Err(Error::unsupported(why));
        };
        let path = inside(scope, &need.name);
        // Who is below it and found another one above finds this one now.
        for (user, other, found) in &mut self.edges {
            if other.name == need.name && is_hidden(user, found, scope, &need.name) {
                found.clone_from(&path);
            }
        }
        self.placed.insert(path.clone(), placed);
        self.edges.push((from.to_owned(), need.clone(), path.clone()));
        Ok(path)
    }

    /// Whether somebody would find this one in the place of another version that they need.
    fn would_hide(&self, scope: &str, name: &str, placed: &Placed) -> bool {
        self.edges.iter().any(|(user, need, found)| {
            need.name == name && is_hidden(user, found, scope, name) && !need.accepts(placed)
        })
    }

    /// Checks that everybody finds what they need.
    ///
    /// # Errors
    /// If somebody does not.
    pub fn check(&self) -> Result<()> {
        for (user, need, _) in &self.edges {
            let found = self.find(user, &need.name);
            if !found.is_some_and(|path| need.accepts(&self.placed[&path])) {
                return Err(Error::unsupported(format!(
                    "{user} would not find {}@{}",
                    need.name, need.range
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(name: &str, range: &str) -> Need {
        Need::parse(name, range).unwrap()
    }

    fn put(layout: &mut Layout, from: &str, name: &str, range: &str, version: &str) -> String {
        let need = need(name, range);
        match layout.meet(from, &need) {
            Met::By(path) => path,
            Met::Not => layout.place(from, &need, version).unwrap(),
        }
    }

    #[test]
    fn packages_stand_as_high_as_they_can() {
        let mut layout = Layout::default();
        let a = put(&mut layout, "", "a", "1", "1.0.0");
        let b = put(&mut layout, &a, "@s/b", "^1", "1.0.0");
        assert_eq!((a.as_str(), b.as_str()), ("node_modules/a", "node_modules/@s/b"));
        let c1 = put(&mut layout, &a, "c", "^1", "1.1.0");
        let c2 = put(&mut layout, &b, "c", "^2", "2.0.0");
        assert_eq!(
            (c1.as_str(), c2.as_str()),
            ("node_modules/c", "node_modules/@s/b/node_modules/c")
        );
        // A dependency of that package is placed at the top again.
        let d = put(&mut layout, &c2, "d", "*", "3.0.0");
        assert_eq!(d, "node_modules/d");
        assert_eq!(put(&mut layout, &d, "c", ">=1", "9.9.9"), "node_modules/c");
        assert_eq!(put(&mut layout, &c2, "c", "^1", "1.2.0"), format!("{c2}/node_modules/c"));
        layout.check().unwrap();
        assert_eq!(layout.placed.len(), 6);
    }

    #[test]
    fn nobody_finds_another_version_than_they_did() {
        let mut layout = Layout::default();
        let a = put(&mut layout, "", "a", "1", "1.0.0");
        let x = put(&mut layout, &a, "x", "1", "1.0.0");
        // `b` has its own `x`, and below it a `c` that uses the one above.
        let b = put(&mut layout, &a, "b", "1", "1.0.0");
        let c1 = put(&mut layout, &a, "c", "1", "1.0.0");
        let c2 = put(&mut layout, &b, "c", "2", "2.0.0");
        assert_eq!(put(&mut layout, &c2, "x", "1", "1.0.0"), x);
        assert_eq!(put(&mut layout, &c1, "x", "1", "1.0.0"), x);
        let refused = layout.place(&b, &need("x", "2"), "2.0.0").unwrap_err().to_string();
        assert!(refused.contains("no place"), "{refused}");
        layout.check().unwrap();
    }

    #[test]
    fn only_packages_of_the_registry_are_dependencies() {
        let alias = need("x", "npm:@s/y@^1.2");
        assert_eq!((alias.package.as_str(), alias.range.as_str()), ("@s/y", "^1.2"));
        assert_eq!(need("x", "npm:y").range, "*");
        for (name, spec) in [
            ("x", "git+ssh://a/b"),
            ("x", "https://a.example/x.tgz"),
            ("x", "github:a/b"),
            ("x", "a/b"),
            ("x", "file:../x"),
            ("x", "workspace:*"),
            ("../x", "1"),
            ("@s/../x", "1"),
            (".bin", "1"),
            ("node_modules", "1"),
            ("x", "npm:../y@1"),
        ] {
            assert!(Need::parse(name, spec).is_err(), "{name}@{spec}");
        }
    }
}
