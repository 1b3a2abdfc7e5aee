//! Cards and national ids: numbers with check digits.
//!
//! What random numbers often pass (one check digit, no format) is found only beside a keyword.

use super::checks::{is_date, luhn, mod_11_10, number, remainder, values, verhoeff, weighted};
use super::found::{ACCOUNT, CARD, Context, NATIONAL, is_near};
use super::run::Run;

const CARD_WORDS: [&str; 12] = [
    "card",
    "visa",
    "mastercard",
    "amex",
    "credit",
    "debit",
    "pan",
    "cc",
    "payment",
    "maestro",
    "discover",
    "kreditkarte",
];

/// A card number that begins with a group of a run.
pub(super) fn card(
    text: &str,
    run: &Run,
    group: usize,
    context: Context<'_>,
) -> Option<(usize, usize)> {
    for groups in [1, 3, 4, 5] {
        if group + groups > run.groups.len() {
            break;
        }
        let range = group..group + groups;
        let (digits, place) = run.part(range.clone());
        if !(13..=19).contains(&digits.len()) {
            continue;
        }
        let mut lengths = [0; 5];
        lengths.iter_mut().zip(run.lengths(range.clone())).for_each(|(to, length)| *to = length);
        let is_formed = matches!(
            lengths[..groups],
            [13..=19] | [4, 6, 4 | 5] | [4, 4, 4, 4] | [4, 4, 4, 4, 1..=3]
        );
        let separated = matches!(run.separator(text, range), Some("" | " " | "-"));
        if is_formed
            && separated
            && luhn(digits)
            && is_issued(digits, || is_near(text, place.start, context, &CARD_WORDS))
        {
            return Some((CARD, groups));
        }
    }
    None
}

/// Whether an issuer's range begins with these digits, and cards of it have this length.
fn is_issued(digits: &[u8], is_named: impl Fn() -> bool) -> bool {
    let first = number(&digits[..4]);
    match (first, digits.len()) {
        (
            4000..=4999
            | 5100..=5599
            | 2221..=2720
            | 6011
            | 6440..=6599
            | 3528..=3589
            | 6060..=6069
            | 8100..=8171
            | 9792
            | 2200..=2204,
            16,
        )
        | (3400..=3499 | 3700..=3799, 15)
        | (3000..=3059 | 3095 | 3600..=3699 | 3800..=3999, 14)
        | (6200..=6299, 16..=19) => true,
        (4000..=4999, 13 | 19)
        | (5000 | 5018 | 5020 | 5038 | 5600..=5899 | 6304 | 6700..=6799, 13..=19) => is_named(),
        _ => false,
    }
}

/// A national id of digits in its usual format, or beside a keyword, that begins with a group of a run.
pub(super) fn formatted(
    text: &str,
    run: &Run,
    group: usize,
    context: Context<'_>,
) -> Option<(usize, usize)> {
    let first = run.groups[group].1.clone();
    // No form has fewer digits.
    if run.digits.len() - first.start < 9 {
        return None;
    }
    for form in &FORMS {
        let groups = form.lengths.len();
        if form.lengths[0] != first.len() || group + groups > run.groups.len() {
            continue;
        }
        let range = group..group + groups;
        // The separators one by one: formats mix them.
        let separated = (form.separators.chars().zip(&run.separators[group..]))
            .all(|(wanted, found)| text[found.clone()].starts_with(wanted) && found.len() == 1);
        if !separated || !run.lengths(range.clone()).eq(form.lengths.iter().copied()) {
            continue;
        }
        let (digits, place) = run.part(range);
        if (form.check)(digits)
            && (form.words.is_empty() || is_near(text, place.start, context, form.words))
        {
            return Some((form.detector, groups));
        }
    }
    None
}

/// A format of digits.
struct Form {
    detector: usize,
    lengths: &'static [usize],
    separators: &'static str,
    /// One of them has to be near; none for formats that others do not have.
    words: &'static [&'static str],
    check: fn(&[u8]) -> bool,
}

const fn form(
    lengths: &'static [usize],
    separators: &'static str,
    words: &'static [&'static str],
    check: fn(&[u8]) -> bool,
) -> Form {
    Form { detector: NATIONAL, lengths, separators, words, check }
}

