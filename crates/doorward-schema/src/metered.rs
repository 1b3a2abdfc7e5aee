//! A JSON value that counts accesses, so that a validation can be ended at a limit.
//!
//! Some small schemas and values take excessively long to validate. The library cannot be stopped, so an access
//! beyond the limit of number or time unwinds out of it, and the work is dropped.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use jsonschema::JsonType;
use jsonschema::json::{self, Json, NodeIdentity};
use nix::time::ClockId;
use serde_json::{Map, Number, Value};

/// Number of accesses between two readings of the clock.
const EVERY: u32 = 1_024;

thread_local! {
    static LEFT: Cell<u32> = const { Cell::new(0) };
    /// The number of remaining accesses at which the clock is read next.
    static CLOCK_AT: Cell<u32> = const { Cell::new(0) };
    static TIME: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    static END: Cell<Option<Duration>> = const { Cell::new(None) };
    static LONGEST: Cell<usize> = const { Cell::new(0) };
}

/// The limit that a validation exceeded. Used as the payload of the unwinding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    Looks,
    Time,
}

/// The limits of a validation.
#[derive(Debug, Clone, Copy)]
pub struct Allowed<'a> {
    pub looks: u32,
    pub until: &'a Until,
    /// Maximum length of a string, in bytes.
    pub longest: usize,
}

/// Time limit of a validation, for all its parts together. The time starts at the first reading of the clock,
/// after [`EVERY`] accesses: most validations end earlier, and reading this clock takes longer than they do.
#[derive(Debug)]
pub struct Until {
    time: Duration,
    /// The end on the clock of [`now`]; `None` until the clock was read.
    end: Cell<Option<Duration>>,
}

impl Until {
    pub fn after(time: Duration) -> Self {
        Self { time, end: Cell::new(None) }
    }
}

/// CPU time of this thread. Unlike wall time, it does not advance while other threads use the processor, so that
/// the same value gets the same result on a busy machine.
fn now() -> Duration {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    ClockId::CLOCK_THREAD_CPUTIME_ID.now().map_or_else(|_| START.elapsed(), Duration::from)
}

/// Runs a validation on this thread within the limits.
pub fn within<T>(allowed: Allowed<'_>, check: impl FnOnce() -> T) -> Result<T, Spent> {
    let Until { time, end } = allowed.until;
    LEFT.set(allowed.looks);
    CLOCK_AT.set(allowed.looks.saturating_sub(EVERY));
    TIME.set(*time);
    END.set(end.get());
    LONGEST.set(allowed.longest);
    if end.get().is_some_and(|end| now() >= end) {
        return Err(Spent::Time);
    }
    let checked = catch_unwind(AssertUnwindSafe(check));
    end.set(END.get());
    match checked {
        Ok(found) => Ok(found),
        Err(unwound) => match unwound.downcast::<Spent>() {
            Ok(spent) => Err(*spent),
            Err(other) => resume_unwind(other),
        },
    }
}

#[inline]
fn look(times: usize) {
    let times = u32::try_from(times).unwrap_or(u32::MAX);
    match LEFT.get().checked_sub(times) {
        Some(left) => {
            LEFT.set(left);
            if left <= CLOCK_AT.get() {
                CLOCK_AT.set(left.saturating_sub(EVERY));
                read_clock();
            }
        }
        // Not a panic: it is not an error, and the panic hook must not run.
        None => resume_unwind(Box::new(Spent::Looks)),
    }
}

#[cold]
fn read_clock() {
    let now = now();
    match END.get() {
        Some(end) if now >= end => resume_unwind(Box::new(Spent::Time)),
        Some(_) => {}
        None => END.set(Some(now.saturating_add(TIME.get()))),
    }
}

/// Counts an access to a string, in proportion to its length.
fn read(text: &str) {
    if text.len() > LONGEST.get() {
        resume_unwind(Box::new(Spent::Looks));
    }
    look(1 + text.len() / 64);
}

/// Values of `serde_json` with counted accesses.
pub struct Metered;

#[derive(Clone, Copy)]
pub struct Node<'a>(pub &'a Value);

pub struct Object<'a>(&'a Map<String, Value>);

pub struct Array<'a>(&'a [Value]);

pub struct Members<'a>(serde_json::map::Iter<'a>);

pub struct Elements<'a>(std::slice::Iter<'a, Value>);

impl Json for Metered {
    type Node<'a> = Node<'a>;
    type PreparedKey = String;
    type StringBuffer = Value;

    const KEYS_PER_LOOKUP: usize = 2;

    fn prepare_key(key: &str) -> String {
        key.to_owned()
    }

    fn with_string_node<T>(buffer: &mut Value, string: &str, f: impl FnOnce(Node<'_>) -> T) -> T {
        *buffer = Value::String(string.to_owned());
        f(Node(buffer))
    }
}

impl<'a> json::Node<'a, Metered> for Node<'a> {
    type Object = Object<'a>;
    type Array = Array<'a>;
    type Number = &'a Number;

    fn as_object(&self) -> Option<Object<'a>> {
        look(1);
        self.0.as_object().map(Object)
    }

    fn as_array(&self) -> Option<Array<'a>> {
        look(1);
        self.0.as_array().map(|array| Array(array))
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        let text = self.0.as_str();
        text.map_or_else(|| look(1), read);
        text.map(Cow::Borrowed)
    }

    fn as_number(&self) -> Option<&'a Number> {
        look(1);
        self.0.as_number()
    }

    fn as_boolean(&self) -> Option<bool> {
        look(1);
        self.0.as_bool()
    }

    fn is_null(&self) -> bool {
        look(1);
        self.0.is_null()
    }

    fn json_type(&self) -> JsonType {
        look(1);
        match self.0 {
            Value::Null => JsonType::Null,
            Value::Bool(_) => JsonType::Boolean,
            Value::Number(_) => JsonType::Number,
            Value::String(_) => JsonType::String,
            Value::Array(_) => JsonType::Array,
            Value::Object(_) => JsonType::Object,
        }
    }

    fn to_value(&self) -> Cow<'a, Value> {
        look(1);
        Cow::Borrowed(self.0)
    }

    fn identity(&self) -> Option<NodeIdentity> {
        look(1);
        Some(NodeIdentity::new(std::ptr::from_ref(self.0) as usize))
    }
}

