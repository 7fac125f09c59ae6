//! The front matter of a document: where it ends, and what it says.

use super::{
    super::yaml::{self, YamlError, YamlMap, YamlValue},
    text::{Lines, strip_end},
};

/// The YAML between the two lines `---`, and the lines after the second one.
#[derive(Debug)]
pub(super) struct FrontMatter<'t> {
    pub(super) yaml: Result<YamlValue, YamlError>,
    pub(super) lines: Lines<'t>,
}

/// Reads the front matter, if the first line opens it and a later one closes it.
pub(super) fn front_matter(mut lines: Lines<'_>) -> Option<FrontMatter<'_>> {
    let is_mark = |text: &str| strip_end(text) == "---";
    lines.next().filter(|line| is_mark(line.text))?;
    let mut within = Vec::new();
    loop {
        let line = lines.next()?;
        if is_mark(line.text) {
            break;
        }
        within.push(line.text);
    }
    Some(FrontMatter { yaml: yaml::load(&within.join("\n")), lines })
}

/// Splits a document into its front matter, if that is a map, and the rest.
pub(in crate::document) fn split(text: &str) -> Result<(YamlMap, &str), YamlError> {
    match front_matter(Lines::new(text)) {
        Some(FrontMatter { yaml, lines }) => match yaml? {
            YamlValue::Map(map) => Ok((map, text.get(lines.offset()..).unwrap_or_default())),
            _ => Ok((YamlMap::default(), text)),
        },
        None => Ok((YamlMap::default(), text)),
    }
}
