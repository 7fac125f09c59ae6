use serde::Serialize;

/// What `completions` or `man` made.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Generated<'a> {
    pub(crate) text: &'a str,
}
