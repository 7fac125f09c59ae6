use bytes::Bytes;

use super::{Change, Kind, actions};
use crate::{
    Error, Result, blocking,
    document::{Document, DocumentError, Limits},
    flow::{Action, Node, Visit},
};

/// Reads the document.
pub(super) struct StorageOperation;

/// Says whether what was read is a workflow.
pub(super) struct ValidateData;

/// The document, or why it is refused.
pub(super) async fn parse(
    content: Bytes,
    limits: Limits,
) -> Result<std::result::Result<Document, DocumentError>> {
    blocking::on_documents(content.len(), move || Document::parse(content, &limits)).await
}

impl Node<Change, Error> for StorageOperation {
    type Prep = (Bytes, Limits);
    type Exec = std::result::Result<Document, DocumentError>;

    fn name(&self) -> &str {
        "StorageOperation"
    }

    fn actions(&self) -> &[Action] {
        const { &[Action::DEFAULT, actions::PARSE_ERROR] }
    }

    async fn prep(&self, change: &Change, _: Visit<'_>) -> Result<Self::Prep> {
        match &change.request.kind {
            Kind::Save { content, .. } => Ok((content.clone(), change.shared.options.limits)),
            _ => Err(Error::Internal("only a save has a document".to_owned())),
        }
    }

    async fn exec(&self, (content, limits): &Self::Prep, _: Visit<'_>) -> Result<Self::Exec> {
        parse(content.clone(), *limits).await
    }

    async fn post(
        &self,
        change: &mut Change,
        _: Self::Prep,
        parsed: Self::Exec,
        _: Visit<'_>,
    ) -> Result<Action> {
        match parsed {
            Ok(document) => change.document = Some(document),
            Err(refusal) => change.refusal = Some(refusal),
        }
        // What is JSON but no workflow is for ValidateData to report.
        match &change.refusal {
            None | Some(DocumentError::Invalid { .. }) => Ok(Action::DEFAULT),
            Some(_) => Ok(actions::PARSE_ERROR),
        }
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
        Ok(if change.refusal.is_none() { Action::DEFAULT } else { actions::VALIDATION_ERROR })
    }
}
