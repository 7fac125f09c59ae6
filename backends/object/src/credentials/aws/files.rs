//! `~/.aws/config` and `~/.aws/credentials`:
//! <https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use configparser::ini::{Ini, IniDefault};

use crate::{credentials::NoCredentials, options::ObjectOptions};

/// The settings of a section by their lowercase names.
pub(super) type Section = BTreeMap<String, String>;

/// One of the two files.
pub(super) struct File {
    pub(super) path: PathBuf,
    /// None if the file does not exist.
    sections: Option<BTreeMap<String, Section>>,
}

impl File {
    /// Reads `~/.aws/config`, or the file of `AWS_CONFIG_FILE`; none if the home folder is unknown.
    pub(super) fn config(options: &ObjectOptions, are_needed: bool) -> Result<Option<Self>, NoCredentials> {
        Self::read(options, are_needed, "AWS_CONFIG_FILE", "config")
    }

    /// Reads `~/.aws/credentials`, or the file of `AWS_SHARED_CREDENTIALS_FILE`.
    pub(super) fn credentials(
        options: &ObjectOptions,
        are_needed: bool,
    ) -> Result<Option<Self>, NoCredentials> {
        Self::read(options, are_needed, "AWS_SHARED_CREDENTIALS_FILE", "credentials")
    }

    /// Reads a file. A file that cannot be read counts as missing, unless `are_needed`. A readable file that
    /// is invalid is always refused, because it may name an endpoint.
    fn read(
        options: &ObjectOptions,
        are_needed: bool,
        variable: &str,
        name: &str,
    ) -> Result<Option<Self>, NoCredentials> {
        let Some(path) = path(options, variable, name) else { return Ok(None) };
        let text = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(Some(Self { path, sections: None }));
            }
            Err(error) if !are_needed => {
                tracing::warn!("{} cannot be read and is passed over: {error}", path.display());
                return Ok(Some(Self { path, sections: None }));
            }
            Err(error) => {
                let why = format!("The file {} cannot be read: {error}", path.display());
                return Err(NoCredentials::invalid(
                    why,
                    format!("Make it readable, or set {variable} to another file"),
                ));
            }
        };
        let sections = parsed(&text).map_err(|place| {
            let why = format!("The file {} is no AWS configuration: {place}", path.display());
            NoCredentials::invalid(why, format!("Correct it, or set {variable} to another file"))
        })?;
        Ok(Some(Self { path, sections: Some(sections) }))
    }

    pub(super) fn exists(&self) -> bool {
        self.sections.is_some()
    }

    pub(super) fn section(&self, name: &str) -> Option<&Section> {
        self.sections.as_ref()?.get(name)
    }
}

fn path(options: &ObjectOptions, variable: &str, name: &str) -> Option<PathBuf> {
    // Windows sets the second one.
    let home = options.variable("HOME").or_else(|| options.variable("USERPROFILE")).map(Path::new);
    match options.variable(variable) {
        Some(given) => Some(match (given.strip_prefix("~/").or_else(|| given.strip_prefix("~\\")), home) {
            (Some(below), Some(home)) => home.join(below),
            _ => PathBuf::from(given),
        }),
        None => Some(home?.join(".aws").join(name)),
    }
}

/// Parses the sections of a file, or returns the place of the error. The text may be a secret, so only its
/// place is named.
fn parsed(bytes: &[u8]) -> Result<BTreeMap<String, Section>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    let mut defaults = IniDefault::default();
    (defaults.case_sensitive, defaults.multiline, defaults.enable_inline_comments) = (true, true, false);
    (defaults.comment_symbols, defaults.delimiters) = (vec!['#', ';'], vec!['=']);
    defaults.default_section = String::new();
    let mut ini = Ini::new_from_defaults(defaults);
    let sections = ini.read(text.trim_start_matches('\u{feff}').to_owned())?;
    let mut all = BTreeMap::<String, Section>::new();
    for (name, settings) in sections {
        let section = all.entry(named(&name)).or_default();
        for (setting, value) in settings {
            let Some(value) = value else {
                let section = if name.is_empty() {
                    "before the first section".to_owned()
                } else {
                    format!("in [{name}]")
                };
                return Err(format!("a line {section} has no `=`"));
            };
            // A nested block is one value of several lines.
            let lines: Vec<&str> = value.lines().map(without_comment).collect();
            section.insert(setting.to_ascii_lowercase(), lines.join("\n"));
        }
    }
    Ok(all)
}

/// The name of a section, with one space between its two words.
fn named(name: &str) -> String {
    name.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Removes a comment after a value; it begins with white space.
fn without_comment(value: &str) -> &str {
    let ends = [" #", " ;", "\t#", "\t;"].iter().filter_map(|sign| value.find(sign)).min();
    ends.and_then(|end| value.get(..end)).unwrap_or(value).trim_end()
}

/// Parses the settings of an indented block, such as that of `s3 =` in a `services` section.
pub(super) fn nested(value: &str) -> Section {
    let setting = |line: &str| {
        let (name, value) = line.split_once('=')?;
        Some((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
    };
    value.lines().filter_map(setting).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_parsed_as_aws_writes_them() {
        let text = "\u{feff}# a comment\n[default]\nregion = eu-west-1 # here\r\n; another\n\n[profile  work]\nRegion=eu-central-1\n\
                    s3 =\n    max_concurrent_requests = 20\n\n    addressing_style = path\noutput = json\n\
                    credential_process = \"/opt/a b/tool\" --secret=x=y\n[services minio]\ns3 =\n  # a comment\n  addressing_style = path # another\n  endpoint_url = https://m:9000 ; and another\n";
        let sections = parsed(text.as_bytes()).unwrap();
        assert_eq!(sections["default"]["region"], "eu-west-1");
        let work = &sections["profile work"];
        assert_eq!((work["region"].as_str(), work["output"].as_str()), ("eu-central-1", "json"));
        assert_eq!(work["credential_process"], "\"/opt/a b/tool\" --secret=x=y");
        assert_eq!(nested(&work["s3"])["addressing_style"], "path");
        assert_eq!(nested(&sections["services minio"]["s3"])["endpoint_url"], "https://m:9000");
    }

    #[test]
    fn parse_errors_name_only_the_place() {
        for (text, place) in [
            ("[default\nregion = x", "line 1"),
            ("[a]\nhunter2", "in [a]"),
            ("hunter2\n[a]\nb=c", "before the first section"),
            ("[a]\n= hunter2", "line 2"),
        ] {
            let refused = parsed(text.as_bytes()).unwrap_err();
            assert!(refused.contains(place) && !refused.contains("hunter2"), "{refused}");
        }
        assert_eq!(parsed(b"[a]\nb=\xff").unwrap_err(), "it is not UTF-8");
    }
}
