//! JSON: pflow's IR, what the seed stored, and the JSON of other tools.

mod check;
mod outline;
mod read;
mod scan;
mod syntax;

use super::{
    error::DocumentError,
    reader::{Facts, Limits},
};
use check::Check;
use outline::{Level, Role};

/// The rules for a JSON document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rules {
    /// A workflow with `ir_version` and at least one node. The version may be in the wrapper.
    CompleteWorkflow,
    /// A workflow of which only the existing fields are checked.
    Workflow,
    /// A document of another tool: an object.
    Foreign,
}

/// Checks a document by these rules.
pub(super) fn read(bytes: &[u8], limits: &Limits, rules: Rules) -> Result<Facts, DocumentError> {
    let mut check = Check::new();
    let role = match rules {
        Rules::CompleteWorkflow | Rules::Workflow => Role::Level(Level::Top),
        Rules::Foreign => Role::Foreign,
    };
    let root = read::read(decode(bytes)?, role, limits.max_depth, &mut check)?;
    let metadata = match rules {
        Rules::Foreign => check.finish_foreign(&root)?,
        Rules::CompleteWorkflow | Rules::Workflow => check.finish(&root, rules == Rules::CompleteWorkflow)?,
    };
    Ok(Facts { metadata, ..Facts::default() })
}

/// Says why `bytes` are not JSON, as the error for a refused document; none if they are.
pub(super) fn why_not_json(bytes: &[u8]) -> Option<DocumentError> {
    let read = |text| read::read(text, Role::Other, Limits::DEPTH_CEILING, &mut Check::new()).map(drop);
    decode(bytes).and_then(read).err()
}

/// Returns the text of a JSON document, which must be UTF-8 without a byte order mark.
fn decode(bytes: &[u8]) -> Result<&str, DocumentError> {
    const MARKS: [(&[u8], &str); 3] =
        [(b"\xEF\xBB\xBF", "UTF-8"), (b"\xFF\xFE", "UTF-16LE"), (b"\xFE\xFF", "UTF-16BE")];
    if let Some((_, encoding)) = MARKS.iter().find(|(mark, _)| bytes.starts_with(mark)) {
        return Err(DocumentError::ByteOrderMark { encoding });
    }
    std::str::from_utf8(bytes).map_err(|error| match syntax::unmarked_encoding(bytes) {
        Some(encoding) => {
            DocumentError::Syntax { line: 1, column: 1, reason: super::SyntaxError::Encoding { encoding } }
        }
        None => DocumentError::not_utf8(bytes, error),
    })
}
