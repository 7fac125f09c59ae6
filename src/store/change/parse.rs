use std::sync::Arc;

use bytes::Bytes;

use super::{Change, actions, request::Unread, state::ChangePhase};
use crate::{
    Error, Result, blocking,
    conflict::Goal,
    document::{Document, DocumentError, DocumentReader},
    flow::{Action, Node, Visit},
    format::FieldChanges,
};

/// Parses the document.
pub(super) struct StorageOperation;

/// Reports whether the document is a workflow.
pub(super) struct ValidateData;

/// Returns the document, or why it is refused.
pub(super) async fn parse(
    content: Bytes,
    reader: DocumentReader,
) -> Result<std::result::Result<Document, DocumentError>> {
    blocking::on_documents(content.len(), move || reader.read(content)).await
}

impl Node<Change, Error> for StorageOperation {
    type Prep = (Unread, FieldChanges, DocumentReader);
    type Exec = std::result::Result<Document, DocumentError>;

    fn name(&self) -> &str {
        "StorageOperation"
    }

    fn actions(&self) -> &[Action] {
        const { &[Action::DEFAULT, actions::PARSE_ERROR] }
    }

    async fn prep(&self, change: &Change, _: Visit<'_>) -> Result<Self::Prep> {
        let reader = &change.shared.settings.reader;
        change.input(self.name(), |phase| match phase {
            ChangePhase::Unread { document, fields } => {
                Some((document.clone(), fields.clone(), reader.clone().format(document.format)))
            }
            _ => None,
        })
    }

    async fn exec(&self, (document, _, reader): &Self::Prep, _: Visit<'_>) -> Result<Self::Exec> {
        parse(document.content.clone(), reader.clone()).await
    }

    async fn post(
        &self,
        change: &mut Change,
        (_, fields, _): Self::Prep,
        parsed: Self::Exec,
        _: Visit<'_>,
    ) -> Result<Action> {
        // JSON that is not a workflow is reported by ValidateData.
        let is_json = matches!(parsed, Ok(_) | Err(DocumentError::Invalid { .. }));
        change.phase = match parsed {
            Ok(document) => ChangePhase::Open(Goal::Save { document: Arc::new(document), fields }),
            Err(refusal) => ChangePhase::Refused(refusal),
        };
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
        let is_refused = matches!(change.phase, ChangePhase::Refused(_));
        Ok(if is_refused { actions::VALIDATION_ERROR } else { Action::DEFAULT })
    }
}
