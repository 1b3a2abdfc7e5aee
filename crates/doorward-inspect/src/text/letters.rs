//! Letters that look like others.

use std::ops::Range;

use unicode_normalization::char::decompose_compatible;
use unicode_security::skeleton;

/// Passes on the plain lower-case letters that a character stands for: its compatibility form (NFKD) without marks, and
/// for a letter that looks like an ASCII one, that one (UTS 39).
pub(super) fn plain(c: char, emit: &mut dyn FnMut(char)) {
    if let Some(letter) = styled(c) {
        return emit(letter);
    }
    decompose_compatible(c, |part| {
        if part.is_ascii() {
            return emit(part.to_ascii_lowercase());
        }
        if is_mark(part) {
            return;
        }
        if let Some(letter) = styled(part) {
            return emit(letter);
        }
        match look(part) {
            Some(ascii) => emit(ascii.to_ascii_lowercase()),
            None => part.to_lowercase().filter(|part| !is_mark(*part)).for_each(&mut *emit),
        }
    });
}

fn is_mark(c: char) -> bool {
    unicode_normalization::char::is_combining_mark(c)
}

/// The single ASCII character that a character looks like.
fn look(c: char) -> Option<char> {
    let mut buffer = [0; 4];
    let mut looks = skeleton(c.encode_utf8(&mut buffer));
    match (looks.next(), looks.next()) {
        (Some(look), None) if look.is_ascii() && look != c => Some(look),
        _ => None,
    }
}

/// Letters in a style that has no compatibility form: small capitals, letters in circles and squares, dashes.
fn styled(c: char) -> Option<char> {
    let letter = |offset: u32| char::from_u32(u32::from('a') + offset);
    let code = u32::from(c);
    match c {
        '\u{2010}'..='\u{2015}' | '\u{2212}' => Some(' '),
        '\u{249c}'..='\u{24b5}' => letter(code - 0x249c),
        '\u{1f130}'..='\u{1f149}' => letter(code - 0x1f130),
        '\u{1f150}'..='\u{1f169}' => letter(code - 0x1f150),
        '\u{1f170}'..='\u{1f189}' => letter(code - 0x1f170),
        '\u{1f1e6}'..='\u{1f1ff}' => letter(code - 0x1f1e6),
        'ᴀ' => Some('a'),
        'ʙ' => Some('b'),
        'ᴄ' => Some('c'),
        'ᴅ' => Some('d'),
        'ᴇ' | 'ǝ' => Some('e'),
        'ꜰ' => Some('f'),
        'ɢ' => Some('g'),
        'ʜ' => Some('h'),
        'ɪ' | 'ı' => Some('i'),
        'ᴊ' => Some('j'),
        'ᴋ' => Some('k'),
        'ʟ' | 'ł' => Some('l'),
        'ᴍ' => Some('m'),
        'ɴ' => Some('n'),
        'ᴏ' | 'ø' => Some('o'),
        'ᴘ' => Some('p'),
        'ʀ' => Some('r'),
        'ꜱ' => Some('s'),
        'ᴛ' => Some('t'),
        'ᴜ' => Some('u'),
        'ᴠ' => Some('v'),
        'ᴡ' => Some('w'),
        'ʏ' => Some('y'),
        'ᴢ' => Some('z'),
        _ => None,
    }
}

/// Words that mix ASCII letters with letters of other scripts that look like ASCII ones, or that are spelled in a style
/// (mathematical, full width, small capitals). At most 64.
pub fn mixed_scripts(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    if text.is_ascii() {
        return found;
    }
    let mut start = None;
    let (mut plain, mut foreign, mut styled_letters) = (0, 0, 0);
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        if c.is_alphanumeric() || matches!(c, '\u{1f130}'..='\u{1f189}') {
            start.get_or_insert(at);
            match c {
                c if c.is_ascii_alphabetic() => plain += 1,
                '\u{370}'..='\u{58f}'
                | '\u{13a0}'..='\u{13ff}'
                | '\u{1c80}'..='\u{1c8f}'
                | '\u{ab30}'..='\u{abbf}' => {
                    foreign += usize::from(look(c).is_some_and(|look| look.is_ascii_alphabetic()));
                }
                '\u{1d400}'..='\u{1d7ff}'
                | '\u{24b6}'..='\u{24e9}'
                | '\u{1f130}'..='\u{1f189}'
                | '\u{ff21}'..='\u{ff3a}'
                | '\u{ff41}'..='\u{ff5a}' => styled_letters += 1,
                c if !c.is_ascii() && styled(c).is_some() => {
                    styled_letters += usize::from(!matches!(c, 'ø' | 'ł' | 'ı'));
                }
                _ => {}
            }
            continue;
        }
        if let Some(start) = start.take() {
            // A single letter beside a sign of science (Δt) is no disguise.
            if (foreign > 0 && plain > 1 && found.len() < 64)
                || (styled_letters > 1 && found.len() < 64)
            {
                found.push(start..at);
            }
            (plain, foreign, styled_letters) = (0, 0, 0);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plainly(text: &str) -> String {
        let mut out = String::new();
        text.chars().for_each(|c| plain(c, &mut |c| out.push(c)));
        out
    }

    #[test]
    fn letters_are_what_they_look_like() {
        for (text, look) in [
            ("ｉｇｎｏｒｅ", "ignore"),
            ("𝐢𝐠𝐧𝐨𝐫𝐞", "ignore"),
            ("іgnоrе", "ignore"),
            ("ɪɢɴᴏʀᴇ", "ignore"),
            ("ÎGÑÓRÉ", "ignore"),
            ("🅸🅶🅽🅾🆁🅴", "ignore"),
            ("ⓘⓖⓝⓞⓡⓔ", "ignore"),
            ("don’t", "don't"),
            ("ﬁle", "file"),
        ] {
            assert_eq!(plainly(text), look, "{text}");
        }
    }

    #[test]
    fn words_of_two_scripts_are_found() {
        for text in ["іgnore", "pаssword", "𝐢𝐠𝐧𝐨𝐫𝐞", "ｉｇｎ"] {
            assert_eq!(mixed_scripts(text).len(), 1, "{text}");
        }
        for text in ["Δt and µs", "naïve", "привет", "10 Ω", "日本 GPU", "α-beta", "Müller", "x²"]
        {
            assert!(mixed_scripts(text).is_empty(), "{text}");
        }
    }
}
