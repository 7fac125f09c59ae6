//! The section `## Cache`.

use super::Problems;
use super::error::MarkdownReason;
use super::scan::RawFence;
use super::template::templates;

/// What `## Cache` says: texts that several prompts share.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MarkdownCache {
    /// How long the texts are kept, as written.
    pub ttl: Option<String>,
    /// The cached values in order.
    pub chunks: Vec<CacheChunk>,
}

/// One cached value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheChunk {
    /// The text between `${` and `}`.
    pub name: String,
    /// The text since the value before.
    pub prose_before: String,
}

/// The section while it is read.
#[derive(Debug)]
pub(super) struct CacheSection {
    line: usize,
    ttl: Option<String>,
    chunks: Vec<CacheChunk>,
    has_fence: bool,
    /// It has a fence of another kind, which was reported.
    has_other_fence: bool,
}

impl CacheSection {
    pub(super) fn new(line: usize) -> CacheSection {
        CacheSection { line, ttl: None, chunks: Vec::new(), has_fence: false, has_other_fence: false }
    }

    pub(super) fn parameter(&mut self, line: usize, key: &str, value: &str, problems: &mut Problems) {
        if key != "ttl" {
            problems.report(line, MarkdownReason::CacheKey { key: key.to_owned() });
        } else if !is_ttl(value) {
            problems.report(line, MarkdownReason::CacheTtl { value: value.to_owned() });
        } else if self.ttl.is_some() {
            problems.report(line, MarkdownReason::DuplicateTtl);
        } else {
            self.ttl = Some(value.to_owned());
        }
    }

    pub(super) fn fence(&mut self, fence: &RawFence, problems: &mut Problems) {
        if fence.parameter() != "cache" {
            self.has_other_fence = true;
            problems.report(fence.line, MarkdownReason::CacheFence { found: fence.tag.clone() });
        } else if self.has_fence {
            problems.report(fence.line, MarkdownReason::SecondCacheFence);
        } else {
            self.has_fence = true;
            match chunks(&fence.content, fence.line + 1) {
                Ok(chunks) => self.chunks = chunks,
                Err((line, reason)) => problems.report(line, reason),
            }
        }
    }

    /// Whatever is wrong with its fence was reported.
    pub(super) fn finish(self, problems: &mut Problems) -> Option<MarkdownCache> {
        if !self.has_fence && !self.has_other_fence {
            problems.report(self.line, MarkdownReason::NoCacheFence);
        }
        (!self.chunks.is_empty()).then_some(MarkdownCache { ttl: self.ttl, chunks: self.chunks })
    }
}

/// `1m` to `60m`, or `1h`.
fn is_ttl(value: &str) -> bool {
    let Some(minutes) = value.strip_suffix('m') else { return value == "1h" };
    let is_number = minutes.bytes().all(|byte| byte.is_ascii_digit()) && !minutes.starts_with('0');
    is_number && minutes.parse::<u8>().is_ok_and(|minutes| minutes <= 60)
}

fn chunks(content: &str, first_line: usize) -> Result<Vec<CacheChunk>, (usize, MarkdownReason)> {
    let mut chunks = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    // The byte up to which the text belongs to a chunk, and the one up to which lines were counted.
    let (mut end, mut counted, mut line) = (0, 0, first_line);
    let mut malformed: Option<(usize, &str)> = None;
    for template in templates(content) {
        line += content.get(counted..template.start).map_or(0, |text| text.matches('\n').count());
        counted = template.start;
        if template.operands == 0 {
            let text = content.get(template.start..template.end).unwrap_or_default();
            malformed = malformed.or(Some((line, text)));
            continue;
        }
        let name = template.name.to_owned();
        if template.operands > 1 {
            return Err((line, MarkdownReason::CacheAlternatives { name }));
        }
        if !seen.insert(name.clone()) {
            return Err((line, MarkdownReason::DuplicateChunk { name }));
        }
        let prose_before = content.get(end..template.start).unwrap_or_default().to_owned();
        chunks.push(CacheChunk { name, prose_before });
        end = template.end;
        // It is part of this chunk's prose.
        malformed = None;
    }
    if let Some((line, text)) = malformed {
        return Err((line, MarkdownReason::CacheTemplate { text: text.to_owned() }));
    }
    if chunks.is_empty() {
        return Err((first_line, MarkdownReason::NoChunk));
    }
    Ok(chunks)
}
