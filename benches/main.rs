//! Measures what a durable save costs on this disk: pflow-store and its alternatives, with the same work, in
//! one run.
//!
//! `cargo run --release -p pflow-bench -- --help` shows the options; `RESULTS.md` explains the results.
//!
//! The program starts itself again for every cell (one peer in one scenario), so that each has its own peak
//! of memory, and inherits no threads, caches or open files. The parent (`run.rs`) only starts cells; `cell/`
//! measures, `peers/` has the peers, and `report/` the output.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "a bench measures with a real clock, talks, and may panic"
)]

mod arguments;
mod cell;
mod child;
mod disk;
mod machine;
mod peers;
mod report;
mod run;
mod scenario;
mod syncs;
mod work;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use clap::Parser;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Command::Cell(order)) = &arguments.command {
        let found = cell::measure(order);
        println!("{}", serde_json::to_string(&found).unwrap());
        return ExitCode::SUCCESS;
    }
    match run::all(&arguments.plan) {
        Ok(results) => {
            report::tell(&arguments, &results);
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("pflow-bench: {reason}");
            ExitCode::FAILURE
        }
    }
}
