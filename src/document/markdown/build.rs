//! Items as written, to inputs, outputs and steps.

use std::collections::BTreeMap;

use super::super::yaml;
use super::error::MarkdownReason;
use super::outline::SectionKind;
use super::python;
use super::routes::{Routing, targets};
use super::scan::{RawFence, RawItem, RawParameter, key_and_value};
use super::template::load_yaml;
use super::text::{is_space, strip};
use super::{MarkdownPort, MarkdownStep, Problems, YamlMap, YamlValue};

/// The parameters that belong to the step itself and not to what it runs.
const SETTINGS: [&str; 7] = ["batch", "loop", "retry", "cache", "prompt_cache", "prewarm", "approval"];

fn key(name: &str) -> YamlValue {
    YamlValue::Text(name.to_owned())
}

/// Returns the inputs or outputs. Their fences are texts even if they say that they are YAML.
pub(super) fn ports(items: &[RawItem], section: SectionKind, problems: &mut Problems) -> Vec<MarkdownPort> {
    let mut ports = Vec::new();
    for item in items.iter().filter(|item| item.section == section) {
        check_description(item, problems);
        read_fences(item, problems);
        let mut fields = YamlMap::default();
        fields.insert(key("description"), key(&item.prose));
        for (name, value) in parameters(item, problems).into_entries() {
            fields.insert(name, value);
        }
        for fence in &item.fences {
            fields.insert(key(fence.parameter()), key(&fence.content));
        }
        ports.push(MarkdownPort { id: item.id.clone(), line: item.line, fields });
    }
    ports
}

/// Returns the steps, and what they say about their order.
pub(super) fn steps(items: &[RawItem], problems: &mut Problems) -> (Vec<MarkdownStep>, Vec<Routing>) {
    let steps = items.iter().filter(|item| item.section == SectionKind::Steps);
    steps.map(|item| step(item, problems)).unzip()
}

fn step(item: &RawItem, problems: &mut Problems) -> (MarkdownStep, Routing) {
    check_description(item, problems);
    let fences = read_fences(item, problems);
    let parameters = parameters(item, problems);
    for fence in &item.fences {
        let name = fence.parameter();
        if !name.is_empty() && parameters.get(name).is_some() {
            problems.report(fence.line, MarkdownReason::InlineAndFence { key: name.to_owned() });
        }
    }
    if parameters.get("type").is_none() {
        problems.report(item.line, MarkdownReason::NoType { id: item.id.clone() });
    }
    let mut routing = Routing { id: item.id.clone(), line: item.line, ..Routing::default() };
    let mut step = MarkdownStep {
        id: item.id.clone(),
        line: item.line,
        kind: YamlValue::Null,
        purpose: item.prose.clone(),
        settings: YamlMap::default(),
        params: YamlMap::default(),
        routes_to_end: false,
    };
    for (name, value) in parameters.into_entries() {
        match name.as_text() {
            Some("type") => step.kind = value,
            Some("next") => {
                step.routes_to_end |= targets(&value).iter().any(|target| target == "end");
                routing.next = Some(value);
            }
            Some("on-error") => routing.on_error = Some(value),
            Some(setting) if SETTINGS.contains(&setting) => step.settings.insert(name, value),
            _ => step.params.insert(name, value),
        }
    }
    for (fence, value) in item.fences.iter().zip(fences) {
        let name = fence.parameter();
        // Of the settings, pflow knows only these two as fences.
        let to = if matches!(name, "batch" | "loop") { &mut step.settings } else { &mut step.params };
        to.insert(key(name), value);
        if name == "code" {
            let next = python::next_steps(&fence.content);
            step.routes_to_end |= next.ends;
            routing.is_computed |= next.computed;
            routing.from_code = next.targets;
        }
    }
    (step, routing)
}

fn check_description(item: &RawItem, problems: &mut Problems) {
    if item.prose.is_empty() {
        problems.report(item.line, MarkdownReason::NoDescription { id: item.id.clone() });
    }
}

/// Returns the values of the fences: the texts, or what they say as YAML.
fn read_fences(item: &RawItem, problems: &mut Problems) -> Vec<YamlValue> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut values = Vec::new();
    for fence in &item.fences {
        let name = fence.parameter();
        if name.is_empty() {
            problems.report(fence.line, MarkdownReason::UnnamedFence);
        } else if let Some(first) = seen.get(name) {
            let reason = MarkdownReason::DuplicateFence { key: name.to_owned(), first: *first };
            problems.report(fence.line, reason);
        } else {
            seen.insert(name, fence.line);
        }
        values.push(read_fence(fence, problems));
    }
    values
}

