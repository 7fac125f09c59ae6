use clap::{Args, ValueEnum};
use pflow_store::{Query, Sort};

use super::{failure::Result, session::Session, table};

const MORE: &str = "\
Examples:
  pflow-store list --sort modified --limit 10        what changed last
  pflow-store list --tag etl --node llm              with the tag and a node of the type
  pflow-store list --json | jq -r '.workflows[].id'";

#[derive(Debug, Args)]
#[command(after_help = MORE)]
pub(super) struct List {
    #[command(flatten)]
    filter: Filter,

    /// The order: by id, by name, or the last modified or last created first
    #[arg(long, value_enum, default_value_t = Order::Id)]
    sort: Order,

    /// List the deleted workflows instead
    #[arg(long)]
    deleted: bool,
}

/// The options that `list` and `search` share.
#[derive(Debug, Args)]
pub(super) struct Filter {
    /// Only workflows with this tag; repeat it for workflows with all of the tags
    #[arg(long = "tag", value_name = "TAG")]
    pub(super) tags: Vec<String>,

    /// Only workflows with a node of this type; repeat it for workflows with all of the types
    #[arg(long = "node", value_name = "TYPE")]
    pub(super) nodes: Vec<String>,

    /// Print at most N workflows
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<usize>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Order {
    Id,
    Name,
    Modified,
    Created,
}

impl List {
    /// Prints the workflows that match.
    pub(super) async fn run(self, session: &Session<'_>) -> Result<()> {
        let sort = match self.sort {
            Order::Id => Sort::Id,
            Order::Name => Sort::Name,
            Order::Modified => Sort::Modified,
            Order::Created => Sort::Created,
        };
        let query = self.filter.query().sort(sort).deleted(self.deleted);
        let store = session.open().await?;
        let everything = query == Query::new().sort(sort);
        let none = if everything { "no workflows yet" } else { "no workflow matches" };
        table::answer(session, &store, query, none).await
    }
}

impl Filter {
    pub(super) fn query(self) -> Query {
        Query::new().tags(self.tags).nodes(self.nodes).limit(self.limit)
    }
}
