//! Durations in reports.

use std::time::Duration;

/// A duration in milliseconds, rounded to microseconds so that it is short in JSON.
pub fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits_after_the_point() {
        for (nanos, text) in
            [(446_993_000, "446.993"), (446_993_456, "446.993"), (1_500, "0.002"), (0, "0")]
        {
            assert_eq!(millis(Duration::from_nanos(nanos)).to_string(), text);
        }
    }
}
