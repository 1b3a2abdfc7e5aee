//! Compiled rules: one automaton for all words and literals, and what each of them continues.

use std::collections::{BTreeMap, HashMap};

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use regex_automata::meta::Regex;
use regex_automata::util::syntax;

use super::file::{Builtin, RuleFile, Sequence, Signal, Thresholds};
use crate::text::fold_word;
use crate::yaml::{self, BadFile};

/// The ready-made rules, in order.
const READY_MADE: [&str; 7] = [
    include_str!("../../rules/concepts.yaml"),
    include_str!("../../rules/concepts-intent.yaml"),
    include_str!("../../rules/definitions.yaml"),
    include_str!("../../rules/intent.yaml"),
    include_str!("../../rules/commands.yaml"),
    include_str!("../../rules/content.yaml"),
    include_str!("../../rules/characters.yaml"),
];

/// Most compiled size of a regular expression, in bytes.
const REGEX_SIZE: usize = 1 << 20;

/// A rule set is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRule {
    #[error("the rule file is not valid: {0}")]
    Format(BadFile),
    #[error("signal {id}: {why}")]
    Signal { id: String, why: String },
}

/// A compiled rule set.
#[derive(Debug)]
pub struct Rules {
    pub(crate) compiled: Compiled,
}

#[derive(Debug)]
pub(crate) struct Compiled {
    pub signals: Vec<Signal>,
    pub thresholds: Thresholds,
    /// Over folded text; matches overlap.
    pub automaton: AhoCorasick,
    /// By pattern of the automaton.
    pub words: Vec<Word>,
    /// By concept: the chains that it takes part in, and as which step, last step first.
    pub by_concept: Vec<Vec<(usize, usize)>>,
    pub chains: Vec<Chain>,
    pub regexes: Vec<Trigger>,
    pub builtins: HashMap<Builtin, Vec<usize>>,
    /// The concept of words that may precede a command.
    pub lead: Option<usize>,
    /// The concepts of frequent words: plain, rotated, reversed.
    pub common: [Option<usize>; 3],
}

/// A word of the automaton.
#[derive(Debug, Default)]
pub(crate) struct Word {
    pub concepts: Vec<usize>,
    pub regexes: Vec<usize>,
    /// Words that begin with it match, too.
    pub is_prefix: bool,
}

/// A sequence of concepts.
#[derive(Debug)]
pub(crate) struct Chain {
    pub signal: usize,
    pub length: usize,
    pub gap: usize,
    pub across: bool,
    /// Not in the first sentence.
    pub later: bool,
    /// The steps that have to be at the start of a sentence.
    pub leading: Vec<bool>,
}

/// A regular expression around a literal.
#[derive(Debug)]
pub(crate) struct Trigger {
    pub signal: usize,
    pub regex: Regex,
    pub before: usize,
    pub after: usize,
}

impl RuleFile {
    /// Parses a rule file (YAML).
    pub fn parse(yaml: &str) -> Result<Self, BadRule> {
        yaml::parse(yaml).map_err(BadRule::Format)
    }
}

impl Rules {
    /// The ready-made rules alone.
    pub fn ready_made() -> Result<Self, BadRule> {
        Self::with(&[])
    }

    /// The ready-made rules with files of the operator, which are applied in order.
    pub fn with(files: &[RuleFile]) -> Result<Self, BadRule> {
        let ready = READY_MADE.into_iter().map(RuleFile::parse).collect::<Result<Vec<_>, _>>()?;
        Self::only(&[&ready, files].concat())
    }

    /// These files alone, without the ready-made rules.
    pub fn only(files: &[RuleFile]) -> Result<Self, BadRule> {
        let mut concepts: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut signals: Vec<Signal> = Vec::new();
        let mut thresholds = Thresholds { definition: 100, content: 100, request: 100 };
        for file in files {
            for (name, words) in &file.concepts {
                concepts.entry(name.clone()).or_default().extend(words.iter().cloned());
            }
            for signal in &file.signals {
                match signals.iter_mut().find(|other| other.id == signal.id) {
                    Some(other) => other.clone_from(signal),
                    None => signals.push(signal.clone()),
                }
            }
            thresholds = file.thresholds.unwrap_or(thresholds);
        }
        for id in files.iter().flat_map(|file| &file.off) {
            if !signals.iter().any(|signal| signal.id == *id) {
                return Err(BadRule::Signal {
                    id: id.clone(),
                    why: "there is no such signal to turn off".into(),
                });
            }
        }
        signals.retain(|signal| !files.iter().any(|file| file.off.contains(&signal.id)));
        let compiled = Compiler::new(concepts).compile(signals, thresholds)?;
        Ok(Self { compiled })
    }

    /// The signals of the set: id, weight, explanation, examples.
    pub fn signals(&self) -> &[Signal] {
        &self.compiled.signals
    }

    /// The scores from which texts are suspicious.
    pub fn thresholds(&self) -> Thresholds {
        self.compiled.thresholds
    }
}

struct Compiler {
    concepts: BTreeMap<String, Vec<String>>,
    ids: HashMap<String, usize>,
    words: HashMap<(String, bool), Word>,
    chains: Vec<Chain>,
    by_concept: Vec<Vec<(usize, usize)>>,
}

impl Compiler {
    fn new(concepts: BTreeMap<String, Vec<String>>) -> Self {
        Self {
            concepts,
            ids: HashMap::new(),
            words: HashMap::new(),
            chains: Vec::new(),
            by_concept: Vec::new(),
        }
    }

