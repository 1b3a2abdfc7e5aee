//! Writing objects member by member.

use bytes::{BufMut, Bytes, BytesMut};
use doorward_mcp::json::{Value, quote_into};

use crate::fields::Other;
use crate::revision::Form;

/// A JSON text in the making.
pub(crate) struct Out {
    pub form: Form,
    text: BytesMut,
    comma: bool,
}

impl Out {
    pub fn new(form: Form) -> Self {
        Self { form, text: BytesMut::with_capacity(512), comma: false }
    }

    /// The text of one value.
    pub fn of(form: Form, write: impl FnOnce(&mut Self)) -> Bytes {
        let mut out = Self::new(form);
        write(&mut out);
        out.text.freeze()
    }

    fn before(&mut self) {
        if self.comma {
            self.text.put_u8(b',');
        }
        self.comma = false;
    }

    /// Begins a member: its value follows.
    fn name(&mut self, name: &str) {
        self.before();
        quote_into(&mut self.text, name);
        self.text.put_u8(b':');
    }

    pub fn raw(&mut self, text: &[u8]) {
        self.before();
        self.text.put_slice(text);
        self.comma = true;
    }

    pub fn object(&mut self, write: impl FnOnce(&mut Self)) {
        self.before();
        self.text.put_u8(b'{');
        write(self);
        self.text.put_u8(b'}');
        self.comma = true;
    }

    pub fn array<T>(&mut self, items: &[T], write: impl Fn(&T, &mut Self)) {
        self.before();
        self.text.put_u8(b'[');
        for item in items {
            write(item, self);
        }
        self.text.put_u8(b']');
        self.comma = true;
    }

    pub fn text_value(&mut self, text: &str) {
        self.before();
        quote_into(&mut self.text, text);
        self.comma = true;
    }

    /// A member whose value is written by a function.
    pub fn member(&mut self, name: &str, write: impl FnOnce(&mut Self)) {
        self.name(name);
        write(self);
        self.comma = true;
    }

    pub fn string(&mut self, name: &str, text: &str) {
        self.member(name, |out| out.text_value(text));
    }

    /// Only if there is one.
    pub fn optional(&mut self, name: &str, text: Option<&String>) {
        if let Some(text) = text {
            self.string(name, text);
        }
    }

    pub fn value(&mut self, name: &str, value: &Value) {
        self.member(name, |out| out.raw(&value.to_bytes()));
    }

    pub fn optional_value(&mut self, name: &str, value: Option<&Value>) {
        if let Some(value) = value {
            self.value(name, value);
        }
    }

    pub fn flag(&mut self, name: &str, flag: bool) {
        self.member(name, |out| out.raw(if flag { b"true" } else { b"false" }));
    }

    /// Only if there is one.
    pub fn optional_flag(&mut self, name: &str, flag: Option<bool>) {
        if let Some(flag) = flag {
            self.flag(name, flag);
        }
    }

    pub fn count(&mut self, name: &str, count: u64) {
        self.member(name, |out| out.raw(count.to_string().as_bytes()));
    }

    /// Only if there is one.
    pub fn optional_count(&mut self, name: &str, count: Option<u32>) {
        if let Some(count) = count {
            self.count(name, count.into());
        }
    }

    pub fn list<T>(&mut self, name: &str, items: &[T], write: impl Fn(&T, &mut Self)) {
        self.member(name, |out| out.array(items, write));
    }

    /// Only if there are some.
    pub fn strings(&mut self, name: &str, texts: &[String]) {
        if !texts.is_empty() {
            self.all_strings(name, texts);
        }
    }

    pub fn all_strings(&mut self, name: &str, texts: &[String]) {
        self.list(name, texts, |text, out| out.text_value(text));
    }

    /// Members that the protocol does not define, if they came in this form.
    pub fn other(&mut self, other: &Other) {
        for member in other.members(self.form) {
            self.value(&String::from_utf8_lossy(&member.name), &member.value);
        }
    }
}
