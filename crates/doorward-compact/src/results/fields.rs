//! Some fields of a document, and the others.

use crate::Path;
use crate::node::Node;
use crate::path::Step;

/// What to keep: whole values, or some of what is in them.
#[derive(Debug, Default)]
pub(super) struct Choice {
    is_whole: bool,
    names: Vec<(String, Choice)>,
    items: Option<Box<Choice>>,
}

impl Choice {
    pub(super) fn of(paths: &[Path]) -> Self {
        let mut choice = Self::default();
        for path in paths {
            choice.add(path.steps());
        }
        choice
    }

    fn add(&mut self, steps: &[Step]) {
        match steps {
            [] => self.is_whole = true,
            [Step::Items, rest @ ..] => self.items.get_or_insert_default().add(rest),
            [Step::Name(name), rest @ ..] => {
                let at = self.names.iter().position(|(own, _)| own == name);
                let at = at.unwrap_or_else(|| {
                    self.names.push((name.clone(), Self::default()));
                    self.names.len() - 1
                });
                self.names[at].1.add(rest);
            }
        }
    }
}

/// A document in two parts: what is chosen, and if there is more, the rest of it. Both have the same arrays; an item
/// without a rest is null in the rest. What has no fields, or is no array, where the choice expects it, is kept whole.
pub(super) fn split(node: Node, choice: &Choice, left_out: &mut usize) -> (Node, Option<Node>) {
    if choice.is_whole {
        return (node, None);
    }
    match (node, &choice.items) {
        (Node::Object(members), _) if !choice.names.is_empty() => {
            let (mut kept, mut rest) = (Vec::new(), Vec::new());
            for (name, value) in members {
                match choice.names.iter().find(|(own, _)| *own == name) {
                    Some((_, choice)) => {
                        let (own, others) = split(value, choice, left_out);
                        rest.extend(others.map(|others| (name.clone(), others)));
                        kept.push((name, own));
                    }
                    None => {
                        *left_out += 1;
                        rest.push((name, value));
                    }
                }
            }
            (Node::Object(kept), (!rest.is_empty()).then_some(Node::Object(rest)))
        }
        (Node::Array(items), Some(choice)) => {
            let mut has_rest = false;
            let (mut kept, mut rest) = (Vec::new(), Vec::new());
            for item in items {
                let (own, others) = split(item, choice, left_out);
                has_rest |= others.is_some();
                kept.push(own);
                rest.push(others.unwrap_or_else(|| Node::Word("null".to_owned())));
            }
            (Node::Array(kept), has_rest.then_some(Node::Array(rest)))
        }
        (other, _) => (other, None),
    }
}