fn read_fence(fence: &RawFence, problems: &mut Problems) -> YamlValue {
    if !fence.is_yaml() {
        return YamlValue::Text(fence.content.clone());
    }
    load_yaml(&fence.content).unwrap_or_else(|error| {
        let (key, line) = (fence.parameter().to_owned(), fence.line + error.line);
        problems.report(fence.line, MarkdownReason::FenceYaml { key, line, reason: error.reason });
        YamlValue::Null
    })
}

fn parameters(item: &RawItem, problems: &mut Problems) -> YamlMap {
    let mut all = YamlMap::default();
    for parameter in &item.parameters {
        let read = if parameter.text.contains('\n') {
            long_parameter(item, parameter, &mut all)
        } else {
            short_parameter(item, parameter, &mut all)
        };
        if let Err(reason) = read {
            problems.report(item.line, reason);
        }
    }
    all
}

fn not_a_parameter(item: &RawItem, text: &str) -> MarkdownReason {
    MarkdownReason::NotAParameter { id: item.id.clone(), text: text.to_owned() }
}

fn not_yaml(item: &RawItem, parameter: &RawParameter, error: yaml::YamlError) -> MarkdownReason {
    let line = parameter.line + error.line - 1;
    MarkdownReason::ParameterYaml { id: item.id.clone(), line, reason: error.reason }
}

/// A parameter of several lines is YAML: a list of maps.
fn long_parameter(item: &RawItem, parameter: &RawParameter, all: &mut YamlMap) -> Result<(), MarkdownReason> {
    let value = load_yaml(&parameter.text).map_err(|error| not_yaml(item, parameter, error))?;
    let maps = match value {
        YamlValue::Null => return Ok(()),
        YamlValue::List(values) => values,
        other => vec![other],
    };
    for map in maps {
        let YamlValue::Map(map) = map else {
            return Err(not_a_parameter(item, &shown(&map)));
        };
        for (name, value) in map.into_entries() {
            all.insert(name, value);
        }
    }
    Ok(())
}

fn shown(value: &YamlValue) -> String {
    match value {
        YamlValue::List(_) => "a list".to_owned(),
        YamlValue::Text(text) => text.clone(),
        other => other.to_json().to_string(),
    }
}

/// A parameter of one line is not YAML: its value has no comments, and may contain `: `.
fn short_parameter(
    item: &RawItem,
    parameter: &RawParameter,
    all: &mut YamlMap,
) -> Result<(), MarkdownReason> {
    let Some((name, value)) = key_and_value(&parameter.text) else {
        let text = parameter.text.trim_start_matches(is_space);
        return Err(not_a_parameter(item, strip(text.strip_prefix('-').unwrap_or(text))));
    };
    let value = match value.as_bytes() {
        [b'{' | b'[', ..] => load_yaml(value).map_err(|error| not_yaml(item, parameter, error))?,
        _ => scalar(value)
            .ok_or_else(|| MarkdownReason::UnclosedQuote { id: item.id.clone(), key: name.to_owned() })?,
    };
    all.insert(key(name), value);
    Ok(())
}

/// Reads a value of one line, or returns nothing if it begins with a quote and does not end with it.
fn scalar(text: &str) -> Option<YamlValue> {
    let within = |quote| text.strip_prefix(quote).and_then(|text: &str| text.strip_suffix(quote));
    let value = match text {
        "" | "null" | "Null" | "NULL" | "~" => YamlValue::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => YamlValue::Bool(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => YamlValue::Bool(false),
        _ if text.starts_with('"') => YamlValue::Text(unescape(within('"')?)),
        _ if text.starts_with('\'') => YamlValue::Text(within('\'')?.replace("''", "'")),
        _ => yaml::decimal_integer(text)
            .map(YamlValue::Int)
            .or_else(|| decimal_float(text).map(YamlValue::Float))
            .unwrap_or_else(|| YamlValue::Text(text.to_owned())),
    };
    Some(value)
}

/// Reads digits with a point and an optional exponent.
fn decimal_float(text: &str) -> Option<f64> {
    let number = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, rest) = number.split_once('.')?;
    let (fraction, exponent) = match rest.find(['e', 'E']) {
        Some(at) => (rest.get(..at)?, rest.get(at + 1..)),
        None => (rest, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let exponent = exponent.map(|exponent| exponent.strip_prefix(['-', '+']).unwrap_or(exponent));
    let fits = digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent));
    if fits { yaml::float(text) } else { None }
}

/// Replaces the escapes that pflow knows; others stay as they are.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        if char != '\\' {
            plain.push(char);
            continue;
        }
        let mut ahead = chars.clone();
        let escaped = match ahead.next() {
            Some(same @ ('\\' | '"' | '/' | ' ')) => same,
            Some('n') => '\n',
            Some('t') => '\t',
            Some('r') => '\r',
            Some('0') => '\0',
            _ => {
                plain.push('\\');
                continue;
            }
        };
        plain.push(escaped);
        chars = ahead;
    }
    plain
}
