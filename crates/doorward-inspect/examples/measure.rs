//! Runs the scanner or the detectors over a set and prints one JSON line for each item, then the time.
//!
//! `measure definitions|content|values|redact|written FILE [RULES…]` reads JSON lines: definitions as they are, `{"text": …}` for content and
//! values; `redact` prints the lines with all values masked, and `written` cleans each text as a line of the log. `tests/detection/run.py` makes the figures of `docs/detection.md` of it.

use std::time::Instant;

use doorward_inspect::detect::{Context, DetectorFile};
use doorward_inspect::{
    Action, Budget, Detectors, Plan, Redactor, RuleFile, Rules, Scanner, Subject,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let kind = arguments.next().ok_or("definitions, content or values?")?;
    let lines = std::fs::read_to_string(arguments.next().ok_or("which file?")?)?;
    let files = arguments.map(std::fs::read_to_string).collect::<Result<Vec<_>, _>>()?;
    let mut times = Vec::new();
    if kind == "redact" {
        let detectors = Detectors::with(&[])?;
        let plan = Plan::all(Action::Mask);
        let redactor = Redactor::new(&detectors, &plan, None);
        for line in lines.lines() {
            let start = Instant::now();
            let redacted = redactor.json(line, &mut Budget::default())?;
            times.push((start.elapsed(), line.len()));
            println!("{}", redacted.text.as_deref().unwrap_or(line));
        }
    } else if kind == "written" {
        for line in lines.lines() {
            let item: serde_json::Value = serde_json::from_str(line)?;
            let text = item["text"].as_str().unwrap_or_default();
            let start = Instant::now();
            let clean =
                doorward_inspect::written::text(text, doorward_inspect::written::Keep::Addresses);
            times.push((start.elapsed(), text.len()));
            println!("{clean}");
        }
    } else if kind == "values" {
        let files =
            files.iter().map(|file| DetectorFile::parse(file)).collect::<Result<Vec<_>, _>>()?;
        let detectors = Detectors::with(&files)?;
        for line in lines.lines() {
            let item: serde_json::Value = serde_json::from_str(line)?;
            let (text, member) =
                (item["text"].as_str().unwrap_or_default(), item["member"].as_str());
            let start = Instant::now();
            let found = detectors.find(text, Context { member }, &mut Budget::default());
            times.push((start.elapsed(), text.len()));
            let found: Vec<_> = found
                .iter()
                .map(|found| {
                    (
                        detectors.id(found.detector),
                        detectors.class(found.detector),
                        &text[found.range.clone()],
                    )
                })
                .collect();
            println!("{}", serde_json::json!({ "found": found }));
        }
    } else {
        let files =
            files.iter().map(|file| RuleFile::parse(file)).collect::<Result<Vec<_>, _>>()?;
        let scanner = Scanner::new(Rules::with(&files)?);
        for line in lines.lines() {
            let mut budget = Budget::default();
            let start;
            let report = if kind == "definitions" {
                start = Instant::now();
                scanner.definition(line, None, &mut budget)?
            } else {
                let item: serde_json::Value = serde_json::from_str(line)?;
                start = Instant::now();
                scanner.text(
                    item["text"].as_str().unwrap_or_default(),
                    Subject::Content,
                    &mut budget,
                )
            };
            times.push((start.elapsed(), line.len()));
            let found: Vec<_> = report
                .findings
                .iter()
                .map(|finding| (&finding.signal, &finding.excerpt, &finding.place.pointer))
                .collect();
            println!(
                "{}",
                serde_json::json!({ "score": report.score, "hit": report.is_suspicious(), "found": found })
            );
        }
    }
    times.sort();
    let at = |share: usize| {
        times.get(times.len() * share / 100).map_or(0.0, |(time, _)| time.as_secs_f64() * 1e6)
    };
    let bytes: usize = times.iter().map(|(_, bytes)| bytes).sum();
    let total: f64 = times.iter().map(|(time, _)| time.as_secs_f64() * 1e6).sum();
    eprintln!(
        "{} items, {:.0} bytes each; median {:.1} µs, 90% {:.1} µs, 99% {:.1} µs; {:.1} µs a KB",
        times.len(),
        bytes as f64 / times.len().max(1) as f64,
        at(50),
        at(90),
        at(99),
        total * 1024.0 / bytes.max(1) as f64
    );
    Ok(())
}
