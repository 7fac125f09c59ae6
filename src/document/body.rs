//! What people wrote of a document, without the parts that programs write.
//!
//! pflow rewrites the front matter of a workflow after each run: it counts, and notes how the run went. It also
//! turns CR LF into LF and drops the blank lines before the title. Nothing of that is a change of the workflow.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{ContentHash, MediaType, markdown};

/// The maximum length of the statistics of a version, as they are written in JSON, in bytes.
const MAX_STATISTICS_BYTES: usize = 512;

/// What is kept of the values that pflow notes, the most useful first. The parameters of the last run are not:
/// they may be secrets.
const STATISTICS: [&str; 6] = [
    "execution_count",
    "last_execution_timestamp",
    "last_execution_success",
    "last_execution_duration_seconds",
    "average_execution_duration_seconds",
    "updated_at",
];

/// The part of a document that people wrote, and what programs noted beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Body {
    /// The hash of what people wrote, by rule 1 of `docs/format.md`.
    pub(crate) hash: ContentHash,
    /// The last values that programs noted, at most 512 bytes as JSON.
    pub(crate) statistics: Map<String, Value>,
}

/// Whether programs write this key of the front matter by themselves.
pub(crate) fn is_volatile(key: &str) -> bool {
    matches!(key, "execution_count" | "updated_at") || key.starts_with("last_") || key.starts_with("average_")
}

impl Body {
    /// Finds the body in a content of this media type. None if the type has no such part, or if it cannot be
    /// found because the content is damaged.
    pub(crate) fn of(media_type: MediaType, bytes: &[u8]) -> Option<Self> {
        match media_type {
            MediaType::PflowMarkdown => Self::of_markdown(std::str::from_utf8(bytes).ok()?),
            MediaType::Json | MediaType::OtherJson | MediaType::Opaque => None,
        }
    }

    /// Finds the body of a markdown document. Only its front matter is read, so it need not be a workflow.
    pub(super) fn of_markdown(text: &str) -> Option<Self> {
        let (front_matter, body) = markdown::split(text).ok()?;
        let (volatile, kept): (Map<String, Value>, Map<String, Value>) =
            front_matter.to_json().into_iter().partition(|(key, _)| is_volatile(key));
        let mut front_matter = String::new();
        write_sorted(&Value::Object(kept), &mut front_matter);
        let body = body.replace("\r\n", "\n").replace('\r', "\n");
        let mut hash = Sha256::new();
        hash.update(front_matter);
        hash.update(b"\n");
        hash.update(body.trim_start_matches('\n'));
        Some(Self {
            hash: ContentHash::from_digest(hash.finalize().into()),
            statistics: statistics(&volatile),
        })
    }
}

/// Writes JSON without white space and with sorted keys. serde_json sorts keys too, unless another crate of the
/// build asks it to keep their order.
fn write_sorted(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(key, _)| *key);
            out.push('{');
            for (nth, (key, value)) in members.into_iter().enumerate() {
                out.push_str(if nth == 0 { "" } else { "," });
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write_sorted(value, out);
            }
            out.push('}');
        }
        Value::Array(elements) => {
            out.push('[');
            for (nth, element) in elements.iter().enumerate() {
                out.push_str(if nth == 0 { "" } else { "," });
                write_sorted(element, out);
            }
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}

/// Picks the values that are kept with a version, as long as there is room. A list or a map is none of them.
fn statistics(noted: &Map<String, Value>) -> Map<String, Value> {
    let mut kept = Map::new();
    // The braces.
    let mut length = 2;
    for key in STATISTICS {
        let Some(value) = noted.get(key).filter(|value| !value.is_object() && !value.is_array()) else {
            continue;
        };
        // Two quotes, a colon and a comma.
        let more = key.len() + value.to_string().len() + 4;
        if length + more <= MAX_STATISTICS_BYTES {
            length += more;
            kept.insert(key.to_owned(), value.clone());
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str) -> Body {
        Body::of_markdown(text).unwrap()
    }

    #[test]
    fn what_programs_write_is_not_part_of_the_body() {
        let plain = body("---\ncreated_at: 'x'\nversion: 1.0.0\n---\n\n# A\n\ntext\n");
        for same in [
            "---\nversion: \"1.0.0\" # ours\ncreated_at: x\n---\n# A\n\ntext\n",
            "---\ncreated_at: x\nversion: 1.0.0\nexecution_count: 7\nlast_execution_success: true\n---\n\n\n# A\n\ntext\n",
            "---\r\ncreated_at: x\r\nversion: 1.0.0\r\n---\r\n\r\n# A\r\n\r\ntext\r\n",
            "---\naverage_execution_duration_seconds: 1.5\nupdated_at: 'y'\ncreated_at: x\nversion: 1.0.0\n---\n# A\n\ntext\n",
        ] {
            assert_eq!(body(same).hash, plain.hash, "{same}");
        }
        for other in [
            "---\ncreated_at: x\nversion: 1.0.1\n---\n# A\n\ntext\n",
            "---\ncreated_at: x\nversion: 1.0.0\nname: b\n---\n# A\n\ntext\n",
            "---\ncreated_at: x\nversion: 1.0.0\n---\n# A\n\ntext",
            "---\ncreated_at: x\nversion: 1.0.0\n---\n  \n# A\n\ntext\n",
            "---\ncreated_at: x\nversion: 1.0.0\n---\n# A\n\n\ntext\n",
        ] {
            assert_ne!(body(other).hash, plain.hash, "{other}");
        }
        // A first run adds front matter to a document that had none.
        assert_eq!(body("---\nexecution_count: 1\n---\n\n# A\n").hash, body("# A\n").hash);
    }

    #[test]
    fn rule_1_is_what_the_format_page_says() {
        let text = "---\nname: b\nage: 1\ntags: [x, 1.5, null]\nexecution_count: 3\n---\n\n# A\r\n";
        let said = "{\"age\":1,\"name\":\"b\",\"tags\":[\"x\",1.5,null]}\n# A\n";
        assert_eq!(body(text).hash, ContentHash::of(said.as_bytes()));
        assert_eq!(body("# A\n").hash, ContentHash::of(b"{}\n# A\n"));
        // What is no map is part of the body, as pflow treats it.
        assert_eq!(body("---\n- x\n---\n# A\n").hash, ContentHash::of(b"{}\n---\n- x\n---\n# A\n"));
        assert_eq!(Body::of_markdown("---\na: [\n---\n"), None);
    }

    #[test]
    fn statistics_are_bounded_and_have_no_parameters() {
        let text = "---\nexecution_count: 3\nlast_execution_params: { token: x }\nlast_execution_success: true\n---\n# A\n";
        let statistics = body(text).statistics;
        assert_eq!(
            Value::Object(statistics),
            serde_json::json!({ "execution_count": 3, "last_execution_success": true })
        );
        let long = format!("---\nexecution_count: 3\nlast_execution_timestamp: {}\n---\n", "x".repeat(600));
        assert_eq!(body(&long).statistics.len(), 1);
    }
}
