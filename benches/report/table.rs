//! The output for a terminal: a table for each scenario.

use std::fmt::Write;

use super::{count, mebibytes, missing, number, ours, ratio, scenarios, time};
use crate::{
    cell::Flat,
    run::{Results, Row},
};

pub(super) fn of(results: &Results) -> String {
    let machine = &results.machine;
    let mut text = format!("on {} ({})\n", machine.file_system, machine.mount_options);
    let appends: Vec<String> = machine.appends_per_second.iter().map(|rate| number(*rate)).collect();
    writeln!(text, "4 KiB appended and synced: {} a second, before and after", appends.join(", ")).unwrap();
    for rows in scenarios(results) {
        let (scenario, rounds) = (rows[0].scenario, rows[0].rounds);
        writeln!(text, "\n{scenario}: {} (rounds: {rounds})", scenario.title()).unwrap();
        let (who, memory) = ("", "memory");
        writeln!(
            text,
            "  {who:<13}{:>11}{:>11}{:>11}{memory:>11}{:>7}  ours is",
            "a second", "p50", "p99", "syncs"
        )
        .unwrap();
        for row in rows {
            write(&mut text, row, ours(rows));
        }
    }
    for missing in missing(results) {
        writeln!(text, "\n{missing}").unwrap();
    }
    text
}

fn write(text: &mut String, row: &Row, ours: Option<&Row>) {
    let found = &row.found;
    let syncs = row.syncs.map_or_else(String::new, |syncs| format!("{syncs:.2}"));
    let (rate, p50, p99) = (number(found.per_second), time(found.p50_us), time(found.p99_us));
    let (who, memory) = (row.peer.name(), mebibytes(found.peak_kib));
    write!(text, "  {who:<13}{rate:>11}{p50:>11}{p99:>11}{memory:>11}{syncs:>7}").unwrap();
    if let Some(ours) = ours.filter(|_| !row.peer.is_ours()) {
        write!(text, "  {:.2} times as fast", ratio(ours, row)).unwrap();
    }
    if let Some(way) = row.peer.way() {
        write!(text, " ({way})").unwrap();
    }
    text.push('\n');
    if let Some(Flat { stretches, last_to_first, journal_bytes }) = &found.flat {
        for stretch in stretches {
            let (from, to) = (count(stretch.from), count(stretch.to));
            writeln!(text, "    saves {from} to {to}: {} a second", number(stretch.per_second)).unwrap();
        }
        let journal = mebibytes(journal_bytes / 1024);
        writeln!(text, "    last to first: {last_to_first:.2}; .journal at most {journal}").unwrap();
    }
}
