//! Counts how often a save waits for the disk (fsync and similar calls), with strace, in separate runs whose
//! times are not used.

use std::{
    fs,
    process::{Command, Stdio},
};

use crate::{arguments::Order, child, disk::Ground, scenario::BATCH};

const TRACED: [&str; 5] = ["fsync", "fdatasync", "syncfs", "sync_file_range", "msync"];
/// Whether strace is available and may trace.
pub(crate) fn can_be_counted() -> bool {
    let tried = Command::new("strace").args(["-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success())
}

/// Returns the calls per save: the difference to a run with twice as many saves, so that opening and closing
/// do not count. The difference is a multiple of [`BATCH`], and of the saves after which our index is folded.
pub(crate) fn per_save(ground: &Ground, order: &Order, quick: bool) -> Result<f64, String> {
    let saves = BATCH as u64 * if quick { 1 } else { 2 };
    let [less, more] = [saves, 2 * saves].map(|saves| count(ground, order, saves));
    Ok((more? as f64 - less? as f64) / saves as f64)
}

fn count(ground: &Ground, order: &Order, saves: u64) -> Result<u64, String> {
    let folder = ground.place(&format!("syncs-{}-{}-{saves}", order.scenario, order.peer));
    let told = ground.place("strace");
    let order = Order { folder, operations: Some(saves), ..order.clone() };
    let output = Command::new("strace")
        .args(["-f", "-c", "-U", "calls,name", "-e"])
        .arg(format!("trace={}", TRACED.join(",")))
        .arg("-o")
        .arg(&told)
        .arg(child::program()?)
        .args(order.arguments())
        .output()
        .map_err(|error| format!("strace cannot be started: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{} of {} under strace: {}: {said}", order.scenario, order.peer, output.status));
    }
    let table =
        fs::read_to_string(&told).map_err(|error| format!("strace's table cannot be read: {error}"))?;
    let calls = table.lines().filter_map(|line| {
        let (calls, name) = line.trim().split_once(char::is_whitespace)?;
        TRACED.contains(&name.trim()).then(|| calls.parse::<u64>().ok())?
    });
    Ok(calls.sum())
}
