//! Latencies and their statistics.

use std::time::Duration;

/// The result of one run of load.
#[derive(Debug, Default, Clone)]
pub struct Run {
    latencies: Vec<u32>,
    pub errors: usize,
    pub took: Duration,
}

impl Run {
    pub fn add(&mut self, latency: Duration) {
        self.latencies.push(u32::try_from(latency.as_nanos()).unwrap_or(u32::MAX));
    }

    pub fn merge(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.errors += other.errors;
        self.took = self.took.max(other.took);
    }

    pub fn calls(&self) -> usize {
        self.latencies.len()
    }

    pub fn per_second(&self) -> f64 {
        self.calls() as f64 / self.took.as_secs_f64().max(1e-9)
    }

    /// A quantile of the latencies, in milliseconds.
    pub fn quantile(&mut self, quantile: f64) -> f64 {
        if self.latencies.is_empty() {
            return f64::NAN;
        }
        let at = ((self.latencies.len() - 1) as f64 * quantile).round() as usize;
        let (_, value, _) = self.latencies.select_nth_unstable(at);
        f64::from(*value) / 1e6
    }
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_latencies() {
        let mut run = Run::default();
        for ms in 1..=101u64 {
            run.add(Duration::from_millis(ms));
        }
        assert_eq!((run.quantile(0.5), run.quantile(1.0)), (51.0, 101.0));
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
    }
}
