use super::{documents::Reindexed, failure::Result, session::Session};

pub(super) const MORE: &str = "\
The index is derived from the workflows, so no data is lost if it is lost. The
old index stays in use until the new one is complete.";

/// Rebuilds the index.
pub(super) async fn run(session: &Session<'_>) -> Result<()> {
    let store = session.open().await?;
    let workflows = session.changing("the reindexing".to_owned(), None, store.reindex()).await?;
    let text = match workflows {
        1 => "the index holds 1 workflow".to_owned(),
        many => format!("the index holds {many} workflows"),
    };
    session.answer(&text, &Reindexed { workflows })
}
