//! Reading the members of an object, strictly: each once, by its name in the form, and nothing that another parser could
//! read as one of them.

use bytes::Bytes;
use doorward_mcp::display::harmless_line;
use doorward_mcp::json::{Limits, Member, Names, Object, Value, fold, items, may_be_read_as};

use crate::error::Invalid;
use crate::revision::Form;

/// Longest id of a task, a context, a message, an artifact or a push configuration, in bytes.
pub const LONGEST_ID: usize = 1024;

/// Most items of an array that is read: parts, artifacts, messages, tasks, skills.
pub const MOST_ITEMS: usize = 10_000;

/// Members that the protocol does not define, in the form they came in. They are written in this form only.
#[derive(Debug, Clone, Default)]
pub struct Other(Option<Box<(Form, Vec<Member>)>>);

impl Other {
    /// The members, if `form` is the one they came in.
    pub(crate) fn members(&self, form: Form) -> &[Member] {
        match &self.0 {
            Some(other) if other.0 == form => &other.1,
            _ => &[],
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

/// How values are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    pub form: Form,
    /// A request: what is required must be there. Answers of agents are read leniently where the meaning is plain.
    pub strict: bool,
}

/// An object whose members are taken one by one. What is left at the end is carried through.
pub(crate) struct Fields {
    pub reading: Reading,
    members: Vec<Member>,
    asked: Vec<&'static str>,
    /// Query parameters: every value is text.
    is_query: bool,
}

impl Fields {
    pub fn open(value: &Value, reading: Reading) -> Result<Self, Invalid> {
        let object = value.as_object().ok_or_else(|| Invalid::new("must be an object"))?;
        Ok(Self::of(object.members().to_vec(), reading, false))
    }

    /// Query parameters, which are read as ProtoJSON reads text.
    pub fn query(members: Vec<Member>, reading: Reading) -> Self {
        Self::of(members, reading, true)
    }

    fn of(members: Vec<Member>, reading: Reading, is_query: bool) -> Self {
        Self { reading, members, asked: Vec::with_capacity(12), is_query }
    }

    pub fn form(&self) -> Form {
        self.reading.form
    }

    /// Takes a member, `null` included. It may also have the name of its field (`context_id`), which parsers of all
    /// forms accept.
    pub fn raw(&mut self, name: &'static str) -> Result<Option<Value>, Invalid> {
        self.asked.push(name);
        let mut found = None;
        while let Some(at) = self.members.iter().position(|m| is_field(&m.name, name)) {
            if found.is_some() {
                return Err(Invalid::at(name, "present twice, in two spellings"));
            }
            found = Some(self.members.remove(at).value);
        }
        Ok(found)
    }

    /// Takes a member; `null` is absent.
    pub fn value(&mut self, name: &'static str) -> Result<Option<Value>, Invalid> {
        Ok(self.raw(name)?.filter(|value| !value.is_null()))
    }

    /// Takes the member that has one of these names.
    pub fn either(&mut self, names: &[&'static str]) -> Result<Option<Value>, Invalid> {
        let mut found = None;
        for name in names {
            if let Some(value) = self.value(name)? {
                if found.is_some() {
                    return Err(Invalid::at(name, "present twice, in two spellings"));
                }
                found = Some(value);
            }
        }
        Ok(found)
    }

    /// A string; an empty one is absent, as in ProtoJSON.
    pub fn string(&mut self, name: &'static str) -> Result<Option<String>, Invalid> {
        let Some(value) = self.value(name)? else { return Ok(None) };
        let text = value.as_str().ok_or_else(|| Invalid::at(name, "must be a string"))?;
        Ok((!text.is_empty()).then(|| text.into_owned()))
    }

    /// An id: a string of at most [`LONGEST_ID`] bytes.
    pub fn id(&mut self, name: &'static str) -> Result<Option<String>, Invalid> {
        let id = self.string(name)?;
        if id.as_ref().is_some_and(|id| id.len() > LONGEST_ID) {
            return Err(Invalid::at(name, format!("must have at most {LONGEST_ID} bytes")));
        }
        Ok(id)
    }

    pub fn required_id(&mut self, name: &'static str) -> Result<String, Invalid> {
        self.id(name)?.ok_or_else(|| Invalid::at(name, "is required"))
    }

    /// A text that must be there, but which an agent's answer may leave out.
    pub fn text(&mut self, name: &'static str) -> Result<String, Invalid> {
        match self.string(name)? {
            None if self.reading.strict => Err(Invalid::at(name, "is required")),
            text => Ok(text.unwrap_or_default()),
        }
    }

    pub fn flag(&mut self, name: &'static str) -> Result<Option<bool>, Invalid> {
        let Some(value) = self.value(name)? else { return Ok(None) };
        let text = value.as_str();
        match (value.as_bool(), text.as_deref()) {
            (Some(flag), _) => Ok(Some(flag)),
            (_, Some("true")) if self.is_query => Ok(Some(true)),
            (_, Some("false")) if self.is_query => Ok(Some(false)),
            _ => Err(Invalid::at(name, "must be true or false")),
        }
    }

    /// A number that is not negative, of 32 bits. In ProtoJSON it may be a string.
    pub fn count(&mut self, name: &'static str) -> Result<Option<u32>, Invalid> {
        let Some(value) = self.value(name)? else { return Ok(None) };
        let text = match value.as_str() {
            Some(text) if self.form().is_proto() => text.into_owned(),
            Some(_) => return Err(Invalid::at(name, "must be a number")),
            None => String::from_utf8_lossy(&value.to_bytes()).into_owned(),
        };
        match text.parse::<i32>() {
            Ok(number) => u32::try_from(number)
                .map(Some)
                .map_err(|_| Invalid::at(name, format!("must not be negative, is {number}"))),
            Err(_) => Err(Invalid::at(name, "must be an integer of 32 bits")),
        }
    }

    /// An object that nobody reads here: metadata, parameters.
    pub fn object(&mut self, name: &'static str) -> Result<Option<Value>, Invalid> {
        let Some(value) = self.value(name)? else { return Ok(None) };
        if !is_object(&value) {
            return Err(Invalid::at(name, "must be an object"));
        }
        Ok(Some(value))
    }

    pub fn list(&mut self, name: &'static str) -> Result<Option<Vec<Value>>, Invalid> {
        self.value(name)?.map(|value| list(&value).map_err(|e| e.within(name))).transpose()
    }

    /// An array of strings; an absent one is empty.
    pub fn strings(&mut self, name: &'static str) -> Result<Vec<String>, Invalid> {
        let Some(values) = self.list(name)? else { return Ok(Vec::new()) };
        values
            .iter()
            .enumerate()
            .map(|(at, value)| match value.as_str() {
                Some(text) => Ok(text.into_owned()),
                None => Err(Invalid::new("must be a string").item(at).within(name)),
            })
            .collect()
    }

    /// Reads each item of an array.
    pub fn each<T>(
        &mut self,
        name: &'static str,
        read: impl Fn(&Value, Reading) -> Result<T, Invalid>,
    ) -> Result<Option<Vec<T>>, Invalid> {
        let Some(values) = self.list(name)? else { return Ok(None) };
        let reading = self.reading;
        let read = |(at, value)| read(value, reading).map_err(|e: Invalid| e.item(at).within(name));
        values.iter().enumerate().map(read).collect::<Result<_, _>>().map(Some)
    }

    /// Reads a member.
    pub fn inner<T>(
        &mut self,
        name: &'static str,
        read: impl Fn(&Value, Reading) -> Result<T, Invalid>,
    ) -> Result<Option<T>, Invalid> {
        let Some(value) = self.value(name)? else { return Ok(None) };
        read(&value, self.reading).map(Some).map_err(|e| e.within(name))
    }

    /// What is left. Fails if some parser could read it as a member that was asked for: a client must not be able to say
    /// one thing to the gateway and another to the agent.
    pub fn rest(self) -> Result<Other, Invalid> {
        for member in &self.members {
            if let Some(known) = self.asked.iter().find(|known| looks_like(&member.name, known)) {
                let name: String = String::from_utf8_lossy(&member.name).chars().take(64).collect();
                let name = harmless_line(&name);
                return Err(Invalid::at(&name, format!("could be read as '{known}'")));
            }
        }
        let (form, members) = (self.reading.form, self.members);
        Ok(Other((!members.is_empty()).then(|| Box::new((form, members)))))
    }
}

/// The items of an array.
pub(crate) fn list(value: &Value) -> Result<Vec<Value>, Invalid> {
    let Value::Raw(text) = value else { return Err(Invalid::new("must be an array")) };
    if text.first() != Some(&b'[') {
        return Err(Invalid::new("must be an array"));
    }
    let limits = Limits { depth: usize::MAX, names: Names::StrictEnvelope };
    let items = items(text, limits).map_err(|fault| Invalid::new(fault.to_string()))?;
    if items.len() > MOST_ITEMS {
        return Err(Invalid::new(format!("must have at most {MOST_ITEMS} items")));
    }
    Ok(items.into_iter().map(Value::Raw).collect())
}

pub(crate) fn is_object(value: &Value) -> bool {
    match value {
        Value::Object(_) => true,
        Value::Raw(text) => text.first() == Some(&b'{'),
    }
}

/// A value that is an object, to be changed.
pub(crate) fn to_object(value: &Value) -> Object {
    value.as_object().map(std::borrow::Cow::into_owned).unwrap_or_default()
}

/// Whether a member has a field's name, as it is written (`contextId`) or as it is defined (`context_id`).
fn is_field(member: &Bytes, name: &str) -> bool {
    if &member[..] == name.as_bytes() {
        return true;
    }
    let mut rest = member.iter().copied();
    for byte in name.bytes() {
        if byte.is_ascii_uppercase() && rest.next() != Some(b'_') {
            return false;
        }
        if rest.next() != Some(byte.to_ascii_lowercase()) {
            return false;
        }
    }
    rest.next().is_none()
}

fn looks_like(member: &[u8], known: &str) -> bool {
    if may_be_read_as(member, known.as_bytes()) {
        return true;
    }
    let bare: Vec<u8> =
        member.iter().copied().filter(|byte| !matches!(byte, b'_' | b'-' | b' ')).collect();
    bare.len() != member.len() && *fold(bare.into()) == *fold(known.as_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str, form: Form) -> Fields {
        let value = Value::Raw(Bytes::copy_from_slice(text.as_bytes()));
        Fields::open(&value, Reading { form, strict: true }).unwrap()
    }

    #[test]
    fn a_member_has_one_of_two_spellings_and_never_both() {
        for text in [r#"{"contextId":"a"}"#, r#"{"context_id":"a"}"#] {
            assert_eq!(fields(text, Form::V1).id("contextId").unwrap().as_deref(), Some("a"));
        }
        let mut both = fields(r#"{"contextId":"a","context_id":"b"}"#, Form::V1);
        assert!(both.id("contextId").unwrap_err().to_string().contains("twice"));
    }

    #[test]
    fn what_could_be_read_as_a_member_is_refused() {
        for name in [
            "ContextID",
            "context-id",
            "context_ID",
            "contextId\\u0000",
            "contextid ",
            "contextId[]",
        ] {
            let mut fields = fields(&format!(r#"{{"{name}":"a"}}"#), Form::V1);
            assert_eq!(fields.id("contextId").unwrap(), None);
            let error = fields.rest().unwrap_err().to_string();
            assert!(error.contains("could be read as 'contextId'"), "{error}");
        }
        let mut unknown = fields(r#"{"context":"a","x-trace":1}"#, Form::V1);
        unknown.id("contextId").unwrap();
        assert_eq!(unknown.rest().unwrap().members(Form::V1).len(), 2);
    }

    #[test]
    fn numbers_are_strings_in_proto_json_only() {
        for (text, form, expected) in [
            (r#"{"n":5}"#, Form::Kind, Some(Some(5))),
            (r#"{"n":"5"}"#, Form::V1, Some(Some(5))),
            (r#"{"n":"5"}"#, Form::Kind, None),
            (r#"{"n":-1}"#, Form::V1, None),
            (r#"{"n":5.5}"#, Form::V1, None),
            (r#"{"n":3000000000}"#, Form::V1, None),
            (r#"{"n":null}"#, Form::V1, Some(None)),
        ] {
            assert_eq!(fields(text, form).count("n").ok(), expected, "{text}");
        }
    }

    #[test]
    fn long_ids_and_long_lists_are_refused() {
        let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(LONGEST_ID + 1));
        assert!(fields(&long, Form::V1).id("id").is_err());
        let many = format!(r#"{{"l":[{}1]}}"#, "1,".repeat(MOST_ITEMS));
        assert!(fields(&many, Form::V1).list("l").is_err());
    }
}
