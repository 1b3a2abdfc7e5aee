//! Problems of a configuration, reported for people and for programs: file, line, key, and the expected value.

use std::fmt::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use doorward_inspect::written::{self, Keep};
use doorward_mcp::display::{harmless_line, is_harmful};
use serde::Serialize;

use crate::tree::Place;

/// One thing that is wrong.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The path of the key, such as `servers.tickets.url`; empty for the file as a whole.
    pub key: String,
    pub problem: String,
    pub place: Place,
}

/// All that is wrong with one file.
#[derive(Debug)]
pub struct Report {
    path: PathBuf,
    text: String,
    pub findings: Vec<Finding>,
    is_warning: bool,
}

/// Whether to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    Yes,
    No,
}

#[derive(Serialize)]
struct JsonFinding<'a> {
    file: &'a Path,
    line: Option<usize>,
    column: Option<usize>,
    key: &'a str,
    level: &'static str,
    problem: &'a str,
}

impl Report {
    pub fn new(path: &Path, text: &str, mut findings: Vec<Finding>) -> Self {
        findings.sort_by_key(|finding| (finding.place.line, finding.place.column));
        for finding in &mut findings {
            // It may quote the value.
            finding.problem = written::text(&finding.problem, Keep::Personal).into_owned();
        }
        // As many characters as before, for places are counted in them. Of line ends the renderer knows.
        let text = text.replace(|c| is_harmful(c) && c != '\r', "\u{fffd}");
        Self { path: path.to_owned(), text, findings, is_warning: false }
    }

    pub fn unreadable(path: &Path, why: String) -> Self {
        let finding = Finding { key: String::new(), problem: why, place: Place::default() };
        Self::new(path, "", vec![finding])
    }

    /// The same as warnings: the file can be used as it is.
    pub fn warning(self) -> Self {
        Self { is_warning: true, ..self }
    }

    pub fn and(mut self, other: Self) -> Self {
        self.findings.extend(other.findings);
        Self::new(&self.path, &self.text, self.findings)
    }

    /// One line per finding, for the log.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.findings.iter().map(|finding| {
            let mut line = self.path.display().to_string();
            if finding.place.is_known() {
                let _ = write!(line, ":{}:{}", finding.place.line, finding.place.column);
            }
            let _ = write!(line, ": {}", title(finding));
            line
        })
    }

    /// With the lines of the file that are meant, without secrets.
    pub fn render(&self, color: Color) -> String {
        let renderer = match color {
            Color::Yes => Renderer::styled(),
            Color::No => Renderer::plain(),
        };
        let path = self.path.display().to_string();
        let path = harmless_line(&path);
        let mut out = String::new();
        for finding in &self.findings {
            let title = title(finding);
            let title = harmless_line(&title);
            let level = if self.is_warning { Level::WARNING } else { Level::ERROR };
            let primary = level.primary_title(&*title);
            let group = match self.span(finding.place) {
                Some(span) => primary.element(
                    Snippet::source(self.text.as_str())
                        .path(&*path)
                        .annotation(AnnotationKind::Primary.span(span)),
                ),
                None => primary.element(annotate_snippets::Origin::path(&*path)),
            };
            // The line that is meant may hold a secret.
            out.push_str(&written::text(&renderer.render(&[group]), Keep::Personal));
            out.push_str("\n\n");
        }
        out
    }

    pub fn to_json(&self) -> serde_json::Value {
        let known = |finding: &Finding, number| finding.place.is_known().then_some(number);
        let findings = self.findings.iter().map(|finding| JsonFinding {
            file: &self.path,
            line: known(finding, finding.place.line),
            column: known(finding, finding.place.column),
            key: &finding.key,
            level: if self.is_warning { "warning" } else { "error" },
            problem: &finding.problem,
        });
        serde_json::json!(findings.collect::<Vec<_>>())
    }

    /// The word at a place, in bytes.
    fn span(&self, place: Place) -> Option<Range<usize>> {
        if !place.is_known() {
            return None;
        }
        let before: usize =
            self.text.split_inclusive('\n').take(place.line - 1).map(str::len).sum();
        let line = self.text.get(before..)?.lines().next()?;
        let start = line
            .char_indices()
            .nth(place.column.saturating_sub(1))
            .map_or(line.len(), |(at, _)| at);
        let word = line[start..].find([':', ',', '}', ']', ' ']).unwrap_or(line.len() - start);
        Some(before + start..before + start + word.max(usize::from(start < line.len())))
    }
}

fn title(finding: &Finding) -> String {
    match finding.key.as_str() {
        "" => finding.problem.clone(),
        key => format!("{key}: {}", finding.problem),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_shows_the_line_that_is_meant() {
        let place = Place { line: 3, column: 5 };
        let finding = Finding { key: "servers.x.ulr".into(), problem: "no such key".into(), place };
        let text = "servers:\n  x:\n    ulr: http://a/\n";
        let report = Report::new(Path::new("doorward.yaml"), text, vec![finding]);
        insta::assert_snapshot!(report.render(Color::No));
        assert_eq!(
            report.lines().collect::<Vec<_>>(),
            ["doorward.yaml:3:5: servers.x.ulr: no such key"]
        );
    }

    #[test]
    fn a_report_shows_no_secret() {
        let token = "ghp_Kd82jdkfiwo3lskdfjweoiru2938rjskdfhw";
        let place = Place { line: 2, column: 3 };
        let problem = format!("wrong type: string \"{token}\", expected a map");
        let finding = Finding { key: "servers.x".into(), problem, place };
        let text = format!("servers:\n  x: {token}\n");
        let report = Report::new(Path::new("doorward.yaml"), &text, vec![finding]);
        let all = report.render(Color::No) + &report.render(Color::Yes);
        let all = all + &report.to_json().to_string() + &report.lines().collect::<String>();
        assert!(all.contains("[SECRET]") && !all.contains("ghp_"), "{all}");
    }
}
