use super::{failure::Result, list::Filter, session::Session, table, time::Since};
use clap::Args;

const MORE: &str = "\
Every word must occur somewhere; case does not matter.

Examples:
  pflow-store search 'daily report'
  pflow-store search llm --since 7d
  pflow-store search '' --since 2024-01-15      everything changed since that day (UTC)";

#[derive(Debug, Args)]
#[command(after_help = MORE)]
pub(super) struct Search {
    /// The words
    text: String,

    #[command(flatten)]
    filter: Filter,

    /// Only workflows modified since then: a time, a date, or how long ago (2h, 7d)
    #[arg(long, value_name = "TIME")]
    since: Option<Since>,
}

impl Search {
    /// Prints the workflows that match.
    pub(super) async fn run(self, session: &Session<'_>) -> Result<()> {
        let since = self.since.map(|since| since.moment(session.environment.now()));
        let query = self.filter.query().text(self.text).since(since);
        let store = session.open().await?;
        table::answer(session, &store, query, "no workflow matches").await
    }
}
