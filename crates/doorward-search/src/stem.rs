//! Words to stems: `searches`, `searching` and `searched` are one term. English only, and light: a stem need not be a word,
//! it has to be the same for the forms of one.

/// Words that say nothing about which tool is meant, sorted.
const STOP_WORDS: &[&str] = &[
    "a", "about", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be", "been",
    "being", "but", "by", "can", "could", "d", "did", "do", "does", "doing", "etc", "for", "from",
    "had", "has", "have", "having", "he", "hello", "her", "here", "hey", "hi", "him", "his", "how",
    "i", "if", "in", "into", "is", "it", "its", "just", "like", "ll", "m", "may", "me", "might",
    "my", "need", "of", "ok", "on", "or", "our", "please", "re", "s", "shall", "she", "should",
    "so", "some", "t", "than", "thank", "thanks", "that", "the", "their", "them", "then", "there",
    "these", "they", "this", "those", "to", "too", "us", "ve", "very", "want", "was", "we", "were",
    "what", "when", "where", "which", "while", "who", "whom", "why", "will", "with", "would",
    "you", "your",
];

pub(crate) fn is_stop_word(word: &str) -> bool {
    STOP_WORDS.binary_search(&word).is_ok()
}

/// The stem of an English word in lower case; other words are returned as they are, or with their end cut in the same way.
pub(crate) fn stem(word: &str) -> &str {
    let bytes = word.as_bytes();
    if bytes.len() < 4 || !word.is_ascii() || bytes[0].is_ascii_digit() {
        return word;
    }
    let word = plural(word);
    let word = ending(word);
    // `use` and `using`, `create` and `creating`, `query` and `queries`.
    let word = word.strip_suffix('e').filter(|rest| rest.len() > 2).unwrap_or(word);
    match word.as_bytes() {
        [rest @ .., b'y' | b'i'] if rest.len() > 2 => &word[..rest.len()],
        // `plann-ing` and `plan`.
        [rest @ .., a, b] if a == b && !matches!(b, b's' | b'l') && rest.len() > 1 => {
            &word[..rest.len() + 1]
        }
        _ => word,
    }
}

fn plural(word: &str) -> &str {
    match word.as_bytes() {
        [.., b's' | b'u' | b'i', b's'] => word,
        [rest @ .., b's', b's' | b'h', b'e', b's'] | [rest @ .., b'c', b'h', b'e', b's'] => {
            &word[..rest.len() + 2]
        }
        [rest @ .., b'x', b'e', b's'] => &word[..rest.len() + 1],
        [rest @ .., b'i', b'e', b's'] if rest.len() > 1 => &word[..rest.len() + 1],
        [rest @ .., b's'] => &word[..rest.len()],
        _ => word,
    }
}

/// Endings that make another word of the same stem, and how much has to be left.
const ENDINGS: &[(&str, usize)] = &[
    ("izations", 3),
    ("ization", 3),
    ("ations", 3),
    ("ation", 3),
    ("ators", 3),
    ("ator", 3),
    ("ating", 3),
    ("ated", 3),
    ("ates", 3),
    ("ate", 3),
    ("izing", 3),
    ("ized", 3),
    ("izer", 3),
    ("ize", 3),
    ("ments", 4),
    ("ment", 4),
    ("ings", 3),
    ("ing", 3),
    ("ions", 4),
    ("ion", 4),
    ("ers", 4),
    ("er", 4),
    ("ors", 4),
    ("or", 4),
    ("ed", 3),
    ("ly", 4),
];

fn ending(word: &str) -> &str {
    for (ending, left) in ENDINGS {
        if let Some(rest) = word.strip_suffix(ending)
            && rest.len() >= *left
            && rest.bytes().any(|b| matches!(b, b'a' | b'e' | b'i' | b'o' | b'u' | b'y'))
        {
            return rest;
        }
    }
    word
}

#[cfg(test)]
mod tests {
    use super::{STOP_WORDS, stem};

    #[test]
    fn forms_of_a_word_have_one_stem() {
        for forms in [
            &["search", "searches", "searched", "searching"][..],
            &["create", "creates", "created", "creating", "creation", "creator"],
            &["query", "queries", "querying"],
            &["convert", "converts", "converter"],
            &["plan", "plans", "planning", "planned"],
            &["translate", "translation", "translator", "translating"],
            &["file", "files"],
            &["box", "boxes"],
        ] {
            let stems: Vec<&str> = forms.iter().map(|form| stem(form)).collect();
            assert!(stems.iter().all(|other| *other == stems[0]), "{forms:?}: {stems:?}");
        }
    }

    #[test]
    fn short_words_and_other_scripts_stay() {
        for word in ["s3", "aws", "bus", "class", "status", "größe", "4k"] {
            assert_eq!(stem(word), word);
        }
    }

    #[test]
    fn stop_words_are_sorted() {
        assert!(STOP_WORDS.is_sorted());
    }
}
