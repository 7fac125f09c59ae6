use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{FormatError, Kind, VersionId, decode_sealed, encode_sealed_line};

/// `ops/instances/<sha256>`: the id of the store at one endpoint. Written once, by the first writer that finds
/// the endpoint safe.
///
/// The key is made of the endpoint, so a copy of all objects into another bucket has no object for its own
/// endpoint, and gets another id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InstanceRecord {
    format: String,
    pub(crate) id: VersionId,
    /// For people: which of the objects is whose.
    pub(crate) endpoint: String,
}

impl InstanceRecord {
    pub(crate) fn new(id: VersionId, endpoint: String) -> Self {
        Self { format: Kind::INSTANCE.tag(), id, endpoint }
    }

    pub(crate) fn encode(&self) -> Result<Bytes, FormatError> {
        encode_sealed_line(self).map(Bytes::from)
    }

    pub(crate) fn decode(line: &[u8]) -> Result<Self, FormatError> {
        decode_sealed(Kind::INSTANCE, line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_is_one_sealed_line() {
        let id = VersionId::parse("0".repeat(26)).unwrap();
        let record = InstanceRecord::new(id, "s3://plans at https://storage.example".to_owned());
        let line = record.encode().unwrap();
        assert_eq!(InstanceRecord::decode(&line).unwrap(), record);
        let text = String::from_utf8(line.to_vec()).unwrap();
        assert!(
            text.starts_with(
                r#"{"format":"pflow-instance/1","id":"00000000000000000000000000","endpoint":"s3"#
            )
        );
        let other = text.replace("plans", "copy!");
        assert!(InstanceRecord::decode(other.as_bytes()).is_err());
        let newer = InstanceRecord { format: "pflow-instance/2".to_owned(), ..record };
        assert!(InstanceRecord::decode(&newer.encode().unwrap()).unwrap_err().is_newer());
    }
}
