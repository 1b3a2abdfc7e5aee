//! Equal schemas, written once.

use std::collections::{HashMap, HashSet};

use super::DEFINITIONS;
use super::keywords::{inner, with_inner};
use crate::node::Node;

/// Shorter schemas are written out: a reference costs a model as many tokens.
const LEAST_BYTES: usize = 60;
/// About what the first definition costs beside its own text, in bytes.
const DEFINITION_BYTES: usize = 24;

/// Writes equal schemas once, as definitions of the root, if that makes the text shorter. Every reference must lead to a
/// whole definition or to the root.
pub(super) fn share(root: Node) -> Node {
    let container = match (root.get("$defs"), root.get("definitions")) {
        (Some(Node::Object(_)), _) | (None, None) => "$defs",
        (None, Some(Node::Object(_))) => "definitions",
        _ => return root,
    };
    let mut counts: HashMap<&Node, usize> = HashMap::new();
    for one in inner(&root) {
        count(one, &mut counts);
    }
    // By which definition a schema is known.
    let mut known: HashMap<&Node, String> = HashMap::new();
    let mut names: HashSet<&str> = HashSet::new();
    for container in DEFINITIONS {
        for (name, one) in root.get(container).map(Node::members).unwrap_or_default() {
            names.insert(name);
            let escaped = name.replace('~', "~0").replace('/', "~1");
            if is_plain(&escaped) {
                known.entry(one).or_insert_with(|| format!("#/{container}/{escaped}"));
            }
        }
    }
    let mut shared: HashMap<&Node, String> = HashMap::new();
    let mut added: Vec<(String, &Node)> = Vec::new();
    let mut number = 0;
    for one in in_order(&root) {
        let (Some(&count), false) = (counts.get(one), shared.contains_key(one)) else { continue };
        let length = one.length();
        if count < 2 || length < LEAST_BYTES || has_annotations_of_place(one) {
            continue;
        }
        if let Some(to) = known.get(one) {
            shared.insert(one, to.clone());
            continue;
        }
        let reference = reference(&format!("#/{container}/s{}", added.len() + 1)).length();
        if (count - 1) * length <= count * reference + DEFINITION_BYTES {
            continue;
        }
        let name = loop {
            number += 1;
            let name = format!("s{number}");
            if !names.contains(&*name) {
                break name;
            }
        };
        shared.insert(one, format!("#/{container}/{name}"));
        added.push((name, one));
    }
    let made = write(&root, container, &shared, &added);
    if made.length() < root.length() { made } else { root }
}

/// Counts how often each schema is written, if equal ones are written once.
fn count<'a>(schema: &'a Node, counts: &mut HashMap<&'a Node, usize>) {
    if !schema.is_object() {
        return;
    }
    let count = counts.entry(schema).or_default();
    *count += 1;
    if *count == 1 {
        for one in inner(schema) {
            self::count(one, counts);
        }
    }
}

/// All schemas within, each before those within it.
fn in_order(root: &Node) -> Vec<&Node> {
    let mut all = Vec::new();
    let mut open: Vec<&Node> = inner(root);
    open.reverse();
    while let Some(one) = open.pop() {
        if one.is_object() {
            all.push(one);
            open.extend(inner(one).into_iter().rev());
        }
    }
    all
}

/// Whether keywords of vendors say something of the place where a schema stands (`x-mcp-header`).
fn has_annotations_of_place(node: &Node) -> bool {
    match node {
        Node::Object(members) => {
            members.iter().any(|(name, of)| name.starts_with("x-") || has_annotations_of_place(of))
        }
        Node::Array(items) => items.iter().any(has_annotations_of_place),
        Node::Word(_) | Node::Text(_) => false,
    }
}

/// Whether a name needs no further encoding in a reference.
fn is_plain(name: &str) -> bool {
    name.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~'))
}

fn reference(to: &str) -> Node {
    Node::Object(vec![("$ref".into(), Node::text(to))])
}

fn write(
    root: &Node,
    container: &str,
    shared: &HashMap<&Node, String>,
    added: &[(String, &Node)],
) -> Node {
    fn replaced(one: &Node, shared: &HashMap<&Node, String>) -> Node {
        match shared.get(one) {
            Some(to) => reference(to),
            None => with_inner(one, &mut |inner| replaced(inner, shared)),
        }
    }
    let body = |one: &Node| with_inner(one, &mut |inner| replaced(inner, shared));
    let mut made = body(root);
    for own in DEFINITIONS {
        let Some(Node::Object(members)) = root.get(own) else { continue };
        let members = members.iter().map(|(name, one)| {
            let is_itself = shared.get(one).is_some_and(|to| {
                *to == format!("#/{own}/{}", name.replace('~', "~0").replace('/', "~1"))
            });
            (name.clone(), if is_itself { body(one) } else { replaced(one, shared) })
        });
        made.set(own, Node::Object(members.collect()));
    }
    if !added.is_empty() {
        if !made.has(container) {
            made.set(container, Node::Object(Vec::new()));
        }
        let definitions = made.get_mut(container);
        if let Some(Node::Object(members)) = definitions {
            members.extend(added.iter().map(|(name, one)| (name.clone(), body(one))));
        }
    }
    made
}
