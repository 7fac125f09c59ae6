//! The output for programs. Additions leave `schema_version` unchanged; a removal or a change of meaning
//! raises it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{ratio, scenarios};
use crate::{
    arguments::Plan,
    cell::Flat,
    machine::Machine,
    run::{Results, Row},
};

const SCHEMA_VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    schema_version: u32,
    quick: bool,
    seconds_per_cell: f64,
    seed: u64,
    machine: &'a Machine,
    left_out: &'a [String],
    rows: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Line<'a> {
    scenario: String,
    peer: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    way: Option<&'static str>,
    clients: usize,
    rounds: usize,
    operations: u64,
    operations_per_second: f64,
    p50_us: f64,
    p99_us: f64,
    peak_memory_kib: u64,
    /// None if they were not counted.
    syncs_per_save: Option<f64>,
    /// The operations per second of this peer in this scenario, relative to each other peer.
    ratio_to: BTreeMap<&'static str, f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flat: Option<&'a Flat>,
}

pub(super) fn of(plan: &Plan, results: &Results) -> String {
    let document = Document {
        schema_version: SCHEMA_VERSION,
        quick: plan.quick,
        seconds_per_cell: plan.cell_seconds(),
        seed: plan.seed,
        machine: &results.machine,
        left_out: &results.left_out,
        rows: scenarios(results).flat_map(|rows| rows.iter().map(|row| line(row, rows))).collect(),
    };
    serde_json::to_string_pretty(&document).unwrap()
}

fn line<'a>(row: &'a Row, rows: &[Row]) -> Line<'a> {
    let found = &row.found;
    Line {
        scenario: row.scenario.to_string(),
        peer: row.peer.name(),
        way: row.peer.way(),
        clients: row.scenario.clients(),
        rounds: row.rounds,
        operations: found.operations,
        operations_per_second: found.per_second,
        p50_us: found.p50_us,
        p99_us: found.p99_us,
        peak_memory_kib: found.peak_kib,
        syncs_per_save: row.syncs,
        ratio_to: rows
            .iter()
            .filter(|other| other.peer != row.peer)
            .map(|other| (other.peer.name(), ratio(row, other)))
            .collect(),
        flat: found.flat.as_ref(),
    }
}
