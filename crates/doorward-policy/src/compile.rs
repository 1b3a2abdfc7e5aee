//! Compiles texts to a set of policies, or to a list of problems; never to a part of the set.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cedar_policy::{Policy, PolicyId, PolicySet as Cedar, Schema, ValidationMode, Validator};
use miette::Diagnostic;

use crate::SCHEMA;
use crate::approval::Hold;
use crate::arguments::{self, Declared, Members, Unseen};
use crate::decide::{Deciding, Effect};
use crate::entities::Known;
use crate::findings::Finding;
use crate::looks::Looks;
use crate::slices::Slices;
use crate::warnings;

/// Annotations with a meaning here; others are preserved for readers.
const ID: &str = "id";
const REASON: &str = "reason";
const ARGUMENTS: &str = "arguments";

/// Compiled policies that match the schema.
#[derive(Debug)]
pub struct PolicySet {
    pub(crate) slices: Slices,
    pub(crate) known: Known,
    policies: BTreeMap<String, About>,
    arguments: BTreeSet<String>,
    looks: Looks,
    warnings: Vec<Finding>,
}

/// The metadata of a policy.
#[derive(Debug, Clone)]
pub struct About {
    pub file: String,
    pub line: usize,
    pub reason: Option<String>,
    pub text: String,
}

/// A policy, and the arguments that it uses.
#[derive(Debug, Clone)]
pub(crate) struct Compiled {
    pub policy: Policy,
    pub arguments: Members,
    pub deciding: Deciding,
    pub looks: Looks,
    /// The policy holds calls instead of denying them.
    pub hold: Option<Hold>,
}

impl PolicySet {
    /// Compiles files, given as names and texts.
    pub fn compile(files: &BTreeMap<String, String>) -> Result<Self, Vec<Finding>> {
        let mut findings = Vec::new();
        let mut compiled: Vec<Compiled> = Vec::new();
        let mut about: BTreeMap<String, About> = BTreeMap::new();
        for (file, text) in files {
            match text.parse::<Cedar>() {
                Ok(parsed) => read(file, text, &parsed, &mut compiled, &mut about, &mut findings),
                Err(errors) => findings.extend(
                    errors.iter().map(|it| Finding::at(file, text, offset(it), problem(it))),
                ),
            }
        }
        let mut declared = Members::new();
        for one in &compiled {
            if let Err(name) = arguments::join(&mut declared, &one.arguments) {
                let about = &about[one.policy.id().to_string().as_str()];
                let why = format!("the argument '{name}' has another type in another policy");
                findings.push(Finding::new(&about.file, about.line, why));
            }
        }
        let schema = SCHEMA.replace("/*arguments*/", &Declared(&declared).to_string());
        if findings.is_empty() {
            findings.extend(validate(&schema, files, &compiled, &about));
        }
        if !findings.is_empty() {
            findings.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
            return Err(findings);
        }
        Ok(Self {
            warnings: warnings::of(&compiled, &about),
            looks: compiled.iter().map(|one| one.looks).fold(Looks::default(), Looks::and),
            slices: Slices::new(compiled),
            known: Known::default(),
            policies: about,
            arguments: declared.into_keys().collect(),
        })
    }

    /// Warnings: permitted, but probably not intended.
    pub fn warnings(&self) -> &[Finding] {
        &self.warnings
    }

    /// The number of policies.
    pub fn len(&self) -> usize {
        self.policies.len()
    }

    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// The policies by id.
    pub fn policies(&self) -> impl Iterator<Item = (&str, &About)> {
        self.policies.iter().map(|(id, about)| (id.as_str(), about))
    }

    pub fn policy(&self, id: &str) -> Option<&About> {
        self.policies.get(id)
    }

    /// Names of the arguments that any policy uses.
    pub fn arguments(&self) -> &BTreeSet<String> {
        &self.arguments
    }

    /// The context attributes that the policies use: no others affect a decision.
    pub fn looks(&self) -> Looks {
        self.looks
    }
}

