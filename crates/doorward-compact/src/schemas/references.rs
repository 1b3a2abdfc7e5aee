//! What the references of a schema lead to.

use std::collections::{HashMap, HashSet};

use crate::node::Node;

/// Members of the root with definitions.
pub(crate) const DEFINITIONS: [&str; 2] = ["$defs", "definitions"];

/// What references there are, anywhere in the text: a value that only looks like one counts too.
#[derive(Debug, Default)]
pub(crate) struct References {
    /// Local references: what follows `#`.
    pub(crate) local: HashSet<String>,
    /// References by address, to other documents or to this one by its own.
    pub(crate) has_foreign: bool,
    /// The root says what its address is.
    pub(crate) has_address: bool,
    /// Names of places, base addresses, or dynamic references.
    pub(crate) has_named_places: bool,
}

impl References {
    pub(crate) fn of(root: &Node) -> Self {
        let mut found = Self::default();
        found.add(root, true);
        found
    }

    fn add(&mut self, node: &Node, is_root: bool) {
        match node {
            Node::Object(members) => {
                for (name, value) in members {
                    match (&**name, value) {
                        ("$ref", Node::Text(to)) => match to.strip_prefix('#') {
                            Some(place) => {
                                self.local.insert(place.to_owned());
                            }
                            None => self.has_foreign = true,
                        },
                        ("$id" | "id", Node::Text(_)) if is_root => self.has_address = true,
                        (
                            "$id" | "$anchor" | "$dynamicAnchor" | "$recursiveAnchor"
                            | "$dynamicRef" | "$recursiveRef",
                            Node::Text(_) | Node::Word(_),
                        ) => self.has_named_places = true,
                        ("id", Node::Text(id)) if id.contains(['#', '/']) => {
                            self.has_named_places = true;
                        }
                        _ => self.add(value, false),
                    }
                }
            }
            Node::Array(items) => items.iter().for_each(|item| self.add(item, false)),
            Node::Word(_) | Node::Text(_) => {}
        }
    }

    /// Whether some reference may lead to a place that its text does not say.
    pub(crate) fn have_unknown_places(&self) -> bool {
        let is_unknown = |to: &String| to.contains('%') || !to.is_empty() && !to.starts_with('/');
        self.has_named_places
            || self.has_foreign && self.has_address
            || self.local.iter().any(is_unknown)
    }

    /// Whether each reference leads to a definition of the root as a whole, to the root, or to another document.
    pub(crate) fn are_simple(&self) -> bool {
        !self.have_unknown_places() && self.local.iter().all(|to| is_simple(to))
    }
}

fn is_simple(to: &str) -> bool {
    to.is_empty() || definition(to).is_some_and(|(_, _, is_whole)| is_whole)
}

/// The definition that a local reference leads to or into: container, name, and whether it is all of it.
pub(crate) fn definition(to: &str) -> Option<(&'static str, String, bool)> {
    if to.contains('%') {
        return None;
    }
    let path = to.strip_prefix('/')?;
    let (container, path) = path.split_once('/')?;
    let container = DEFINITIONS.into_iter().find(|own| *own == container)?;
    let (name, is_whole) = match path.split_once('/') {
        Some((name, _)) => (name, false),
        None => (path, true),
    };
    Some((container, name.replace("~1", "/").replace("~0", "~"), is_whole))
}

/// Drops definitions that nothing refers to, if all references can be followed.
pub(crate) fn drop_unused(root: &mut Node) {
    let all = References::of(root);
    let is_known = |to: &String| {
        definition(to).is_some() || !to.starts_with("/$defs") && !to.starts_with("/definitions")
    };
    if all.have_unknown_places() || !all.local.iter().all(is_known) {
        return;
    }
    let mut found: HashSet<(&'static str, String)> = HashSet::new();
    let mut open: Vec<(&'static str, String)> = Vec::new();
    let mut follow = |node: &Node, open: &mut Vec<(&'static str, String)>| {
        for to in References::of(node).local {
            if let Some((container, name, _)) = definition(&to)
                && found.insert((container, name.clone()))
            {
                open.push((container, name));
            }
        }
    };
    for (name, value) in root.members() {
        match DEFINITIONS.contains(&&**name) && value.is_object() {
            true => {}
            false if name == "$ref" => {
                follow(&Node::Object(vec![(name.clone(), value.clone())]), &mut open);
            }
            false => follow(value, &mut open),
        }
    }
    let definitions: HashMap<(&str, &str), &Node> = DEFINITIONS
        .into_iter()
        .filter_map(|container| Some((container, root.get(container)?)))
        .flat_map(|(container, of)| {
            of.members().iter().map(move |(name, one)| ((container, &**name), one))
        })
        .collect();
    while let Some((container, name)) = open.pop() {
        if let Some(one) = definitions.get(&(container, &*name)) {
            follow(one, &mut open);
        }
    }
    for container in DEFINITIONS {
        let Some(Node::Object(members)) = root.get_mut(container) else { continue };
        members.retain(|(name, _)| found.contains(&(container, name.clone())));
        if members.is_empty() {
            root.remove(container);
        }
    }
}
