use clap::Args;
use pflow_store::health::Repaired;

use super::{documents::Made, failure::Result, session::Session};

pub(super) const MORE: &str = "\
Examples:
  pflow-store init                        ./.pflow, unless there is one above
  pflow-store --store ./.pflow init       here, whatever there is above
  pflow-store --store /srv/plans init
  pflow-store init --repair               rebuild a damaged config.json";

#[derive(Debug, Args)]
pub(super) struct Init {
    /// Rebuild a damaged or missing config.json from what can be read of it, and add files that are
    /// missing; never touches workflows
    #[arg(long)]
    repair: bool,
}

impl Init {
    /// Creates the store, unless it is there, or repairs its own files, such as `config.json`.
    pub(super) async fn run(self, session: &Session<'_>) -> Result<()> {
        if self.repair {
            return repair(session).await;
        }
        let (store, created) = session.create().await?;
        let location = store.location().to_owned();
        let text =
            if created { format!("created {location}") } else { format!("{location} is there already") };
        if !created && session.is_further_up()? {
            session.output.note(
                "it belongs to a folder above this one; create one here with `pflow-store --store ./.pflow init`",
            );
        }
        session.answer(&text, &Made::of(&store, created, None))
    }
}

async fn repair(session: &Session<'_>) -> Result<()> {
    let (store, repaired) = session.repair().await?;
    let Repaired { config, kept, added, .. } = &repaired;
    let location = store.location().to_owned();
    let mut lines = Vec::new();
    if !config.is_empty() {
        lines.push(format!("rebuilt config.json of {location}"));
        lines.extend(config.iter().map(|field| format!("  {field}")));
        lines.extend(kept.iter().map(|key| format!("  the damaged one is kept as {key}")));
    }
    lines.extend(added.iter().map(|key| format!("added {key}")));
    if lines.is_empty() {
        lines.push(format!("{location} needs no repair"));
    }
    session.answer(&lines.join("\n"), &Made::of(&store, false, Some(repaired)))
}
