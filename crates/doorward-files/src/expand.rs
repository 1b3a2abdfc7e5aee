//! References in texts: `${env:NAME}`, `${env:NAME:-default}`, `${file:PATH}` and `${vault:PATH#FIELD}`, and the
//! equivalents in the files of editors and agents.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use crate::Problem;
use crate::tree::Node;

/// Largest file that `${file:PATH}` reads.
const MAX_FILE: u64 = 64 << 20;

/// Which forms of references a file may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Own,
    /// Claude's `${NAME}` and `${NAME:-default}`, the editors' `${workspaceFolder}` and kin.
    Foreign,
}

/// Where a file stands, for what is relative to it.
#[derive(Debug, Clone)]
pub struct Surroundings {
    pub folder: PathBuf,
    pub workspace: PathBuf,
}

impl Surroundings {
    pub fn of(file: &Path) -> Self {
        let folder = file.parent().filter(|path| !path.as_os_str().is_empty());
        let folder = folder.map_or_else(|| PathBuf::from("."), Path::to_path_buf);
        let folder = std::path::absolute(&folder).unwrap_or(folder);
        // `.vscode/mcp.json` and `.cursor/mcp.json` stand one level below their workspace.
        let hidden = folder
            .file_name()
            .is_some_and(|name| name.to_str().is_some_and(|name| name.starts_with('.')));
        let workspace = match folder.parent() {
            Some(parent) if hidden => parent.to_path_buf(),
            _ => folder.clone(),
        };
        Self { folder, workspace }
    }
}

/// Where references lead.
pub struct Sources<'a> {
    pub env: &'a dyn Fn(&str) -> Option<String>,
    pub vault: &'a dyn Fn(&str) -> Result<String, String>,
    /// Whether any was used that may change while the gateway runs.
    pub changeable: Cell<bool>,
}

/// Replaces the references in all texts of a tree.
pub fn expand(
    tree: &mut Node,
    dialect: Dialect,
    around: &Surroundings,
    sources: &Sources<'_>,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    tree.each_text(&mut Vec::new(), &mut |path, text| {
        if is_of_package(path) && text.contains("${") {
            let problem = "references are accepted in 'args', 'env' and 'user_config' only: what a \
                           package is must not depend on the environment";
            problems.push(Problem { path: path.to_vec(), problem: problem.into() });
            return;
        }
        let mut resolve = |reference: &str| value(reference, dialect, around, sources);
        match replace(text, &mut resolve) {
            Ok(Some(expanded)) => *text = expanded,
            Ok(None) => {}
            Err(problem) => problems.push(Problem { path: path.to_vec(), problem }),
        }
    });
    problems
}

/// Whether a text says which package a server is.
fn is_of_package(path: &[String]) -> bool {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    matches!(path[..], ["servers", _, "package", key, ..] if key != "user_config")
}

/// Writes a foreign file's references in this gateway's own form, so that the file that is made of
/// it needs no secrets in plain text. What stands for a folder is filled in.
pub fn rewrite(tree: &mut Node, around: &Surroundings) -> Vec<Problem> {
    let mut problems = Vec::new();
    tree.each_text(&mut Vec::new(), &mut |path, text| {
        let mut resolve = |reference: &str| {
            if reference.starts_with("env:") {
                return Ok(format!("${{{reference}}}"));
            }
            if let Some(folder) = folder(reference, around) {
                return Ok(folder);
            }
            if is_variable(reference) {
                return Ok(format!("${{env:{reference}}}"));
            }
            unknown(reference, Dialect::Foreign)
        };
        match replace_keeping_escapes(text, &mut resolve) {
            Ok(Some(rewritten)) => *text = rewritten,
            Ok(None) => {}
            Err(problem) => problems.push(Problem { path: path.to_vec(), problem }),
        }
    });
    problems
}

type Resolve<'a> = &'a mut dyn FnMut(&str) -> Result<String, String>;

fn replace(text: &str, resolve: Resolve<'_>) -> Result<Option<String>, String> {
    replaced(text, resolve, "${")
}

fn replace_keeping_escapes(text: &str, resolve: Resolve<'_>) -> Result<Option<String>, String> {
    replaced(text, resolve, "$${")
}

/// `None` when there is nothing to replace. `$${` is an escaped `${`, and becomes `escaped`.
fn replaced(text: &str, resolve: Resolve<'_>, escaped: &str) -> Result<Option<String>, String> {
    if !text.contains("${") {
        return Ok(None);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            out.push_str(&rest[..at - 1]);
            out.push_str(escaped);
            rest = &rest[at + 2..];
            continue;
        }
        out.push_str(&rest[..at]);
        let inner = &rest[at + 2..];
        let end = inner.find('}').ok_or("'${' is not closed by '}'; write '$${' for the text")?;
        out.push_str(&resolve(&inner[..end])?);
        rest = &inner[end + 1..];
    }
    out.push_str(rest);
    Ok(Some(out))
}

