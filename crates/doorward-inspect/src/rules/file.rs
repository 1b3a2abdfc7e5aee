//! The format of rule files.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A file of rules.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RuleFile {
    /// Words and phrases with a common meaning, by a name that sequences use. Written in any case; `word*` also matches
    /// words that begin with it. A later file adds words to a concept of an earlier one.
    pub concepts: BTreeMap<String, Vec<String>>,
    /// What is looked for. A signal with the id of an earlier one replaces it.
    pub signals: Vec<Signal>,
    /// Ids of signals that are turned off.
    pub off: Vec<String>,
    pub thresholds: Option<Thresholds>,
}

/// The score from which a text counts as suspicious, by subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    pub definition: u32,
    pub content: u32,
    pub request: u32,
}

/// One thing that is looked for, in any of several forms.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signal {
    pub id: String,
    /// What it adds to the score, once for a definition or text.
    pub weight: u32,
    /// What it means, in one sentence for people.
    pub explanation: String,
    /// Where it applies; default: everywhere.
    #[serde(default)]
    pub subjects: Vec<Subject>,
    /// For definitions, the fields that it applies to; default: all.
    #[serde(default)]
    pub fields: Vec<Field>,
    #[serde(default)]
    pub sequences: Vec<Sequence>,
    #[serde(default)]
    pub patterns: Vec<Pattern>,
    /// A check that is code, such as that for invisible characters.
    #[serde(default)]
    pub builtin: Option<Builtin>,
    #[serde(default)]
    pub examples: Examples,
}

/// Concepts that follow each other.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sequence {
    /// Names of concepts; `a|b` is either, `=word` the word itself, and a leading `^` means at the start of a sentence.
    pub steps: Vec<String>,
    /// Most bytes between two steps.
    #[serde(default = "default_gap")]
    pub gap: usize,
    /// The steps may be in different sentences.
    #[serde(default)]
    pub across: bool,
    /// Only behind the first sentence that has words: what a description says there is what a tool does.
    #[serde(default)]
    pub later: bool,
    /// The steps may be in any order. At most three steps.
    #[serde(default)]
    pub any_order: bool,
}

fn default_gap() -> usize {
    40
}

/// A regular expression that is searched around a literal.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pattern {
    /// Matched against folded text: lower case, single blanks, `_` and `-` as blanks.
    pub regex: String,
    /// At least one of them is in every match. Folded like the text.
    pub literals: Vec<String>,
    /// Bytes before and after the literal that are searched. At most 400 each.
    #[serde(default = "default_before")]
    pub before: usize,
    #[serde(default = "default_after")]
    pub after: usize,
}

fn default_before() -> usize {
    80
}

fn default_after() -> usize {
    160
}

/// Texts that test a signal.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Examples {
    pub hit: Vec<String>,
    pub miss: Vec<String>,
}

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// A definition of a tool, prompt or resource, or the instructions of a server.
    Definition,
    /// What a call returns: results, resources, prompts, errors, messages.
    Content,
    /// A question of a server to the user or the model: elicitation and sampling requests.
    Request,
}

/// The part of a definition that a text is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// The name of the tool.
    Name,
    /// The description of the tool, or the instructions of the server.
    Description,
    /// Titles, of the tool and in schemas.
    Title,
    /// The name of a parameter.
    Parameter,
    /// The description of a parameter, or another text of a schema.
    ParameterDescription,
    /// A text of the schema of what is returned. Signals for `parameter_description` apply, too.
    Output,
    /// `default`, `enum`, `const`, `examples`, `pattern`.
    Value,
    /// `$comment`, and members that no schema defines.
    Comment,
}

/// Checks that are code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Builtin {
    /// Zero-width and blank characters.
    Invisible,
    /// Bidirectional controls.
    Bidi,
    /// Tag characters.
    Tag,
    /// Control characters.
    Control,
    /// Variation selectors outside emoji.
    Selector,
    /// Terminal escapes.
    Ansi,
    /// Words with letters of two scripts, or spelled in a style.
    MixedScripts,
    /// An HTML comment with words.
    HtmlComment,
    /// base64 or hexadecimal that contains text, or letters written as escapes or entities.
    EncodedText,
    /// Other signals that are found only after letters were put in place.
    Disguised,
    /// Many blanks or line breaks before further text.
    FarPadding,
    /// The name of another server's tool.
    OtherTool,
    /// More words than texts of the field usually have: in a name eight, in a value five, in a comment six, in a title
    /// thirteen, or four and a full stop.
    Prose,
}
