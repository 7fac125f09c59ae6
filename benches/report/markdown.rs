//! The whole page RESULTS.md. The text that does not come from a run is in `page.md`.

use std::fmt::Write;

use super::{count, mebibytes, missing, number, ours, ratio, scenarios, time};
use crate::{
    arguments::Plan,
    cell::Flat,
    run::{Results, Row},
};

const PAGE: &str = include_str!("page.md");

pub(super) fn of(plan: &Plan, results: &Results) -> String {
    PAGE.replace("{machine}", &machine(plan, results)).replace("{results}", &tables(results))
}

fn machine(plan: &Plan, results: &Results) -> String {
    let machine = &results.machine;
    let appends: Vec<String> = machine.appends_per_second.iter().map(|rate| number(*rate)).collect();
    let kind = if plan.quick { "a quick run" } else { "a full run" };
    let lines = [
        format!(
            "- {}, {} cores, {:.1} GiB of memory",
            machine.processor,
            machine.cores,
            machine.memory_mib as f64 / 1024.0
        ),
        format!("- Linux {}, {} ({})", machine.kernel, machine.file_system, machine.mount_options),
        format!(
            "- 4 KiB appended to a file and synced: {} a second before the run and after it",
            appends.join(" and ")
        ),
        format!("- SQLite {}; {}", machine.sqlite, machine.packages.join(", ")),
        format!("- {kind}, {} s for each cell, seed {}", plan.cell_seconds(), plan.seed),
    ];
    lines.join("\n")
}

fn tables(results: &Results) -> String {
    let mut text = String::new();
    for rows in scenarios(results) {
        let (scenario, rounds) = (rows[0].scenario, rows[0].rounds);
        let counted = rows.iter().any(|row| row.syncs.is_some());
        writeln!(text, "### `{scenario}`: {}\n", scenario.title()).unwrap();
        let heading = if counted { ["| syncs of a save ", "| --- "] } else { ["", ""] };
        writeln!(text, "| rounds: {rounds} | a second | p50 | p99 | peak memory {}| ours is |", heading[0])
            .unwrap();
        writeln!(text, "| --- | --- | --- | --- | --- {}| --- |", heading[1]).unwrap();
        for row in rows {
            text.push_str(&line(row, ours(rows), counted));
        }
        text.push('\n');
        for flat in rows.iter().filter_map(|row| row.found.flat.as_ref()) {
            text.push_str(&stretches(flat));
        }
    }
    for missing in missing(results) {
        writeln!(text, "{missing}\n").unwrap();
    }
    text.trim_end().to_owned()
}

fn line(row: &Row, ours: Option<&Row>, counted: bool) -> String {
    let found = &row.found;
    let way = row.peer.way().map_or_else(String::new, |way| format!(" ({way})"));
    let faster =
        ours.filter(|_| !row.peer.is_ours()).map(|ours| format!("{:.2} times as fast", ratio(ours, row)));
    let mut cells = vec![
        format!("{}{way}", row.peer.name()),
        number(found.per_second),
        time(found.p50_us),
        time(found.p99_us),
        mebibytes(found.peak_kib),
    ];
    if counted {
        cells.push(row.syncs.map_or_else(String::new, |syncs| format!("{syncs:.2}")));
    }
    cells.push(faster.unwrap_or_default());
    format!("| {} |\n", cells.join(" | "))
}

fn stretches(flat: &Flat) -> String {
    let mut text = "| saves | a second |\n| --- | --- |\n".to_owned();
    for stretch in &flat.stretches {
        let (from, to) = (count(stretch.from), count(stretch.to));
        writeln!(text, "| {from} to {to} | {} |", number(stretch.per_second)).unwrap();
    }
    let (ratio, journal) = (flat.last_to_first, mebibytes(flat.journal_bytes / 1024));
    writeln!(
        text,
        "\nThe last are {ratio:.2} times as fast as the first; `.journal` held {journal} at most.\n"
    )
    .unwrap();
    text
}
