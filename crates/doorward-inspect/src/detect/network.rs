//! Addresses of networks: IP and MAC.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::found::{IP, MAC, Match};
use super::run::Run;

/// An IPv4 address that begins with a group of a run. Those that identify nobody (loopback, netmasks, networks) are no
/// findings, nor are versions.
pub(super) fn v4(text: &str, run: &Run, group: usize) -> Option<(usize, usize)> {
    if group + 4 > run.groups.len() || run.separator(text, group..group + 4) != Some(".") {
        return None;
    }
    let bytes = text.as_bytes();
    let (_, place) = run.part(group..group + 4);
    let is_dot = |at: Option<usize>| at.and_then(|at| bytes.get(at)) == Some(&b'.');
    let goes_on =
        is_dot(Some(place.end)) && bytes.get(place.end + 1).is_some_and(u8::is_ascii_digit);
    if goes_on
        || is_dot(place.start.checked_sub(1))
        || is_version(&bytes[place.start.saturating_sub(16)..place.start])
    {
        return None;
    }
    let address: Ipv4Addr = text[place.clone()].parse().ok()?;
    let is_network = bytes.get(place.end) == Some(&b'/')
        && bytes.get(place.end + 1).is_some_and(u8::is_ascii_digit)
        && !text[place.end + 1..].starts_with("32");
    let is_nobody = address.is_loopback()
        || address.is_unspecified()
        || address.is_broadcast()
        || address.is_multicast()
        || address.octets()[0] == 255
        || address.octets()[0] == 0;
    (!is_nobody && !is_network).then_some((IP, 4))
}

/// Whether what is before a number says that it is a version.
fn is_version(before: &[u8]) -> bool {
    let before = before.to_ascii_lowercase();
    let last = before.last().copied().unwrap_or(b' ');
    matches!(last, b'v' | b'@' | b'^' | b'~')
        || before.windows(7).any(|word| word == b"version")
        || before.windows(3).any(|word| word == b"ver")
}

/// A MAC or IPv6 address that begins with hexadecimal digits at an offset. Returns its end.
pub(super) fn hexadecimal(text: &str, at: usize, found: &mut Vec<Match>) -> Option<usize> {
    let bytes = text.as_bytes();
    if at > 0 && matches!(bytes[at - 1], b':' | b'-' | b'.') {
        return None;
    }
    if let Some(length) = mac_length(&bytes[at..]) {
        let end = at + length;
        if !bytes
            .get(end)
            .is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'-'))
        {
            found.push(Match { detector: MAC, range: at..end });
            return Some(end);
        }
    }
    v6_at(text, at, found)
}

/// The length of a MAC address: `00:1a:2b:3c:4d:5e`, `00-1A-…`, `001a.2b3c.4d5e`.
fn mac_length(bytes: &[u8]) -> Option<usize> {
    let dotted = || {
        let part = bytes.get(..14)?;
        let matches = part
            .iter()
            .enumerate()
            .all(|(at, byte)| if at % 5 == 4 { *byte == b'.' } else { byte.is_ascii_hexdigit() });
        (matches && part.iter().any(u8::is_ascii_alphabetic)).then_some(14)
    };
    let Some(part) = bytes.get(..17) else { return dotted() };
    let separator = part[2];
    let matches = matches!(separator, b':' | b'-')
        && part.iter().enumerate().all(|(at, byte)| {
            if at % 3 == 2 { *byte == separator } else { byte.is_ascii_hexdigit() }
        });
    let digits = || part.iter().filter(|byte| byte.is_ascii_hexdigit());
    let is_nobody = || {
        digits().all(|byte| *byte == b'0') || digits().all(|byte| byte.eq_ignore_ascii_case(&b'f'))
    };
    if matches && !is_nobody() { Some(17) } else { dotted() }
}

/// An IPv6 address that begins with `::` at an offset.
pub(super) fn v6(text: &str, at: usize, found: &mut Vec<Match>) {
    let before = at.checked_sub(1).map(|before| text.as_bytes()[before]);
    if !before.is_some_and(|byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_' | b'>' | b')')
    }) {
        v6_at(text, at, found);
    }
}

fn v6_at(text: &str, at: usize, found: &mut Vec<Match>) -> Option<usize> {
    let bytes = text.as_bytes();
    let is_part = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    let mut end = at + bytes[at..].iter().take(45).take_while(|byte| is_part(byte)).count();
    while end > at && bytes[end - 1] == b'.' {
        end -= 1;
    }
    let token = &text[at..end];
    let groups = token.split(':').filter(|group| !group.is_empty()).count();
    if bytes.get(end).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        || groups < 3
        || token.matches(':').count() < 2
    {
        return None;
    }
    let address: Ipv6Addr = token.parse().ok()?;
    let is_network = bytes.get(end) == Some(&b'/') && !text[end + 1..].starts_with("128");
    let is_nobody = address.is_loopback() || address.is_unspecified() || address.is_multicast();
    if is_nobody || is_network || groups < 4 && !token.bytes().any(|byte| byte.is_ascii_digit()) {
        return None;
    }
    found.push(Match { detector: IP, range: at..end });
    Some(end)
}
