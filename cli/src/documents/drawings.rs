use serde::Serialize;

/// The flows that the library runs.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Drawings<'a> {
    pub(crate) flows: Vec<Drawn<'a>>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Drawn<'a> {
    pub(crate) name: &'a str,
    /// `mermaid` or `dot`.
    pub(crate) format: &'static str,
    pub(crate) drawing: &'a str,
}
