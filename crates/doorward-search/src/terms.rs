//! Words to the terms that are indexed and searched: stems, pairs of characters, concepts and 4-grams.

use crate::concepts::{self, Concept};
use crate::stem::{is_stop_word, stem};
use crate::text::Token;

/// What is indexed and searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Term<'a> {
    /// The stem of a word, or two neighbouring characters of a script without spaces.
    Word(&'a str),
    /// What a word means.
    Concept(Concept),
}

/// Calls `each` for the terms of a word. Stop words, single letters and numbers have none.
pub(crate) fn of(token: Token<'_>, mut each: impl FnMut(Term<'_>)) {
    match token {
        Token::Word(word) => {
            if word.len() > 1 && !is_stop_word(word) {
                if !word.chars().all(char::is_numeric) {
                    each(Term::Word(stem(word)));
                }
                concepts::of_word(word, |concept| each(Term::Concept(concept)));
            }
        }
        Token::Joined(word) => each(Term::Word(stem(word))),
        Token::Run(run) => {
            pairs(run, |pair| each(Term::Word(pair)));
            concepts::of_run(run, |concept| each(Term::Concept(concept)));
        }
    }
}

/// Overlapping pairs of characters; one character alone is a term of its own.
fn pairs(run: &str, mut each: impl FnMut(&str)) {
    let mut starts = run.char_indices().map(|(at, _)| at);
    let (Some(mut start), Some(mut middle)) = (starts.next(), starts.next()) else {
        return each(run);
    };
    for end in starts.chain([run.len()]) {
        each(&run[start..end]);
        start = middle;
        middle = end;
    }
}

/// Calls `each` for the 4-grams of a word, with a space for its beginning and its end.
pub(crate) fn grams(token: Token<'_>, mut each: impl FnMut(&str)) {
    let Token::Word(word) = token else { return };
    if word.len() < 3 || is_stop_word(word) {
        return;
    }
    let mut padded = String::with_capacity(word.len() + 2);
    padded.push(' ');
    padded.push_str(word);
    padded.push(' ');
    let bounds: Vec<usize> =
        padded.char_indices().map(|(at, _)| at).chain([padded.len()]).collect();
    for bounds in bounds.windows(5) {
        each(&padded[bounds[0]..bounds[4]]);
    }
}

#[cfg(test)]
mod tests {
    use super::{Concept, Term, grams, of};
    use crate::text::{Token, words};

    fn stems(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        words(text, text.len(), |token| {
            of(token, |term| {
                if let Term::Word(word) = term {
                    found.push(word.to_owned());
                }
            });
        });
        found
    }

    fn concepts(text: &str) -> Vec<Concept> {
        let mut found = Vec::new();
        words(text, text.len(), |token| {
            of(token, |term| {
                if let Term::Concept(concept) = term {
                    found.push(concept);
                }
            });
        });
        found
    }

    #[test]
    fn identifiers_and_prose_have_the_same_terms() {
        for text in [
            "search_issues",
            "searchIssues",
            "SearchIssues",
            "search-issues",
            "search issues",
            "Searching the issue",
        ] {
            assert_eq!(
                stems(text).iter().filter(|term| term.len() < 8).collect::<Vec<_>>(),
                ["search", "issu"],
                "{text}"
            );
        }
    }

    #[test]
    fn stop_words_letters_and_numbers_have_no_terms() {
        assert_eq!(stems("what is the 42 of x"), Vec::<String>::new());
    }

    #[test]
    fn a_script_without_spaces_becomes_pairs() {
        assert_eq!(stems("天気予報"), ["天気", "気予", "予報"]);
        assert_eq!(stems("株"), ["株"]);
    }

    #[test]
    fn words_of_six_languages_mean_the_same() {
        let weather = concepts("weather")[0];
        for word in [
            "forecast",
            "Wetter",
            "Wettervorhersage",
            "météo",
            "METEO",
            "pronóstico",
            "天気を教えて",
            "今天的天气怎么样",
        ] {
            assert!(concepts(word).contains(&weather), "{word}");
        }
        assert!(!concepts("invoice").contains(&weather));
    }

    #[test]
    fn compounds_mean_what_their_parts_mean() {
        let found = concepts("Wechselkursberechnung");
        assert!(found.contains(&concepts("currency")[0]), "{found:?}");
        assert!(found.contains(&concepts("calculate")[0]), "{found:?}");
    }

    #[test]
    fn grams_know_where_a_word_begins_and_ends() {
        let mut found = Vec::new();
        grams(Token::Word("größe"), |gram| found.push(gram.to_owned()));
        assert_eq!(found, [" grö", "größ", "röße", "öße "]);
    }
}
