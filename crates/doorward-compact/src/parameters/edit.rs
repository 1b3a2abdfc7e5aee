//! The input schema by one rule.

use super::fits::fits;
use super::names::is_alike;
use super::open::open;
use super::plan::require;
use super::{Action, MOST_BYTES};
use crate::node::Node;
use crate::path::{Step, push};

/// Keywords by which something else than `properties` decides about members of an object.
const COMPOSED: &[&str] = &[
    "$ref",
    "$dynamicRef",
    "$recursiveRef",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "enum",
    "const",
    "patternProperties",
    "propertyNames",
    "unevaluatedProperties",
    "dependentRequired",
    "dependentSchemas",
    "dependencies",
    "minProperties",
    "maxProperties",
    "prefixItems",
    "additionalItems",
    "unevaluatedItems",
    "contains",
];
/// Keywords that are passed on whatever they mention.
const PASSED: &[&str] = &[
    "type",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "title",
    "description",
    "$defs",
    "definitions",
    "$schema",
    "$id",
    "$comment",
];
/// Annotations with values, which may contain what is fixed or hidden.
const WITH_VALUES: &[&str] = &["default", "examples", "example"];

/// What a local reference leads to.
pub(super) fn resolve<'a>(root: &'a Node, reference: &str) -> Option<&'a Node> {
    let path = reference.strip_prefix('#')?;
    if path.is_empty() {
        return Some(root);
    }
    let mut at = root;
    for part in path.strip_prefix('/')?.split('/') {
        at = match at {
            Node::Object(_) => at.get(&part.replace("~1", "/").replace("~0", "~"))?,
            Node::Array(items) => items.get(part.parse::<usize>().ok()?)?,
            Node::Word(_) | Node::Text(_) => return None,
        };
    }
    Some(at)
}

/// Changes of a schema. References are followed in the schema as it was.
pub(super) struct Edit<'a> {
    root: &'a Node,
    has_copied: bool,
    /// How many bytes of definitions may still be written out.
    left: usize,
}

/// One rule on its way.
struct Way<'r> {
    steps: &'r [Step],
    action: &'r Action,
    value: Option<&'r Node>,
}

impl Way<'_> {
    /// What stands before a step, for a message.
    fn before(&self, at: usize) -> String {
        let mut text = String::new();
        for step in &self.steps[..at] {
            push(&mut text, step);
        }
        if text.is_empty() { "the schema".to_owned() } else { format!("'{text}'") }
    }

    fn is_closed(&self) -> bool {
        self.action.is_closed()
    }

    fn is_description(&self) -> bool {
        matches!(self.action, Action::Describe(_))
    }
}

impl<'a> Edit<'a> {
    pub(super) fn new(root: &'a Node) -> Self {
        Self { root, has_copied: false, left: MOST_BYTES }
    }

    /// Whether definitions were written out, so that they may be unused now.
    pub(super) fn has_copied(&self) -> bool {
        self.has_copied
    }

    pub(super) fn apply(
        &mut self,
        schema: &mut Node,
        steps: &[Step],
        action: &Action,
        value: Option<&Node>,
    ) -> Result<(), String> {
        self.walk(schema, &Way { steps, action, value }, 0)
    }

    fn walk(&mut self, schema: &mut Node, way: &Way<'_>, at: usize) -> Result<(), String> {
        let Some(step) = way.steps.get(at) else { return describe(schema, way) };
        let (left, has_copied) = (&mut self.left, &mut self.has_copied);
        open(schema, self.root, |copied| {
            *has_copied = true;
            *left = left
                .checked_sub(copied.length())
                .ok_or("more than 1 MiB of definitions would have to be written out")?;
            Ok(())
        })?;
        if !way.is_description() {
            plain(schema, way, at)?;
            narrow(schema, way, at)?;
        }
        if way.is_closed() {
            forget(schema, way);
        }
        let missing = || format!("the tool has no such parameter: {} has no ", way.before(at));
        match step {
            Step::Items => match schema.get_mut("items") {
                Some(items @ (Node::Object(_) | Node::Word(_))) => self.walk(items, way, at + 1),
                _ => Err(missing() + "'items'"),
            },
            Step::Name(name) => {
                let known = schema.get("properties").map(Node::members).unwrap_or_default();
                if !known.iter().any(|(own, _)| own == name) {
                    return Err(missing() + &format!("property '{name}'"));
                }
                let alike = known
                    .iter()
                    .find(|(own, _)| own != name && is_alike(own.as_bytes(), name.as_bytes()));
                if let (true, Some((alike, _))) = (way.is_closed(), alike) {
                    return Err(format!(
                        "{} has '{alike}' too, which a server may read as the same name",
                        way.before(at)
                    ));
                }
                if at + 1 == way.steps.len() {
                    return self.leaf(schema, way, name);
                }
                match schema.get_mut("properties").and_then(|of| of.get_mut(name)) {
                    Some(inner) => self.walk(inner, way, at + 1),
                    None => Err(missing() + &format!("property '{name}'")),
                }
            }
        }
    }

