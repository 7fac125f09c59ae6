//! Describes how the conflict of a change was resolved.

use pflow_store::{Saved, conflict::How};

use crate::{leases::who, output::Output};

/// Returns how the conflict was resolved, as a clause after the result, or an empty string.
pub(crate) fn describe_outcome(saved: &Saved) -> String {
    match saved.resolved.as_ref().and_then(|resolved| resolved.how.as_ref()) {
        Some(How::Ours) => ", on top of what was there".to_owned(),
        Some(How::Theirs) => ", theirs; yours was dropped".to_owned(),
        Some(How::Merged) if saved.unchanged => ", which has your changes".to_owned(),
        Some(How::Merged) => ", merged with what was there".to_owned(),
        Some(How::KeptBoth { instead_of }) => format!(", instead of {instead_of}, which is as it was"),
        _ => String::new(),
    }
}

/// Reports the lease that was taken away and the edit that was kept: no later command mentions them.
pub(crate) fn tell(output: &Output, saved: &Saved) {
    let Some(resolved) = &saved.resolved else { return };
    if let Some(lease) = &resolved.broken {
        let lost =
            format!("took the lock away from {} ({}): lease {}", who(lease), lease.operation, lease.id);
        output.warn(&format!("{}: {lost} is lost, and its holder cannot save any more", saved.id));
    }
    if let Some(generation) = resolved.kept_edit {
        output
            .note(&format!("{}: the edit of the working copy is kept as generation {generation}", saved.id));
    }
}
