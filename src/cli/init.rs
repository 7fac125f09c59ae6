use serde::Serialize;

use super::{failure::Result, session::Session};

pub(super) const MORE: &str = "\
Examples:
  pflow-store init                        ./.pflow, unless there is one above
  pflow-store --store ./.pflow init       here, whatever there is above
  pflow-store --store /srv/plans init";

#[derive(Serialize)]
struct Made {
    location: String,
    store_id: String,
    created: bool,
}

/// Creates the store, unless it is there.
pub(super) async fn run(session: &Session<'_>) -> Result<()> {
    let (store, created) = session.create().await?;
    let location = store.location().to_owned();
    let text = if created { format!("created {location}") } else { format!("{location} is there already") };
    session.answer(&text, &Made { location, store_id: store.config().store_id, created })
}
