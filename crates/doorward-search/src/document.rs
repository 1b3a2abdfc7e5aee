//! A tool as the index needs it: its terms, and how often each occurs in which field.

use crate::concepts::Concept;
use crate::schema::{self, Parameters};
use crate::terms::{self, Term};
use crate::text::words;
use std::collections::HashMap;

/// A field of a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Name,
    Server,
    /// The description, and the title where it is not the name.
    Description,
    ParameterName,
    /// Descriptions and permitted values of parameters.
    ParameterText,
}

pub(crate) const FIELDS: usize = 5;

/// How many bytes of each field are read. What follows is ignored.
const MAX_BYTES: [usize; FIELDS] = [512, 256, 8 * 1024, 4 * 1024, 8 * 1024];
/// How many different words a tool has. Further ones are ignored.
const MAX_WORDS: usize = 1_024;
/// How many different 4-grams a tool has. Further ones are ignored.
const MAX_GRAMS: usize = 512;

/// A tool of a catalogue, as its server defines it. Nothing has to be valid.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tool<'a> {
    /// The name of its server.
    pub server: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its title, or nothing.
    pub title: &'a str,
    /// What it does.
    pub description: &'a str,
    /// Its input schema, as JSON. What is not a JSON schema has no parameters.
    pub input_schema: &'a str,
}

/// How often a term occurs in each field.
pub(crate) type Counts = [u8; FIELDS];

/// The terms of a tool.
///
/// They depend on the definition of this tool alone: when a catalogue changes, only the documents of changed tools have to
/// be read again to build the next [`Index`](crate::Index).
#[derive(Clone, Debug)]
pub struct Document {
    pub(crate) words: Box<[(Box<str>, Counts)]>,
    pub(crate) concepts: Box<[(Concept, Counts)]>,
    pub(crate) grams: Box<[(Box<str>, u8)]>,
    /// How many words each field has.
    pub(crate) lengths: [u16; FIELDS],
    /// How many 4-grams its names have.
    pub(crate) gram_length: u16,
}

impl Document {
    /// Reads a tool. The work and the result are limited, however large the definition is.
    pub fn new(tool: &Tool<'_>) -> Self {
        let mut reading = Reading::default();
        reading.field(Field::Name, tool.name);
        reading.field(Field::Server, tool.server);
        if tool.title != tool.name {
            reading.field(
                Field::Description,
                crate::text::prefix(tool.title, MAX_BYTES[Field::Name as usize]),
            );
        }
        reading.field(Field::Description, tool.description);
        schema::read(tool.input_schema, &mut reading);
        reading.finish()
    }

    /// How many bytes it takes.
    pub fn size(&self) -> usize {
        let words: usize = self.words.iter().map(|entry| size_of_val(entry) + entry.0.len()).sum();
        let grams: usize = self.grams.iter().map(|entry| size_of_val(entry) + entry.0.len()).sum();
        size_of::<Self>() + words + grams + size_of_val(&*self.concepts)
    }
}

#[derive(Default)]
struct Reading {
    words: HashMap<Box<str>, Counts>,
    concepts: HashMap<Concept, Counts>,
    grams: HashMap<Box<str>, u8>,
    lengths: [u16; FIELDS],
    gram_length: u16,
    /// How many bytes of each field have been read.
    read: [usize; FIELDS],
}

impl Reading {
    fn field(&mut self, field: Field, text: &str) {
        let read = &mut self.read[field as usize];
        let most = (MAX_BYTES[field as usize] - *read).min(text.len());
        *read += most;
        words(text, most, |token| {
            terms::of(token, |term| match term {
                Term::Word(word) => self.word(field, word),
                Term::Concept(concept) => add(self.concepts.entry(concept).or_default(), field),
            });
            if matches!(field, Field::Name | Field::Server) {
                terms::grams(token, |gram| self.gram(gram));
            }
        });
    }

    fn word(&mut self, field: Field, word: &str) {
        if let Some(counts) = self.words.get_mut(word) {
            add(counts, field);
        } else if self.words.len() < MAX_WORDS {
            add(self.words.entry(word.into()).or_default(), field);
        }
        let length = &mut self.lengths[field as usize];
        *length = length.saturating_add(1);
    }

