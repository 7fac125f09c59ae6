use bytes::Bytes;

use super::{Change, actions, request::Goal, state::Phase};
use crate::{
    Error, Result, blocking,
    document::{Document, DocumentError, Limits},
    flow::{Action, Node, Visit},
    format::Given,
};

/// Parses the document.
pub(super) struct StorageOperation;

/// Reports whether the document is a workflow.
pub(super) struct ValidateData;

/// Returns the document, or why it is refused.
pub(super) async fn parse(
    content: Bytes,
    limits: Limits,
) -> Result<std::result::Result<Document, DocumentError>> {
    blocking::on_documents(content.len(), move || Document::parse(content, &limits)).await
}

impl Node<Change, Error> for StorageOperation {
    type Prep = (Bytes, Given, Limits);
    type Exec = std::result::Result<Document, DocumentError>;

    fn name(&self) -> &str {
        "StorageOperation"
    }

    fn actions(&self) -> &[Action] {
        const { &[Action::DEFAULT, actions::PARSE_ERROR] }
    }

    async fn prep(&self, change: &Change, _: Visit<'_>) -> Result<Self::Prep> {
        let Phase::Unread { content, given } = &change.phase else {
            return Err(change.misplaced(self.name()));
        };
        Ok((content.clone(), given.clone(), change.shared.settings.limits))
    }

    async fn exec(&self, (content, _, limits): &Self::Prep, _: Visit<'_>) -> Result<Self::Exec> {
        parse(content.clone(), *limits).await
    }

    async fn post(
        &self,
        change: &mut Change,
        (_, given, _): Self::Prep,
        parsed: Self::Exec,
        _: Visit<'_>,
    ) -> Result<Action> {
        let refusal = match parsed {
            Ok(document) => {
                change.set_goal(Goal::Save { document: Box::new(document), given });
                change.phase = Phase::Open;
                return Ok(Action::DEFAULT);
            }
            Err(refusal) => refusal,
        };
        // JSON that is not a workflow is reported by ValidateData.
        let is_json = matches!(refusal, DocumentError::Invalid { .. });
        change.phase = Phase::Refused(refusal);
        Ok(if is_json { Action::DEFAULT } else { actions::PARSE_ERROR })
    }
}

impl Node<Change, Error> for ValidateData {
    type Prep = ();
    type Exec = ();

    fn name(&self) -> &str {
        "ValidateData"
    }

    fn actions(&self) -> &[Action] {
        const { &[Action::DEFAULT, actions::VALIDATION_ERROR] }
    }

    async fn prep(&self, _: &Change, _: Visit<'_>) -> Result<()> {
        Ok(())
    }

    async fn exec(&self, (): &(), _: Visit<'_>) -> Result<()> {
        Ok(())
    }

    async fn post(&self, change: &mut Change, (): (), (): (), _: Visit<'_>) -> Result<Action> {
        match change.phase {
            Phase::Open => Ok(Action::DEFAULT),
            Phase::Refused(_) => Ok(actions::VALIDATION_ERROR),
            _ => Err(change.misplaced(self.name())),
        }
    }
}
