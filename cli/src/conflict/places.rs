use pflow_store::{Conflict, conflict::Obstacle, merge::Overlap};

/// The places that both sides changed, if that is why it failed.
pub(crate) fn overlaps(conflict: &Conflict) -> &[Overlap] {
    match conflict.obstacle() {
        Some(Obstacle::Overlaps(overlaps)) => overlaps,
        _ => &[],
    }
}

/// A line each, the first `most` of them.
pub(super) fn lines(places: &[impl ToString], most: usize) -> Vec<String> {
    let mut lines: Vec<String> = places.iter().take(most).map(ToString::to_string).collect();
    if let Some(more) = places.len().checked_sub(most).filter(|more| *more > 0) {
        lines.push(format!("… and {more} more"));
    }
    lines
}
