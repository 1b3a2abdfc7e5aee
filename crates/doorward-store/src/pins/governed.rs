//! Converts pins between governance's types and the stored ones.

use doorward_governance::pins::{Book, Definition, Place};

use super::{DefinitionKey, StoredBook, StoredDefinition};

const MODERN: &str = "modern";
const HANDSHAKE: &str = "handshake";

impl DefinitionKey {
    pub fn of(place: &Place) -> Self {
        Self {
            era: place.era_word().into(),
            kind: place.kind.as_str().into(),
            name: place.name.to_string(),
        }
    }

    /// The same in the other era.
    pub fn of_other_era(&self) -> Self {
        let era = if self.era == MODERN { HANDSHAKE } else { MODERN };
        Self { era: era.into(), ..self.clone() }
    }

    /// The place; `None` of a kind that is not known.
    pub fn place(&self) -> Option<Place> {
        Place::read(&self.era, &self.kind, &self.name)
    }
}

impl StoredDefinition {
    pub fn of(place: &Place, said: &Definition) -> Self {
        Self {
            key: DefinitionKey::of(place),
            hash: said.hash.to_string(),
            core: said.core.to_string(),
            definition: String::from_utf8_lossy(&said.text).into_owned(),
        }
    }
}

impl StoredBook {
    /// Converts the stored pins. An unreadable one counts as not pinned.
    pub fn read(self) -> Book {
        let mut book = Book::default();
        for pin in self.pins {
            let hashes = (pin.hash.parse(), pin.core.parse());
            if let (Some(place), (Ok(hash), Ok(core))) = (pin.key.place(), hashes) {
                book.pin(place, hash, core, Some(pin.definition.into()));
            }
        }
        for (key, hash) in self.refused {
            if let (Some(place), Ok(hash)) = (key.place(), hash.parse()) {
                book.refuse(place, hash);
            }
        }
        self.kinds.iter().filter_map(|kind| kind.parse().ok()).for_each(|kind| book.learnt(kind));
        book
    }
}
