//! For people: a table for each scenario.

use std::fmt::Write;

use crate::run::Results;

pub(super) fn of(results: &Results) -> String {
    let rounds = results.rows.iter().map(|row| row.rounds).max().unwrap_or(0);
    let mut text = format!("on {} ({}); rounds: {rounds}\n", results.mount.kind, results.mount.options);
    for rows in results.rows.chunk_by(|one, next| one.scenario == next.scenario) {
        let scenario = rows[0].scenario;
        writeln!(text, "\n{scenario}: {}", scenario.title()).unwrap();
        writeln!(
            text,
            "  {:<14} {:>10} {:>10} {:>10} {:>9}  ours is",
            "", "a second", "p50", "p99", "memory"
        )
        .unwrap();
        let ours = rows.iter().find(|row| row.peer.is_ours());
        for row in rows {
            let found = &row.found;
            write!(
                text,
                "  {:<14} {:>10.0} {:>7.3} ms {:>7.3} ms {:>5.1} MiB",
                row.peer.name(),
                found.per_second,
                found.p50_us / 1e3,
                found.p99_us / 1e3,
                found.peak_kib as f64 / 1024.0,
            )
            .unwrap();
            if let Some(ours) = ours.filter(|_| !row.peer.is_ours()) {
                write!(text, "  {:.2} times as fast", ours.found.per_second / found.per_second).unwrap();
            }
            if let Some(way) = row.peer.way() {
                write!(text, " ({way})").unwrap();
            }
            text.push('\n');
        }
    }
    text
}