/// Adds the policies of one file.
fn read(
    file: &str,
    text: &str,
    parsed: &Cedar,
    compiled: &mut Vec<Compiled>,
    about: &mut BTreeMap<String, About>,
    findings: &mut Vec<Finding>,
) {
    if parsed.templates().next().is_some() {
        findings.push(Finding::new(file, 0, "templates (?principal, ?resource) are not supported"));
    }
    let lines = lines(text, parsed);
    let mut policies: Vec<&Policy> = parsed.policies().collect();
    policies.sort_by_key(|policy| lines.get(policy.id()).copied().unwrap_or(0));
    for (number, policy) in policies.into_iter().enumerate() {
        let line = lines.get(policy.id()).copied().unwrap_or(0);
        let id = policy.annotation(ID).filter(|id| !id.is_empty());
        let id = id.map_or_else(|| format!("{file}#{}", number + 1), str::to_owned);
        let arguments = match policy.annotation(ARGUMENTS).map(arguments::read) {
            None => Members::new(),
            Some(Ok(arguments)) => arguments,
            Some(Err(why)) => {
                findings.push(Finding::new(file, line, format!("@arguments of '{id}': {why}")));
                continue;
            }
        };
        if let Some(other) = about.get(&id) {
            let why = format!("the ID '{id}' is also used in {}:{}", other.file, other.line);
            findings.push(Finding::new(file, line, why));
            continue;
        }
        // An argument that is not declared is never there, and a rule about it would never hold.
        if let Err(unseen) = arguments::check_looks(policy, &arguments) {
            let why = match unseen {
                Unseen::Undeclared(name) => format!(
                    "'{id}' uses the argument '{name}' without declaring it: add \
                        @arguments(\"{name}?: …\")"
                ),
                Unseen::Whole(what) => format!(
                    "'{id}' uses '{what}' as a whole, so the arguments that it uses are unknown: \
                        name them, such as context.arguments.amount"
                ),
            };
            findings.push(Finding::new(file, line, why));
            continue;
        }
        let effect = match policy.effect() {
            cedar_policy::Effect::Permit => Effect::Permit,
            cedar_policy::Effect::Forbid => Effect::Forbid,
        };
        let hold = match Hold::of(policy, &id) {
            Ok(hold) => hold,
            Err(why) => {
                findings.push(Finding::new(file, line, why));
                continue;
            }
        };
        let reason = policy.annotation(REASON).filter(|text| !text.is_empty());
        let reason = reason.map(str::to_owned);
        let text = policy.to_string();
        let looks = Looks::of(policy);
        let deciding = Deciding { id: id.clone(), effect, reason: reason.clone() };
        let policy = policy.new_id(PolicyId::new(id.clone()));
        compiled.push(Compiled { policy, arguments, deciding, looks, hold });
        about.insert(id, About { file: file.into(), line, reason, text });
    }
}

/// The line in which each policy begins. The parser numbers policies in their order.
fn lines(text: &str, parsed: &Cedar) -> HashMap<PolicyId, usize> {
    let mut numbered: Vec<(usize, PolicyId)> = parsed
        .policies()
        .map(|policy| {
            let digits = policy.id().to_string();
            let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
            (digits.parse().unwrap_or(0), policy.id().clone())
        })
        .collect();
    numbered.sort_by_key(|(number, _)| *number);
    numbered.into_iter().map(|(_, id)| id).zip(beginnings(text)).collect()
}

/// The lines in which statements begin: the first that is neither blank nor comment after a
/// semicolon that stands outside texts and comments.
fn beginnings(text: &str) -> Vec<usize> {
    let (mut lines, mut line, mut fresh) = (Vec::new(), 1, true);
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\n' => line += 1,
            '/' if characters.peek() == Some(&'/') => {
                while characters.next_if(|c| *c != '\n').is_some() {}
            }
            '"' => {
                while let Some(c) = characters.next() {
                    match c {
                        '\\' => drop(characters.next()),
                        '\n' => line += 1,
                        '"' => break,
                        _ => {}
                    }
                }
            }
            ';' => fresh = true,
            c if fresh && !c.is_whitespace() => {
                fresh = false;
                lines.push(line);
            }
            _ => {}
        }
    }
    lines
}

/// Where an error points to.
fn offset(error: &dyn Diagnostic) -> usize {
    error.labels().and_then(|mut labels| labels.next()).map_or(0, |label| label.offset())
}

/// An error with the parser's advice.
fn problem(error: &dyn Diagnostic) -> String {
    match error.help() {
        Some(help) => format!("{error} ({help})"),
        None => error.to_string(),
    }
}

fn validate(
    schema: &str,
    files: &BTreeMap<String, String>,
    compiled: &[Compiled],
    about: &BTreeMap<String, About>,
) -> Vec<Finding> {
    let schema = match Schema::from_cedarschema_str(schema) {
        Ok((schema, _)) => schema,
        Err(error) => return vec![Finding::new("schema", 0, error.to_string())],
    };
    let mut all = Cedar::new();
    for one in compiled {
        if let Err(error) = all.add(one.policy.clone()) {
            return vec![Finding::new("policies", 0, error.to_string())];
        }
    }
    let result = Validator::new(schema).validate(&all, ValidationMode::Strict);
    let findings = result.validation_errors().map(|error| {
        let id = error.policy_id().to_string();
        let problem = problem(error);
        match about.get(&id) {
            Some(about) => match (offset(error), files.get(&about.file)) {
                (0, _) | (_, None) => Finding::new(&about.file, about.line, problem),
                (offset, Some(text)) => Finding::at(&about.file, text, offset, problem),
            },
            None => Finding::new("policies", 0, problem),
        }
    });
    findings.collect()
}
