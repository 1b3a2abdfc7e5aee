//! Points in time (spec 1.0 §5.6.1): carried as they were written, compared as what they mean.

/// A point in time: the text of RFC 3339 as it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timestamp(String);

/// Longest text of a point in time.
const LONGEST: usize = 64;

impl Timestamp {
    /// `None` if the text is not a point in time. One without a zone, as agents of 0.3 write it, is in UTC.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() <= LONGEST && nanos(text).is_some()).then(|| Self(text.to_owned()))
    }

    /// A point in time, in milliseconds since 1970; `None` outside the years 0 to 9999.
    pub fn of_millis(millis: i64) -> Option<Self> {
        let text = written(i128::from(millis) * 1_000_000)?;
        let seconds = text.get(..19)?;
        Some(Self(format!("{seconds}.{:03}Z", millis.rem_euclid(1000))))
    }

    /// Nanoseconds since 1970, for comparisons.
    pub fn nanos(&self) -> i128 {
        nanos(&self.0).unwrap_or(i128::MIN)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text that ProtoJSON takes: in UTC, with `Z`.
    pub(crate) fn in_utc(&self) -> String {
        let bytes = self.0.as_bytes();
        if bytes.last() == Some(&b'Z') && bytes.get(10) == Some(&b'T') {
            return self.0.clone();
        }
        written(self.nanos()).unwrap_or_else(|| self.0.clone())
    }
}

const NANOS_A_SECOND: i128 = 1_000_000_000;
const SECONDS_A_DAY: i64 = 86_400;

/// The digits of a text as a number.
fn number(text: &str) -> Option<i64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

/// RFC 3339, with one to nine digits of a second; the zone may be missing.
fn nanos(text: &str) -> Option<i128> {
    let (date, time) = (text.get(..10)?, text.get(11..)?);
    if !matches!(text.as_bytes()[10], b'T' | b't' | b' ') {
        return None;
    }
    let mut date = date.split('-').map(number);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    if date.next().is_some() || text.get(4..5)? != "-" || text.get(7..8)? != "-" {
        return None;
    }
    let (time, zone) = match time.find(['Z', 'z', '+', '-']) {
        Some(at) => time.split_at(at),
        None => (time, "Z"),
    };
    let (whole, fraction) = time.split_once('.').unwrap_or((time, "0"));
    if !(1..=9).contains(&fraction.len()) {
        return None;
    }
    let (seconds, offset) = (
        of_day(whole, true)?,
        match zone {
            "Z" | "z" => 0,
            _ => of_day(zone.get(1..)?, false)? * if zone.starts_with('-') { -1 } else { 1 },
        },
    );
    let fraction = number(fraction)? * 10_i64.pow(9 - u32::try_from(fraction.len()).ok()?);
    let days = days(year, month, day)?;
    let seconds = days * SECONDS_A_DAY + seconds - offset;
    Some(i128::from(seconds) * NANOS_A_SECOND + i128::from(fraction))
}

/// Seconds of `hh:mm:ss`, or of `hh:mm`. A leap second counts as the one before.
fn of_day(text: &str, has_seconds: bool) -> Option<i64> {
    let parts: Vec<i64> = text
        .splitn(4, ':')
        .map(|part| number(part).filter(|_| part.len() == 2))
        .collect::<Option<_>>()?;
    match (&parts[..], has_seconds) {
        ([hour @ 0..=23, minute @ 0..=59, second @ 0..=60], true) => {
            Some(hour * 3600 + minute * 60 + second.min(&59))
        }
        ([hour @ 0..=23, minute @ 0..=59], false) => Some(hour * 3600 + minute * 60),
        _ => None,
    }
}

/// Days from 1970 to a date of the Gregorian calendar; `None` if there is no such date.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=longest).contains(&day) {
        return None;
    }
    // Years that begin in March have their leap day at the end.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_year = (153 * month + 2) / 5 + day - 1;
    Some(
        year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year
            - 719_468,
    )
}

/// A point in time in UTC, with as many digits as it needs; `None` outside the years 0 to 9999.
fn written(nanos: i128) -> Option<String> {
    let seconds = i64::try_from(nanos.div_euclid(NANOS_A_SECOND)).ok()?;
    let (since_march_of_0, second) =
        (seconds.div_euclid(SECONDS_A_DAY) + 719_468, seconds.rem_euclid(SECONDS_A_DAY));
    let (era, day) = (since_march_of_0.div_euclid(146_097), since_march_of_0.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + i64::from(month <= 2);
    if !(0..=9999).contains(&year) {
        return None;
    }
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    let fraction = nanos.rem_euclid(NANOS_A_SECOND);
    if fraction > 0 {
        text.push_str(format!(".{fraction:09}").trim_end_matches('0'));
    }
    text.push('Z');
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_kept_and_the_instant_compared() {
        for text in
            ["2025-10-28T10:30:00.000Z", "2025-10-28T10:30:00Z", "2025-10-28T10:30:00.123456789Z"]
        {
            let read = Timestamp::parse(text).unwrap();
            assert_eq!((read.as_str(), read.in_utc()), (text, text.to_owned()));
        }
        let nanos = |text| Timestamp::parse(text).unwrap().nanos();
        assert_eq!(nanos("1970-01-01T00:00:01Z"), 1_000_000_000);
        assert_eq!(nanos("2025-10-28T12:30:00+02:00"), nanos("2025-10-28T10:30:00.000Z"));
        assert_eq!(nanos("2025-10-28T10:30:00"), nanos("2025-10-28T10:30:00Z"));
    }

    #[test]
    fn other_zones_become_utc() {
        for (text, utc) in [
            ("2025-10-28T12:30:00+02:00", "2025-10-28T10:30:00Z"),
            ("2025-10-28T10:30:00.5+00:00", "2025-10-28T10:30:00.5Z"),
            ("2025-10-28 10:30:00Z", "2025-10-28T10:30:00Z"),
        ] {
            assert_eq!(Timestamp::parse(text).unwrap().in_utc(), utc);
        }
        assert_eq!(Timestamp::of_millis(1500).unwrap().as_str(), "1970-01-01T00:00:01.500Z");
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_the_same_instant(seconds in -62_135_596_800_i64..253_402_300_800, nanos in 0..1_000_000_000_i128) {
            let instant = i128::from(seconds) * NANOS_A_SECOND + nanos;
            proptest::prop_assert_eq!(super::nanos(&written(instant).unwrap()), Some(instant));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[0-9TZ:.+-]{0,40}|.{0,40}") {
            let _ = Timestamp::parse(&text).map(|time| time.in_utc());
        }
    }

    #[test]
    fn known_instants_are_read() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2026-11-30T03:07:00Z", 1_796_008_020),
            ("1969-12-31T23:59:59Z", -1),
            ("0000-03-01T00:00:00Z", -62_162_035_200_i64),
        ] {
            assert_eq!(
                Timestamp::parse(text).unwrap().nanos(),
                i128::from(seconds) * NANOS_A_SECOND,
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_point_in_time_is_refused() {
        for text in
            ["", "now", "2025-10-28", "2025-13-01T00:00:00Z", &"2025-10-28T10:30:00Z".repeat(9)]
        {
            assert!(Timestamp::parse(text).is_none(), "{text}");
        }
    }
}
