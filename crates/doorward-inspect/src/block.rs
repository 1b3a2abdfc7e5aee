//! Which bytes of a text are of which kind, 64 at a time: one bit a byte, so that what follows what is found without branches.

/// Bytes of a block.
pub(crate) const BLOCK: usize = 64;

/// For each of `N` kinds, the bytes from an offset on that are of it: the first byte in the lowest bit, and nothing behind the
/// end. `kinds`: by byte, a bit for each kind, the first in the lowest one.
pub(crate) fn planes<const N: usize>(bytes: &[u8], from: usize, kinds: &[u8; 256]) -> [u64; N] {
    const { assert!(N <= 8) };
    let rest = bytes.get(from..).unwrap_or_default();
    let (eights, last) = rest[..rest.len().min(BLOCK)].as_chunks::<8>();
    let mut planes = [0; N];
    let mut take = |at: usize, eight: &[u8]| {
        let add = |all: u64, byte: &u8| all << 8 | u64::from(kinds[usize::from(*byte)]);
        let of = eight.iter().rev().fold(0, add);
        for (kind, plane) in planes.iter_mut().enumerate() {
            // The lowest bits of eight bytes, moved next to each other.
            let bits = (of >> kind & 0x0101_0101_0101_0101).wrapping_mul(0x0102_0408_1020_4080);
            *plane |= bits >> 56 << (8 * at);
        }
    };
    for (at, eight) in eights.iter().enumerate() {
        take(at, eight);
    }
    if !last.is_empty() {
        take(eights.len(), last);
    }
    planes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_bit_is_the_kind_of_its_byte(bytes in proptest::collection::vec(any::<u8>(), 0..130), at in 0usize..140) {
            let mut kinds = [0; 256];
            for (kind, byte) in kinds.iter_mut().zip(0u8..=255) {
                *kind = byte.wrapping_mul(37);
            }
            let planes: [u64; 8] = planes(&bytes, at, &kinds);
            for bit in 0..BLOCK {
                let byte = bytes.get(at + bit).copied().unwrap_or_default();
                for (kind, plane) in planes.iter().enumerate() {
                    prop_assert_eq!(plane >> bit & 1, u64::from(kinds[usize::from(byte)] >> kind & 1));
                }
            }
        }
    }
}