fn value(
    reference: &str,
    dialect: Dialect,
    around: &Surroundings,
    sources: &Sources<'_>,
) -> Result<String, String> {
    let variable = |text: &str| {
        let (name, default) = match text.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (text, None),
        };
        (sources.env)(name).or_else(|| default.map(str::to_owned)).ok_or_else(|| {
            format!("the environment variable {name} is not set, or is not valid UTF-8")
        })
    };
    if let Some(name) = reference.strip_prefix("env:") {
        return variable(name);
    }
    match dialect {
        Dialect::Own => match reference.split_once(':') {
            Some(("file", path)) => {
                sources.changeable.set(true);
                read(&around.folder.join(path))
            }
            Some(("vault", path)) => {
                sources.changeable.set(true);
                (sources.vault)(path)
            }
            _ => unknown(reference, dialect),
        },
        Dialect::Foreign => match folder(reference, around) {
            Some(folder) => Ok(folder),
            None if is_variable(reference) => variable(reference),
            None => unknown(reference, dialect),
        },
    }
}

fn unknown(reference: &str, dialect: Dialect) -> Result<String, String> {
    if reference.starts_with("input:") {
        return Err(format!(
            "'${{{reference}}}' is an input prompt, which only editors support; put the value \
                into an environment variable and write ${{env:NAME}}"
        ));
    }
    let forms = match dialect {
        Dialect::Own => "${env:NAME}, ${env:NAME:-default}, ${file:PATH} or ${vault:PATH#FIELD}",
        Dialect::Foreign => "${env:NAME}, ${NAME}, ${workspaceFolder} or ${userHome}",
    };
    Err(format!("'${{{reference}}}' is not known; expected {forms}, or '$${{' for the text itself"))
}

fn is_variable(text: &str) -> bool {
    let name = text.split(":-").next().unwrap_or_default();
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn folder(reference: &str, around: &Surroundings) -> Option<String> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    match reference {
        "workspaceFolder" => Some(text(&around.workspace)),
        "workspaceFolderBasename" => {
            Some(around.workspace.file_name().map(|name| name.to_string_lossy().into_owned())?)
        }
        "userHome" => std::env::var("HOME").ok(),
        "pathSeparator" | "/" => Some(std::path::MAIN_SEPARATOR.to_string()),
        _ => None,
    }
}

/// A secret's file: its text without the line end that editors add.
fn read(path: &Path) -> Result<String, String> {
    let cannot = |why: String| format!("the file {} cannot be read: {why}", path.display());
    let size = std::fs::metadata(path).map_err(|error| cannot(error.to_string()))?.len();
    if size > MAX_FILE {
        return Err(cannot(format!("it is larger than {MAX_FILE} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| cannot(error.to_string()))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str, dialect: Dialect) -> Result<String, String> {
        let around = Surroundings::of(Path::new("/work/.vscode/mcp.json"));
        let sources = Sources {
            env: &|name| (name == "TOKEN").then(|| "t0k".to_owned()),
            vault: &|path| Ok(format!("<{path}>")),
            changeable: Cell::new(false),
        };
        let mut resolve = |reference: &str| value(reference, dialect, &around, &sources);
        replace(text, &mut resolve).map(|out| out.unwrap_or_else(|| text.to_owned()))
    }

    #[test]
    fn references_are_filled_in() {
        for (text, dialect, want) in [
            ("Bearer ${env:TOKEN}!", Dialect::Own, "Bearer t0k!"),
            ("${env:NONE:-a:b}", Dialect::Own, "a:b"),
            ("$${env:TOKEN} $5", Dialect::Own, "${env:TOKEN} $5"),
            ("${TOKEN}${NONE:-}", Dialect::Foreign, "t0k"),
            ("${workspaceFolder}${/}x", Dialect::Foreign, "/work/x"),
            ("no reference", Dialect::Own, "no reference"),
            ("${vault:secret/x#key}", Dialect::Own, "<secret/x#key>"),
        ] {
            assert_eq!(expanded(text, dialect).as_deref(), Ok(want), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_filled_in_is_said() {
        for (text, dialect, said) in [
            ("${env:NONE}", Dialect::Own, "NONE is not set"),
            ("${TOKEN}", Dialect::Own, "expected ${env:NAME}"),
            ("${env:TOKEN", Dialect::Own, "not closed"),
            ("${input:key}", Dialect::Foreign, "environment variable"),
            ("${file:/nowhere}", Dialect::Own, "/nowhere"),
        ] {
            let problem = expanded(text, dialect).unwrap_err();
            assert!(problem.contains(said), "{text}: {problem}");
        }
    }

    #[test]
    fn a_foreign_reference_becomes_one_of_our_own() {
        let mut tree = crate::tree::parse("{\"a\": \"${KEY:-x} $${b} ${env:C}\"}").unwrap();
        assert!(rewrite(&mut tree, &Surroundings::of(Path::new("m.json"))).is_empty());
        let text = tree.get("a").and_then(Node::as_text);
        assert_eq!(text, Some("${env:KEY:-x} $${b} ${env:C}"));
    }
}
