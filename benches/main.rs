//! What a durable save costs on this disk: pflow-store beside what a user would pick instead, the same work,
//! in one run.
//!
//! `cargo run --release -p pflow-bench -- --help` tells how to ask; `RESULTS.md` how to read the answer.
//!
//! The program starts itself anew for every cell (one peer in one scenario), so that each has a peak of
//! memory of its own and none inherits threads, caches or open files of another. The parent (`run.rs`) only
//! starts cells; `cell/` measures, `peers/` has who is measured, `report/` what is told.
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
