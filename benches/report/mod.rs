//! The reports.

mod json;
mod markdown;
mod table;

use crate::{
    arguments::Arguments,
    run::{Results, Row},
};

pub(crate) fn tell(arguments: &Arguments, results: &Results) {
    let table = table::of(results);
    if arguments.json {
        eprint!("{table}");
        println!("{}", json::of(&arguments.plan, results));
    } else if arguments.markdown {
        eprint!("{table}");
        print!("{}", markdown::of(&arguments.plan, results));
    } else {
        print!("{table}");
    }
}

/// Returns the operations per second of `row` relative to `other`.
fn ratio(row: &Row, other: &Row) -> f64 {
    row.found.per_second / other.found.per_second
}

/// Returns the rows of each scenario.
fn scenarios(results: &Results) -> impl Iterator<Item = &[Row]> {
    results.rows.chunk_by(|one, next| one.scenario == next.scenario)
}

fn ours(rows: &[Row]) -> Option<&Row> {
    rows.iter().find(|row| row.peer.is_ours())
}

/// Returns notes about what is missing.
fn missing(results: &Results) -> Vec<String> {
    let mut missing = Vec::new();
    if !results.left_out.is_empty() {
        missing.push(format!("There was no time left for {}.", results.left_out.join(", ")));
    }
    if results.rows.iter().all(|row| row.syncs.is_none()) {
        missing.push("Syncs were not counted: not asked for, no time, or no strace.".to_owned());
    }
    missing
}

/// Formats a number with its significant digits, and commas between thousands.
fn number(value: f64) -> String {
    if value < 100.0 {
        return if value < 10.0 { format!("{value:.2}") } else { format!("{value:.1}") };
    }
    count(value.round() as usize)
}

fn count(value: usize) -> String {
    let (digits, mut text) = (value.to_string(), String::new());
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats a time in a fitting unit.
fn time(micros: f64) -> String {
    if micros < 1_000.0 { format!("{} us", number(micros)) } else { format!("{} ms", number(micros / 1e3)) }
}

fn mebibytes(kib: u64) -> String {
    format!("{:.1} MiB", kib as f64 / 1024.0)
}
