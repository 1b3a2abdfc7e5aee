//! Corrects items of lists: optional members that are null or of the wrong type are removed, since one of them makes a
//! whole list unreadable to clients that validate it.

use serde_json::Value;

use crate::{Object, Value as Raw};

/// The type of a member in the protocol (spec 2026-07-28 schema; earlier revisions require no more).
enum Shape {
    Text,
    Flag,
    Whole,
    /// A number from 0 to 1.
    Share,
    OneOf(&'static [&'static str]),
    Every(&'static Shape),
    /// An object that may have further members.
    Members {
        required: &'static [(&'static str, Shape)],
        optional: &'static [(&'static str, Shape)],
    },
}

use Shape::{Every, Flag, Members, OneOf, Share, Text, Whole};

const ANY: Shape = Members { required: &[], optional: &[] };
const ICON: Shape = Members {
    required: &[("src", Text)],
    optional: &[("mimeType", Text), ("sizes", Every(&Text)), ("theme", OneOf(&["dark", "light"]))],
};
const ANNOTATIONS: Shape = Members {
    required: &[],
    optional: &[
        ("audience", Every(&OneOf(&["user", "assistant"]))),
        ("lastModified", Text),
        ("priority", Share),
    ],
};
const COMMON: [(&str, Shape); 4] =
    [("title", Text), ("description", Text), ("icons", Every(&ICON)), ("_meta", ANY)];
const TOOL: [(&str, Shape); 2] = [
    (
        "annotations",
        Members {
            required: &[],
            optional: &[
                ("title", Text),
                ("readOnlyHint", Flag),
                ("destructiveHint", Flag),
                ("idempotentHint", Flag),
                ("openWorldHint", Flag),
            ],
        },
    ),
    (
        "execution",
        Members {
            required: &[],
            optional: &[("taskSupport", OneOf(&["forbidden", "optional", "required"]))],
        },
    ),
];
const PROMPT: [(&str, Shape); 1] = [(
    "arguments",
    Every(&Members {
        required: &[("name", Text)],
        optional: &[("title", Text), ("description", Text), ("required", Flag)],
    }),
)];
const RESOURCE: [(&str, Shape); 3] =
    [("annotations", ANNOTATIONS), ("mimeType", Text), ("size", Whole)];

/// Repairs an item of a list; `list` is the member with the list. Returns whether anything was changed.
pub fn item(list: &str, key: &str, definition: &mut Object) -> bool {
    let own: &[(&str, Shape)] = match list {
        "tools" => &TOOL,
        "prompts" => &PROMPT,
        _ => &RESOURCE,
    };
    let mut changed = false;
    for (name, shape) in COMMON.iter().chain(own) {
        let Some(value) = definition.get(name) else { continue };
        // Most members are strings and valid.
        if matches!(shape, Text) && value.as_str().is_some() {
            continue;
        }
        let mut repaired = serde_json::from_slice(&value.to_bytes()).unwrap_or(Value::Null);
        match repair(&mut repaired, shape) {
            Some(false) => {}
            Some(true) => {
                definition.set(name, Raw::from_serde(&repaired));
                changed = true;
            }
            None => {
                definition.remove(name);
                changed = true;
            }
        }
    }
    if definition.string("name").is_none() {
        definition.set("name", key);
        changed = true;
    }
    changed
}

/// Removes what does not have the shape. Returns whether anything was removed, or `None` if the value itself does
/// not.
fn repair(value: &mut Value, shape: &Shape) -> Option<bool> {
    let fits = match shape {
        Text => value.is_string(),
        Flag => value.is_boolean(),
        Whole => {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|it| it.fract() == 0.0)
        }
        Share => value.as_f64().is_some_and(|share| (0.0..=1.0).contains(&share)),
        OneOf(all) => value.as_str().is_some_and(|text| all.contains(&text)),
        Every(shape) => {
            let items = value.as_array_mut()?;
            let before = items.len();
            let mut changed = false;
            items.retain_mut(|item| {
                let repaired = repair(item, shape);
                changed |= repaired == Some(true);
                repaired.is_some()
            });
            return Some(changed || items.len() != before);
        }
        Members { required, optional } => {
            let members = value.as_object_mut()?;
            let mut changed = false;
            for (name, shape) in *required {
                changed |= repair(members.get_mut(*name)?, shape)?;
            }
            for (name, shape) in *optional {
                match members.get_mut(*name).map(|member| repair(member, shape)) {
                    None => {}
                    Some(Some(repaired)) => changed |= repaired,
                    Some(None) => {
                        members.remove(*name);
                        changed = true;
                    }
                }
            }
            return Some(changed);
        }
    };
    fits.then_some(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn members_of_the_wrong_type_are_removed() {
        for (list, key, sloppy, expected) in [
            (
                "tools",
                "name",
                json!({ "name": "a", "title": null, "description": 5, "icons": null, "_meta": [],
                    "annotations": { "readOnlyHint": true, "title": null, "vendor": null },
                    "execution": { "taskSupport": "sometimes" } }),
                json!({ "name": "a", "annotations": { "readOnlyHint": true, "vendor": null },
                    "execution": {} }),
            ),
            (
                "prompts",
                "name",
                json!({ "name": "a", "arguments": [{ "name": "x", "required": "yes" }, null, {}],
                    "icons": [{ "src": null }, { "src": "i.png", "sizes": "48x48" }] }),
                json!({ "name": "a", "arguments": [{ "name": "x" }], "icons": [{ "src": "i.png" }] }),
            ),
            (
                "resources",
                "uri",
                json!({ "uri": "a:b", "size": "12", "mimeType": null,
                    "annotations": { "audience": ["user", "robot"], "priority": 2 } }),
                json!({ "uri": "a:b", "annotations": { "audience": ["user"] }, "name": "a:b" }),
            ),
            (
                "resourceTemplates",
                "uriTemplate",
                json!({ "uriTemplate": "a:{b}", "name": 1 }),
                json!({ "uriTemplate": "a:{b}", "name": "a:{b}" }),
            ),
        ] {
            let mut definition = Object::from_serde(&sloppy).unwrap();
            let key = definition.string(key).unwrap().into_owned();
            assert!(item(list, &key, &mut definition));
            assert_eq!(definition.to_serde(), expected);
            assert!(!item(list, &key, &mut definition), "a valid item is not changed");
        }
    }
}