const SSN: [&str; 7] =
    ["ssn", "social security", "socialsecurity", "social_security", "tax id", "itin", "taxpayer"];
const CPF: [&str; 2] = ["cpf", "cadastro"];
const ID: [&str; 10] = [
    "national id",
    "nationalid",
    "national_id",
    "identity number",
    "id number",
    "id_number",
    "identity card",
    "identification",
    "tax id",
    "tax_id",
];

static FORMS: [Form; 46] = [
    // United States.
    form(&[3, 2, 4], "--", &[], is_ssn),
    form(&[3, 2, 4], "  ", &SSN, is_ssn),
    form(&[9], "", &SSN, is_ssn),
    form(&[3, 2, 4], "--", &SSN, |digits| digits[0] == b'9'),
    form(&[2, 7], "-", &["ein", "employer identification", "tax id"], |_| true),
    // Brazil: CPF and CNPJ.
    form(&[3, 3, 3, 2], "..-", &[], is_cpf),
    form(&[11], "", &CPF, is_cpf),
    form(&[2, 3, 3, 4, 2], "../-", &[], is_cnpj),
    form(&[14], "", &["cnpj"], is_cnpj),
    // Belgium.
    form(&[2, 2, 2, 3, 2], "..-.", &[], is_belgian),
    form(&[11], "", &["rijksregister", "national", "nrn", "insz", "niss", "belg"], is_belgian),
    // Nordic countries.
    form(&[6, 4], "-", &[], |digits| is_dated(&digits[..6]) && luhn(digits)),
    form(&[8, 4], "-", &[], |digits| is_dated(&digits[2..8]) && luhn(&digits[2..])),
    form(&[10], "", &["personnummer", "swedish", "organisationsnummer"], |digits| {
        is_dated(&digits[..6]) && luhn(digits)
    }),
    form(&[12], "", &["personnummer", "swedish"], |digits| {
        is_dated(&digits[2..8]) && luhn(&digits[2..])
    }),
    form(&[6, 4], "-", &["cpr", "danish", "personnummer"], |digits| is_day_first(&digits[..6])),
    form(&[10], "", &["cpr", "danish"], |digits| is_day_first(&digits[..6])),
    form(&[11], "", &[], is_norwegian),
    form(&[6, 5], " ", &[], is_norwegian),
    // Poland, Romania, Bulgaria, the Czech Republic, Turkey.
    form(&[11], "", &["pesel", "polish", "national id", "id number"], is_pesel),
    form(&[13], "", &["cnp", "romanian", "national id"], |digits| {
        weighted(digits, &[2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9]) % 11 % 10
            == u32::from(digits[12] - b'0')
    }),
    form(&[10], "", &["egn", "bulgarian"], |digits| {
        weighted(digits, &[2, 4, 8, 5, 10, 9, 7, 3, 6]) % 11 % 10 == u32::from(digits[9] - b'0')
    }),
    form(&[6, 4], "/", &[], |digits| remainder(digits.iter().copied(), 11) == Some(0)),
    form(&[11], "", &["tckn", "tc kimlik", "kimlik", "turkish", "t.c."], is_turkish),
    // Germany, the Netherlands, Portugal, France, Switzerland, Greece.
    form(
        &[11],
        "",
        &["steuer", "tax id", "tin", "idnr", "identifikationsnummer", "german"],
        |digits| digits[0] != b'0' && mod_11_10(digits),
    ),
    form(&[2, 3, 3, 3], "   ", &["steuer", "tax", "idnr", "tin"], |digits| {
        digits[0] != b'0' && mod_11_10(digits)
    }),
    form(&[9], "", &["bsn", "burgerservice", "sofi", "dutch"], |digits| {
        (weighted(digits, &[9, 8, 7, 6, 5, 4, 3, 2]) + 10 * 11 - u32::from(digits[8] - b'0'))
            .is_multiple_of(11)
    }),
    form(&[9], "", &["nif", "contribuinte", "portugu"], |digits| {
        11 - weighted(digits, &[9, 8, 7, 6, 5, 4, 3, 2]) % 11 == u32::from(digits[8] - b'0')
            || weighted(digits, &[9, 8, 7, 6, 5, 4, 3, 2]) % 11 < 2 && digits[8] == b'0'
    }),
    form(&[15], "", &[], is_french),
    form(&[1, 2, 2, 2, 3, 3, 2], "      ", &[], is_french),
    form(&[3, 4, 4, 2], "...", &[], |digits| digits.starts_with(b"756") && is_ean(digits)),
    form(&[13], "", &["ahv", "avs", "swiss"], |digits| {
        digits.starts_with(b"756") && is_ean(digits)
    }),
    form(&[11], "", &["amka", "greek"], |digits| is_day_first(&digits[..6]) && luhn(digits)),
    // India, China (digits only), Korea, Japan, Israel, Australia, Canada.
    form(&[4, 4, 4], "  ", &[], |digits| digits[0] > b'1' && verhoeff(digits)),
    form(&[4, 4, 4], "--", &["aadhaar", "aadhar", "uidai", "uid"], |digits| {
        digits[0] > b'1' && verhoeff(digits)
    }),
    form(&[12], "", &["aadhaar", "aadhar", "uidai"], |digits| digits[0] > b'1' && verhoeff(digits)),
    form(&[18], "", &[], is_chinese),
    form(&[6, 7], "-", &[], |digits| is_dated(&digits[..6]) && matches!(digits[6], b'1'..=b'8')),
    form(&[12], "", &["my number", "mynumber", "kojin"], |digits| {
        check_11(digits, &[6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) == u32::from(digits[11] - b'0')
    }),
    form(&[9], "", &["teudat", "israeli", "israel id"], luhn),
    form(&[3, 3, 3], "  ", &["tfn", "tax file"], is_tfn),
    form(&[9], "", &["tfn", "tax file"], is_tfn),
    form(&[3, 3, 3], "--", &[], |digits| luhn(digits) && !matches!(digits[0], b'0' | b'8')),
    form(&[3, 3, 3], "  ", &["sin", "social insurance", "canad"], luhn),
    form(&[9], "", &["social insurance", "sin number", "sin:"], luhn),
    // The United Kingdom's health service.
    form(&[3, 3, 4], "  ", &["nhs", "national health"], is_nhs),
];

static NAMED: [Form; 8] = [
    form(&[10], "", &["nhs", "national health"], is_nhs),
    form(
        &[13],
        "",
        &["south african", "sa id", "rsa id", "id number", "identity number"],
        |digits| is_dated(&digits[..6]) && luhn(digits),
    ),
    Form {
        detector: ACCOUNT,
        lengths: &[9],
        separators: "",
        words: &["routing", "aba", "rtn"],
        check: |digits| weighted(digits, &[3, 7, 1, 3, 7, 1, 3, 7, 1]).is_multiple_of(10),
    },
    form(&[13], "", &["jmbg", "emso", "oib"], |digits| is_day_first(&digits[..6])),
    form(&[11], "", &["oib"], mod_11_10),
    form(&[10], "", &["nip", "rodne", "egn"], |_| true),
    form(&[8], "", &ID, |_| true),
    form(&[10], "", &ID, |_| true),
];

/// Ids that are found only beside a keyword, and account numbers.
pub(super) fn named(
    text: &str,
    run: &Run,
    group: usize,
    context: Context<'_>,
) -> Option<(usize, usize)> {
    let (digits, place) = run.part(group..group + 1);
    let form = NAMED.iter().find(|form| {
        form.lengths == [digits.len()]
            && (form.check)(digits)
            && is_near(text, place.start, context, form.words)
    });
    if let Some(form) = form {
        return Some((form.detector, 1));
    }
    let is_account = (6..=17).contains(&digits.len())
        && is_near(
            text,
            place.start,
            context,
            &[
                "account number",
                "account no",
                "acct",
                "account_number",
                "accountnumber",
                "bank account",
                "kontonummer",
                "sort code",
            ],
        );
    is_account.then_some((ACCOUNT, 1))
}

fn is_ssn(digits: &[u8]) -> bool {
    let (area, group, serial) =
        (number(&digits[..3]), number(&digits[3..5]), number(&digits[5..9]));
    !matches!(area, 0 | 666 | 900..)
        && group != 0
        && serial != 0
        && digits != b"123456789"
        && digits != b"078051120"
}

pub(super) fn is_dated(digits: &[u8]) -> bool {
    let (year, month, day) = (number(&digits[..2]), number(&digits[2..4]), number(&digits[4..6]));
    is_date(year, month, day)
}

pub(super) fn is_day_first(digits: &[u8]) -> bool {
    is_date(number(&digits[4..6]), number(&digits[2..4]), number(&digits[..2]))
}

/// A check digit of a weighted sum modulo 11, 0 for remainders below two.
pub(super) fn check_11(digits: &[u8], weights: &[u32]) -> u32 {
    let rest = weighted(digits, weights) % 11;
    if rest < 2 { 0 } else { 11 - rest }
}

fn is_cpf(digits: &[u8]) -> bool {
    let varied = digits.iter().any(|digit| *digit != digits[0]);
    varied
        && check_11(digits, &[10, 9, 8, 7, 6, 5, 4, 3, 2]) == u32::from(digits[9] - b'0')
        && check_11(digits, &[11, 10, 9, 8, 7, 6, 5, 4, 3, 2]) == u32::from(digits[10] - b'0')
}

fn is_cnpj(digits: &[u8]) -> bool {
    check_11(digits, &[5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]) == u32::from(digits[12] - b'0')
        && check_11(digits, &[6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2])
            == u32::from(digits[13] - b'0')
}

fn is_belgian(digits: &[u8]) -> bool {
    let check = number(&digits[9..]);
    let rest = |prefix: &[u8]| {
        remainder(prefix.iter().chain(&digits[..9]).copied(), 97).map(|rest| 97 - rest)
    };
    number(&digits[2..4]) <= 12
        && number(&digits[4..6]) <= 31
        && (rest(b"") == Some(check) || rest(b"2") == Some(check))
}

fn is_norwegian(digits: &[u8]) -> bool {
    let check = |weights: &[u32]| (11 - weighted(digits, weights) % 11) % 11;
    let day = number(&digits[..2]);
    is_date(0, number(&digits[2..4]), if day > 40 { day - 40 } else { day })
        && check(&[3, 7, 6, 1, 8, 9, 4, 5, 2]) == u32::from(digits[9] - b'0')
        && check(&[5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) == u32::from(digits[10] - b'0')
}

fn is_pesel(digits: &[u8]) -> bool {
    let sum = weighted(digits, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3]);
    is_date(0, number(&digits[2..4]) % 20, number(&digits[4..6]))
        && (10 - sum % 10) % 10 == u32::from(digits[10] - b'0')
}

fn is_turkish(digits: &[u8]) -> bool {
    let all: Vec<u32> = values(digits).collect();
    let (odd, even): (u32, u32) =
        ((0..9).step_by(2).map(|at| all[at]).sum(), (1..8).step_by(2).map(|at| all[at]).sum());
    all[0] != 0
        && (odd * 7 + 90 - even) % 10 == all[9]
        && all[..10].iter().sum::<u32>() % 10 == all[10]
}

fn is_french(digits: &[u8]) -> bool {
    matches!(digits[0], b'1' | b'2')
        && matches!(number(&digits[3..5]), 1..=12 | 20..=42 | 50..=99)
        && remainder(digits[..13].iter().copied(), 97).map(|rest| 97 - rest)
            == Some(number(&digits[13..]))
}

fn is_ean(digits: &[u8]) -> bool {
    let sum = weighted(digits, &[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3]);
    (10 - sum % 10) % 10 == u32::from(digits[12] - b'0')
}

fn is_tfn(digits: &[u8]) -> bool {
    weighted(digits, &[1, 4, 3, 7, 5, 8, 6, 9, 10]).is_multiple_of(11)
}

fn is_nhs(digits: &[u8]) -> bool {
    let check = 11 - weighted(digits, &[10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11;
    check % 11 == u32::from(digits[9] - b'0')
}

/// A Chinese resident id: 17 digits with a date, and a digit or `X`.
pub(super) fn is_chinese(id: &[u8]) -> bool {
    let date = &id[6..14];
    let sum = weighted(&id[..17], &[7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]);
    matches!(number(&date[..2]), 18..=20)
        && is_date(number(&date[2..4]), number(&date[4..6]), number(&date[6..8]))
        && b"10X98765432"[sum as usize % 11] == id[17].to_ascii_uppercase()
}