    fn compile(
        mut self,
        signals: Vec<Signal>,
        thresholds: Thresholds,
    ) -> Result<Compiled, BadRule> {
        let mut regexes = Vec::new();
        let mut builtins: HashMap<Builtin, Vec<usize>> = HashMap::new();
        for (at, signal) in signals.iter().enumerate() {
            let bad = |why: String| BadRule::Signal { id: signal.id.clone(), why };
            if let Some(builtin) = signal.builtin {
                builtins.entry(builtin).or_default().push(at);
            }
            if signal.builtin.is_none() && signal.sequences.is_empty() && signal.patterns.is_empty()
            {
                return Err(bad("it has neither sequences nor patterns".into()));
            }
            for sequence in &signal.sequences {
                for steps in orders(&sequence.steps, sequence.any_order).map_err(&bad)? {
                    self.chain(at, &steps, sequence).map_err(&bad)?;
                }
            }
            for pattern in &signal.patterns {
                let literals: Vec<String> =
                    pattern.literals.iter().map(|literal| fold_word(literal)).collect();
                if literals.is_empty() || literals.iter().any(|literal| literal.len() < 2) {
                    return Err(bad("a pattern needs literals of two characters or more".into()));
                }
                if pattern.before > 400 || pattern.after > 400 {
                    return Err(bad(
                        "a pattern reaches at most 400 bytes before and after its literal".into(),
                    ));
                }
                let regex = compile(&pattern.regex).map_err(&bad)?;
                for literal in literals {
                    self.words.entry((literal, true)).or_default().regexes.push(regexes.len());
                }
                regexes.push(Trigger {
                    signal: at,
                    regex,
                    before: pattern.before,
                    after: pattern.after,
                });
            }
        }
        for steps in &mut self.by_concept {
            steps.sort_by_key(|(chain, step)| (*chain, std::cmp::Reverse(*step)));
        }
        let lead = self.concept("lead").ok();
        let common = ["common_plain", "common_rotated", "common_reversed"]
            .map(|name| self.concept(name).ok());
        let mut patterns = Vec::with_capacity(self.words.len());
        let mut words = Vec::with_capacity(self.words.len());
        let mut all: Vec<_> = self.words.into_iter().collect();
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        for ((text, is_prefix), word) in all {
            patterns.push(text);
            words.push(Word { is_prefix, ..word });
        }
        let automaton = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::DFA))
            .build(&patterns)
            .map_err(|error| BadRule::Format(BadFile::whole(&error)))?;
        Ok(Compiled {
            signals,
            thresholds,
            automaton,
            words,
            by_concept: self.by_concept,
            chains: self.chains,
            regexes,
            builtins,
            lead,
            common,
        })
    }

    fn chain(
        &mut self,
        signal: usize,
        steps: &[String],
        sequence: &Sequence,
    ) -> Result<(), String> {
        let Sequence { gap, across, later, .. } = *sequence;
        if steps.is_empty() || steps.len() > 6 || gap > 400 {
            return Err("a sequence has one to six steps, and gaps of at most 400 bytes".into());
        }
        let chain = self.chains.len();
        let mut leading = Vec::new();
        for (step, names) in steps.iter().enumerate() {
            let names =
                names.strip_prefix('^').inspect(|_| leading.push(true)).unwrap_or_else(|| {
                    leading.push(false);
                    names
                });
            for name in names.split('|') {
                let concept = self.concept(name)?;
                self.by_concept[concept].push((chain, step));
            }
        }
        self.chains.push(Chain { signal, length: steps.len(), gap, across, later, leading });
        Ok(())
    }

    /// The number of a concept. Its words are added to the automaton when it is first used.
    fn concept(&mut self, name: &str) -> Result<usize, String> {
        if let Some(id) = self.ids.get(name) {
            return Ok(*id);
        }
        let words = match name.strip_prefix('=') {
            Some(word) => vec![word.to_owned()],
            None => {
                self.concepts.get(name).cloned().ok_or(format!("there is no concept {name}"))?
            }
        };
        let id = self.by_concept.len();
        self.by_concept.push(Vec::new());
        self.ids.insert(name.to_owned(), id);
        for word in words {
            let (word, is_prefix) =
                word.strip_suffix('*').map_or((&*word, false), |word| (word, true));
            let folded = fold_word(word);
            if folded.is_empty() {
                return Err(format!("{name} has an empty word"));
            }
            let concepts = &mut self.words.entry((folded, is_prefix)).or_default().concepts;
            if !concepts.contains(&id) {
                concepts.push(id);
            }
        }
        Ok(id)
    }
}

/// The orders in which steps may stand.
fn orders(steps: &[String], any: bool) -> Result<Vec<Vec<String>>, String> {
    match steps {
        steps if !any => Ok(vec![steps.to_vec()]),
        [a, b] => Ok([[a, b], [b, a]].map(|order| order.map(String::clone).to_vec()).to_vec()),
        [a, b, c] => Ok([[a, b, c], [a, c, b], [b, a, c], [b, c, a], [c, a, b], [c, b, a]]
            .map(|order| order.map(String::clone).to_vec())
            .to_vec()),
        _ => Err("any_order needs two or three steps".into()),
    }
}

fn compile(regex: &str) -> Result<Regex, String> {
    Regex::builder()
        .configure(
            Regex::config().nfa_size_limit(Some(REGEX_SIZE)).hybrid_cache_capacity(REGEX_SIZE),
        )
        .syntax(syntax::Config::new().unicode(false).utf8(false))
        .build(regex)
        .map_err(|error| format!("the regular expression {regex}: {error}"))
}
