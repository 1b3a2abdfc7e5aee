//! What inspection of a call costs, by what is turned on and by the size of the result: `cargo run --release -p
//! doorward-guards --example inspect`.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::hint::black_box;
use std::time::Instant;

use doorward_config::InspectionSettings;
use doorward_guards::inspection::{Active, Files, Target};
use doorward_mcp::Object;

const ROUNDS: usize = 500;

/// Ordinary English with a few names and numbers.
const PROSE: &str = "The invoice of the third quarter was sent to the customer on Monday, and 14 of the 20 items \
    were delivered. \"Please call back,\" she said;\nthe order number is 20-4711, and the parcel left Hamburg on time. ";

fn main() {
    let cases = [
        ("defaults", "inspection: {}"),
        ("invisible characters alone", r#"{"suspicious":"ignore","data":{"default":"ignore"}}"#),
        ("suspicious texts alone", r#"{"invisible":"ignore","data":{"default":"ignore"}}"#),
        ("data alone", r#"{"invisible":"ignore","suspicious":"ignore"}"#),
    ];
    println!("{:<26} {:>8} {:>12} {:>12}", "what", "bytes", "median µs", "99% µs");
    for (name, results) in cases {
        let mut settings = InspectionSettings::default();
        if let Ok(results) = serde_json::from_str(results) {
            settings.results = results;
        }
        let active = Active::new(None).unwrap();
        active.declare(Some(&settings), Files::default()).unwrap();
        for size in [1 << 10, 10 << 10, 100 << 10] {
            let text: String = PROSE.chars().cycle().take(size).collect();
            let result = serde_json::json!({ "content": [{ "type": "text", "text": text }] });
            let result = Object::from_serde(&result).unwrap();
            let mut times: Vec<f64> = (0..ROUNDS)
                .map(|_| {
                    let began = Instant::now();
                    let guard = active.guard("s", Target::Named("t"), None).unwrap();
                    black_box(guard.result("tools/call", black_box(result.clone())));
                    began.elapsed().as_secs_f64() * 1e6
                })
                .collect();
            times.sort_by(f64::total_cmp);
            let (median, late) = (times[ROUNDS / 2], times[ROUNDS * 99 / 100]);
            println!("{name:<26} {size:>8} {median:>12.1} {late:>12.1}");
        }
    }
    let off = Active::new(None).unwrap();
    let began = Instant::now();
    for _ in 0..1_000_000 {
        black_box(off.is_on());
    }
    println!("off: {:.1} ns a call", began.elapsed().as_secs_f64() * 1e3);
}
