//! Random numbers that need not be secret, generated without a system call each time.

/// How far apart two numbers are to be [`scattered`].
pub const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// One of the numbers that splitmix64 draws.
pub fn scattered(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
