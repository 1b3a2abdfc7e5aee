//! Random numbers that need not be secret, generated without a system call.

/// The increment of splitmix64. Add it to the state before each [`scattered`].
pub const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The output function of splitmix64.
pub fn scattered(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
