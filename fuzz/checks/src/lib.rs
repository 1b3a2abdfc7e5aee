//! What holds for any input, by target: fuzzing calls it on inputs that it makes up, and an ordinary test on those in
//! `fuzz/corpus`.

pub mod a2a;
pub mod compact_parameters;
pub mod compact_results;
pub mod compact_schemas;
pub mod forms;
pub mod functions;
pub mod headers;
pub mod jsonrpc;
pub mod redact;
pub mod scan;
pub mod sse;
pub mod to_handshake;
pub mod to_modern;
pub mod written;

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Runs a target on its corpus, with what fuzzing has added to it here, and on all that an input is on its way: an
    /// input that is cut off, or lacks a byte, is what a parser meets first.
    fn run(target: &str, check: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(target);
        let mut seeds = 0;
        for file in std::fs::read_dir(&folder).unwrap() {
            let path = file.unwrap().path();
            let input = std::fs::read(&path).unwrap();
            eprintln!("{}", path.display());
            check(&input);
            if path.extension().is_none_or(|extension| extension != "seed") {
                continue;
            }
            seeds += 1;
            for at in 0..input.len() {
                check(&input[..at]);
                check(&[&input[..at], &input[at + 1..]].concat());
            }
        }
        assert!(seeds >= 3, "{} has {seeds} seeds", folder.display());
    }

    #[test]
    fn the_corpus_of_a2a_holds() {
        run("a2a", super::a2a::check);
    }

    #[test]
    fn the_corpus_of_compact_parameters_holds() {
        run("compact_parameters", super::compact_parameters::check);
    }

    #[test]
    fn the_corpus_of_compact_results_holds() {
        run("compact_results", super::compact_results::check);
    }

    #[test]
    fn the_corpus_of_compact_schemas_holds() {
        run("compact_schemas", super::compact_schemas::check);
    }

    #[test]
    fn the_corpus_of_headers_holds() {
        run("headers", super::headers::check);
    }

    #[test]
    fn the_corpus_of_jsonrpc_holds() {
        run("jsonrpc", super::jsonrpc::check);
    }

    #[test]
    fn the_corpus_of_forms_holds() {
        run("forms", super::forms::check);
    }

    #[test]
    fn the_corpus_of_functions_holds() {
        run("functions", super::functions::check);
    }

    #[test]
    fn the_corpus_of_redact_holds() {
        run("redact", super::redact::check);
    }

    #[test]
    fn the_corpus_of_scan_holds() {
        run("scan", super::scan::check);
    }

    #[test]
    fn the_corpus_of_sse_holds() {
        run("sse", super::sse::check);
    }

    #[test]
    fn the_corpus_of_to_handshake_holds() {
        run("to_handshake", super::to_handshake::check);
    }

    #[test]
    fn the_corpus_of_to_modern_holds() {
        run("to_modern", super::to_modern::check);
    }

    #[test]
    fn the_corpus_of_written_holds() {
        run("written", super::written::check);
    }
}
