//! What is done with arguments, by the structure of the schema.

use super::Action;
use crate::node::Node;
use crate::path::Step;

/// What is done with an object.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    /// By name of the member.
    pub(super) members: Vec<(String, Act)>,
}

/// What is done with a member. Values are JSON texts.
#[derive(Debug, Clone)]
pub(super) enum Act {
    Fix(String),
    Hide,
    Default(String),
    Within {
        shape: Shape,
        /// Create the object where it is absent.
        is_created: bool,
    },
}

#[derive(Debug, Clone)]
pub(super) enum Shape {
    Object(Plan),
    /// An array, each item of this shape.
    Array(Box<Shape>),
}

impl Plan {
    /// Adds a rule that was checked.
    pub(super) fn add(&mut self, steps: &[Step], action: &Action, value: Option<&Node>) {
        let [Step::Name(name), rest @ ..] = steps else { return };
        if matches!(action, Action::Describe(_)) {
            return;
        }
        let written = || value.map(Node::to_string).unwrap_or_default();
        if rest.is_empty() {
            let act = match action {
                Action::Fix(_) => Act::Fix(written()),
                Action::Hide => Act::Hide,
                Action::Default(_) => Act::Default(written()),
                Action::Describe(_) => return,
            };
            self.members.push((name.clone(), act));
            return;
        }
        let found = self.members.iter().position(|(own, _)| own == name);
        let at = found.unwrap_or_else(|| {
            let act = Act::Within { shape: Shape::of(rest), is_created: false };
            self.members.push((name.clone(), act));
            self.members.len() - 1
        });
        if let Act::Within { shape, .. } = &mut self.members[at].1 {
            shape.add(rest, action, value);
        }
    }

    /// Whether something is fixed that must be set although the caller leaves all of it out.
    pub(super) fn has_fixed(&self) -> bool {
        self.members.iter().any(|(_, act)| match act {
            Act::Fix(_) => true,
            Act::Hide | Act::Default(_) => false,
            Act::Within { shape, .. } => shape.has_fixed(),
        })
    }

    /// Whether there is something that the caller must not set.
    pub(super) fn is_guarded(&self) -> bool {
        self.members.iter().any(|(_, act)| act.is_guarded())
    }

    /// Decides which objects are created, by what the caller must set in them, and what the caller must set by that.
    pub(super) fn settle(&mut self, schema: &mut Node) {
        for (name, act) in &mut self.members {
            let Act::Within { shape, is_created } = act else { continue };
            let Some(inner) = schema.get_mut("properties").and_then(|of| of.get_mut(name)) else {
                continue;
            };
            shape.settle(inner);
            let Shape::Object(plan) = shape else { continue };
            let is_free = inner.get("required").is_none_or(|names| names.items().is_empty());
            *is_created = plan.has_fixed() || is_free && plan.has_value();
            if *is_created {
                require(schema, name, !is_free);
            }
        }
    }

    /// Whether something in it has a value of its own.
    fn has_value(&self) -> bool {
        self.members.iter().any(|(_, act)| match act {
            Act::Fix(_) | Act::Default(_) => true,
            Act::Hide => false,
            Act::Within { is_created, .. } => *is_created,
        })
    }
}

impl Act {
    pub(super) fn is_guarded(&self) -> bool {
        match self {
            Self::Fix(_) | Self::Hide => true,
            Self::Default(_) => false,
            Self::Within { shape, .. } => shape.is_guarded(),
        }
    }
}

impl Shape {
    fn of(steps: &[Step]) -> Self {
        match steps {
            [Step::Items, rest @ ..] => Self::Array(Box::new(Self::of(rest))),
            _ => Self::Object(Plan::default()),
        }
    }

    fn add(&mut self, steps: &[Step], action: &Action, value: Option<&Node>) {
        match (self, steps) {
            (Self::Object(plan), _) => plan.add(steps, action, value),
            (Self::Array(inner), [_, rest @ ..]) => inner.add(rest, action, value),
            (Self::Array(_), []) => {}
        }
    }

    pub(super) fn has_fixed(&self) -> bool {
        match self {
            Self::Object(plan) => plan.has_fixed(),
            // An array without items has nothing to set.
            Self::Array(_) => false,
        }
    }

    pub(super) fn is_guarded(&self) -> bool {
        match self {
            Self::Object(plan) => plan.is_guarded(),
            Self::Array(inner) => inner.is_guarded(),
        }
    }

    fn settle(&mut self, schema: &mut Node) {
        match self {
            Self::Object(plan) => plan.settle(schema),
            Self::Array(inner) => {
                if let Some(items) = schema.get_mut("items") {
                    inner.settle(items);
                }
            }
        }
    }
}

/// Makes a member required, or optional.
pub(super) fn require(schema: &mut Node, name: &str, is_required: bool) {
    match schema.get_mut("required") {
        Some(Node::Array(names)) => {
            names.retain(|own| own.as_text() != Some(name));
            if is_required {
                names.push(Node::text(name));
            }
            if names.is_empty() {
                schema.remove("required");
            }
        }
        None if is_required => schema.set("required", Node::Array(vec![Node::text(name)])),
        Some(_) | None => {}
    }
}
