use pflow_store::{Conflict, conflict::Obstacle, merge::Overlap};

/// Returns the places that both sides changed, if a merge failed because of them.
pub(crate) fn overlaps(conflict: &Conflict) -> &[Overlap] {
    match conflict.obstacle() {
        Some(Obstacle::Overlaps(overlaps)) => overlaps,
        _ => &[],
    }
}

/// Returns one line for each of the first `most` places, and one that counts the others.
pub(super) fn lines(places: &[impl ToString], most: usize) -> Vec<String> {
    let mut lines: Vec<String> = places.iter().take(most).map(ToString::to_string).collect();
    if let Some(more) = places.len().checked_sub(most).filter(|more| *more > 0) {
        lines.push(format!("… and {more} more"));
    }
    lines
}