impl<'a> json::Object<'a, Metered> for Object<'a> {
    type Node = Node<'a>;
    type MemberName = &'a str;
    type MembersIter = Members<'a>;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, key: &String) -> Option<Node<'a>> {
        look(1);
        self.0.get(key).map(Node)
    }

    fn members(&self) -> Members<'a> {
        Members(self.0.iter())
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, Node<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        look(1);
        let (name, value) = self.0.next()?;
        if name.len() >= 64 {
            read(name);
        }
        Some((name.as_str(), Node(value)))
    }
}

impl<'a> json::Array<'a, Metered> for Array<'a> {
    type Node = Node<'a>;
    type ElementsIter = Elements<'a>;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn elements(&self) -> Elements<'a> {
        Elements(self.0.iter())
    }

    fn is_unique(&self) -> bool {
        is_unique(self.0)
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Node<'a>;

    fn next(&mut self) -> Option<Node<'a>> {
        look(1);
        self.0.next().map(Node)
    }
}

/// Whether all items are distinct. The library compares items by hashes that are the same for numbers close to
/// one another, so that its cost can be made quadratic.
fn is_unique(items: &[Value]) -> bool {
    let mut seen = HashSet::with_capacity(items.len());
    items.iter().all(|item| {
        let mut name = String::new();
        write_name(item, &mut name);
        seen.insert(name)
    })
}

/// Writes a text that is the same for equal values only.
fn write_name(value: &Value, name: &mut String) {
    look(1);
    match value {
        Value::Number(number) => write_number(number, name),
        Value::String(text) => {
            look(text.len() / 64);
            // The length marks the end of the string.
            _ = write!(name, "\"{}:{text}", text.len());
        }
        Value::Array(items) => {
            name.push('[');
            for item in items {
                write_name(item, name);
                name.push(',');
            }
            name.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            name.push('{');
            for (member, value) in members {
                look(member.len() / 64);
                _ = write!(name, "{}:{member}", member.len());
                write_name(value, name);
            }
            name.push('}');
        }
        Value::Null | Value::Bool(_) => _ = write!(name, "{value}"),
    }
}

/// Equal numbers have the same text: 1, 1.0 and 1e0.
fn write_number(number: &Number, name: &mut String) {
    /// Below this value, every integer has a distinct double.
    const WHOLE: f64 = 9_007_199_254_740_992.0;
    _ = match number.as_f64() {
        Some(0.0) => write!(name, "0"),
        // Larger integers are written exactly, because several share one double.
        Some(double) if number.is_f64() || double.abs() < WHOLE => write!(name, "{double}"),
        _ => write!(name, "{number}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Runs a check under limits that it does not reach.
    fn within_large_limits<T>(check: impl FnOnce() -> T) -> Result<T, Spent> {
        let until = Until::after(Duration::MAX);
        within(Allowed { looks: 10_000_000, until: &until, longest: usize::MAX }, check)
    }

    #[test]
    fn items_are_unique_by_value() {
        for (items, unique) in [
            (json!([]), true),
            (json!([1, 2, "1", true, null, [1], {"a": 1}, {"1": "a"}]), true),
            (json!([1, 1.0]), false),
            (json!([0, -0.0]), false),
            (json!([1e3, 1000]), false),
            (json!([9_007_199_254_740_993_u64, 9_007_199_254_740_992_u64]), true),
            (json!([{"a": 1, "b": 2}, {"b": 2, "a": 1.0}]), false),
            (json!(["a,b", "a", "b"]), true),
            (json!([["a", "b"], ["a,b"], ["ab"]]), true),
        ] {
            let found = within_large_limits(|| is_unique(items.as_array().unwrap()));
            assert_eq!(found, Ok(unique), "{items}");
        }
    }

    #[test]
    fn many_close_numbers_are_compared_in_linear_time() {
        let items: Vec<Value> = (0..100_000_u64).map(|at| json!((1_u64 << 63) + at)).collect();
        assert_eq!(within_large_limits(|| is_unique(&items)), Ok(true));
    }

    #[test]
    fn the_clock_is_not_read_for_a_few_accesses() {
        let until = Until::after(Duration::ZERO);
        let allowed = Allowed { until: &until, looks: u32::MAX, longest: 0 };
        let few = || (1..EVERY).for_each(|_| look(1));
        assert_eq!(within(allowed, few), Ok(()));
        assert_eq!(until.end.get(), None);
        let many = || (0..2 * EVERY).for_each(|_| look(1));
        assert_eq!(within(allowed, many), Err(Spent::Time));
    }

    #[test]
    fn a_validation_ends_when_its_time_is_over() {
        let until = Until::after(Duration::from_millis(5));
        let allowed = Allowed { until: &until, looks: u32::MAX, longest: 0 };
        let spent = within(allowed, || {
            loop {
                look(1);
            }
        });
        assert_eq!(spent, Err::<(), _>(Spent::Time));
        assert_eq!(within(allowed, || ()), Err(Spent::Time), "no time is left for its other parts");
        assert_eq!(
            within_large_limits(|| loop {
                look(1);
            }),
            Err::<(), _>(Spent::Looks)
        );
    }
}
