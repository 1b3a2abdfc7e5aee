//! Secrets by how they begin, however much of them there is: a token that was cut off is none that a detector finds, but
//! what is left of it is not written either.

/// How tokens begin.
const BEGINNINGS: [&str; 24] = [
    "sk-",
    "sk_live_",
    "rk_live_",
    "sk_test_",
    "rk_test_",
    "ghp_",
    "gho_",
    "ghs_",
    "ghu_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "xapp-",
    "AKIA",
    "ASIA",
    "AIza",
    "hf_",
    "npm_",
    "pypi-",
    "shpat_",
    "dop_v1_",
    // Keys of this gateway.
    "dwk_",
];

/// Least length of a word that is masked, in bytes.
const LEAST: usize = 12;

const MASK: &str = "[SECRET]";

/// A text without the words that begin like secrets; `None` if there are none.
pub(super) fn masked(text: &str) -> Option<String> {
    let is_edge =
        |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '/' | '='));
    let mut out = String::new();
    let mut copied = 0;
    for word in text.split(is_edge).filter(|word| word.len() >= LEAST) {
        // A secret may be assigned, or be the last part of a path.
        let from = word.rfind(['=', '/']).map_or(0, |at| at + 1);
        let word = if looks_secret(word) { word } else { &word[from..] };
        if looks_secret(word) {
            // The words are slices of the text.
            let at = word.as_ptr() as usize - text.as_ptr() as usize;
            out.push_str(&text[copied..at]);
            out.push_str(MASK);
            copied = at + word.len();
        }
    }
    let pem = text[copied..].find("-----BEGIN ").filter(|_| text.contains("PRIVATE KEY"));
    if let Some(at) = pem {
        // A key without its end.
        out.push_str(&text[copied..copied + at]);
        out.push_str(MASK);
        return Some(out);
    }
    (copied > 0).then(|| {
        out.push_str(&text[copied..]);
        out
    })
}

fn looks_secret(word: &str) -> bool {
    let is_jwt = || word.starts_with("eyJ") && word.len() >= 24 && word.contains('.');
    word.len() >= LEAST
        && (BEGINNINGS.iter().any(|beginning| word.starts_with(beginning)) && has_digit(word)
            || is_jwt())
}

/// Words such as `sk-learn-contrib` have none.
fn has_digit(word: &str) -> bool {
    word.bytes().any(|byte| byte.is_ascii_digit())
}