    /// The parameter itself.
    fn leaf(&self, schema: &mut Node, way: &Way<'_>, name: &str) -> Result<(), String> {
        let names = schema.get("required").map(Node::items).unwrap_or_default();
        let is_required = names.iter().any(|own| own.as_text() == Some(name));
        let Some(properties) = schema.get_mut("properties") else { return Ok(()) };
        let Some(parameter) = properties.get_mut(name) else { return Ok(()) };
        if let Some(value) = way.value {
            fits(self.root, parameter, value)
                .map_err(|why| format!("its value is not valid: {why}"))?;
        }
        match way.action {
            Action::Describe(_) => return describe(parameter, way),
            Action::Hide if is_required => {
                return Err("it is required, so it can be fixed but not hidden".to_owned());
            }
            Action::Fix(_) | Action::Hide => {
                properties.remove(name);
            }
            Action::Default(_) => {
                annotate(parameter, "default", way.value.cloned())?;
            }
        }
        require(schema, name, false);
        Ok(())
    }
}

fn describe(schema: &mut Node, way: &Way<'_>) -> Result<(), String> {
    match way.action {
        Action::Describe(text) => annotate(schema, "description", Some(Node::text(text))),
        _ => Err("items of an array cannot be set or hidden".to_owned()),
    }
}

fn annotate(schema: &mut Node, keyword: &str, value: Option<Node>) -> Result<(), String> {
    let Some(value) = value else { return Ok(()) };
    if schema.is_word("true") {
        *schema = Node::Object(Vec::new());
    }
    if !schema.is_object() {
        return Err("its schema accepts nothing".to_owned());
    }
    schema.set(keyword, value);
    Ok(())
}

/// Refuses a schema in which something else than `properties` and `items` decides what is around the parameter.
fn plain(schema: &Node, way: &Way<'_>, at: usize) -> Result<(), String> {
    for (keyword, value) in schema.members() {
        let is_harmless = keyword == "unevaluatedProperties" && matches!(value, Node::Word(_));
        let is_unique = keyword == "uniqueItems"
            && value.is_word("true")
            && matches!(way.action, Action::Default(_));
        if COMPOSED.contains(&&**keyword) && !is_harmless || is_unique {
            return Err(format!(
                "{} has '{keyword}', with which the rule has no certain meaning",
                way.before(at)
            ));
        }
    }
    if let Some(names) = schema.get("required")
        && !matches!(names, Node::Array(_))
    {
        return Err(format!("{} has a 'required' that is no list", way.before(at)));
    }
    Ok(())
}

/// Leaves of the types what the way leads through: nothing else may be sent around what is fixed or hidden.
fn narrow(schema: &mut Node, way: &Way<'_>, at: usize) -> Result<(), String> {
    let kind = if way.steps[at] == Step::Items { "array" } else { "object" };
    let is_fixed = matches!(way.action, Action::Fix(_)) && !way.steps[at..].contains(&Step::Items);
    let keeps_null = at > 0 && !is_fixed;
    let kinds: Vec<&str> = match schema.get("type") {
        None => vec![kind],
        Some(Node::Text(own)) => vec![own],
        Some(Node::Array(all)) => all.iter().filter_map(Node::as_text).collect(),
        Some(_) => Vec::new(),
    };
    if !schema.is_object() || !kinds.contains(&kind) {
        return Err(format!("the tool has no such parameter: {} is no {kind}", way.before(at)));
    }
    if way.is_closed() {
        let has_null = keeps_null && kinds.contains(&"null");
        let kinds = match has_null {
            true => Node::Array(vec![Node::text(kind), Node::text("null")]),
            false => Node::text(kind),
        };
        schema.set("type", kinds);
    }
    Ok(())
}

/// Drops what could contain a parameter that is fixed or hidden: examples and defaults of what is around it, and what
/// keywords of vendors say of it.
fn forget(schema: &mut Node, way: &Way<'_>) {
    let Some(Step::Name(name)) = way.steps.last() else { return };
    if let Node::Object(members) = schema {
        members.retain(|(keyword, value)| {
            !WITH_VALUES.contains(&&**keyword)
                && (PASSED.contains(&&**keyword) || !mentions(value, name))
        });
    }
}

fn mentions(node: &Node, name: &str) -> bool {
    match node {
        Node::Word(_) => false,
        Node::Text(text) => text == name,
        Node::Array(items) => items.iter().any(|item| mentions(item, name)),
        Node::Object(members) => {
            members.iter().any(|(own, value)| own == name || mentions(value, name))
        }
    }
}