    fn gram(&mut self, gram: &str) {
        if let Some(count) = self.grams.get_mut(gram) {
            *count = count.saturating_add(1);
        } else if self.grams.len() < MAX_GRAMS {
            self.grams.insert(gram.into(), 1);
        }
        self.gram_length = self.gram_length.saturating_add(1);
    }

    fn finish(self) -> Document {
        let mut words: Vec<_> = self.words.into_iter().collect();
        words.sort_unstable();
        let mut concepts: Vec<_> = self.concepts.into_iter().collect();
        concepts.sort_unstable();
        let mut grams: Vec<_> = self.grams.into_iter().collect();
        grams.sort_unstable();
        Document {
            words: words.into(),
            concepts: concepts.into(),
            grams: grams.into(),
            lengths: self.lengths,
            gram_length: self.gram_length,
        }
    }
}

fn add(counts: &mut Counts, field: Field) {
    let count = &mut counts[field as usize];
    *count = count.saturating_add(1);
}

impl Parameters for Reading {
    fn name(&mut self, name: &str) {
        self.field(Field::ParameterName, name);
    }

    fn text(&mut self, text: &str) {
        self.field(Field::ParameterText, text);
    }
}

#[cfg(test)]
mod tests {
    use super::{Document, Field, Tool};

    /// What one document may take.
    const MOST: usize = 128 * 1024;

    fn described(description: &str) -> Document {
        Document::new(&Tool { server: "files", name: "read_file", description, ..Tool::default() })
    }

    #[test]
    fn a_megabyte_of_description_is_read_in_part() {
        let letter = |number: u32| char::from_u32(u32::from('a') + number % 26).unwrap();
        let word = |n: u32| [letter(n), letter(n / 26), letter(n / 676), ' '];
        let long: String = (0..300_000).flat_map(word).collect();
        let document = described(&long);
        assert_eq!(document.words.len(), super::MAX_WORDS);
        assert!(document.size() < MOST, "{}", document.size());
    }

    #[test]
    fn a_name_of_a_megabyte_is_read_in_part() {
        let long = "createPullRequest".repeat(60_000);
        let document =
            Document::new(&Tool { name: &long, title: &long, server: &long, ..Tool::default() });
        assert!(document.lengths[Field::Name as usize] < 512, "{:?}", document.lengths);
        assert!(document.size() < MOST && document.grams.len() < 64, "{}", document.size());
    }

    #[test]
    fn a_million_repeats_count_as_often_as_there_is_room() {
        let document = described(&"secret ".repeat(1_000_000));
        assert!(document.size() < 2_048, "{}", document.size());
        let (_, counts) = document.words.iter().find(|(word, _)| &**word == "secret").unwrap();
        assert_eq!(counts[Field::Description as usize], u8::MAX);
    }

    #[test]
    fn ten_thousand_parameters_are_read_in_part() {
        let parameters: Vec<String> = (0..10_000)
            .map(|number| {
                format!(r#""parameter{number}":{{"description":"the description{number}"}}"#)
            })
            .collect();
        let schema = format!(r#"{{"properties":{{{}}}}}"#, parameters.join(","));
        let document = Document::new(&Tool { input_schema: &schema, ..Tool::default() });
        assert!(
            document.words.len() > 128 && document.words.len() <= super::MAX_WORDS,
            "{}",
            document.words.len()
        );
        assert!(document.size() < MOST, "{}", document.size());
    }

    #[test]
    fn characters_that_become_many_are_limited_too() {
        let document = described(&"\u{fdfa}".repeat(100_000));
        assert!(document.size() < MOST, "{}", document.size());
    }

    #[test]
    fn a_title_that_repeats_the_name_counts_once() {
        let named = Document::new(&Tool { name: "forecast", title: "forecast", ..Tool::default() });
        assert_eq!(named.lengths, [1, 0, 0, 0, 0]);
    }
}
