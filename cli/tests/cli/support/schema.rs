//! Checks that each document of `--json` and each line on stderr matches its schema and has no other fields.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Output},
    sync::LazyLock,
};

use jsonschema::Validator;
use serde_json::Value;

/// Commands that have subcommands.
const GROUPS: [&str; 2] = ["lock", "config"];
/// Commands whose exit code or output comes from another program.
const OTHERS: [&str; 2] = ["lock-run", "__doctor-lock"];

static SCHEMAS: LazyLock<BTreeMap<String, Validator>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|path| {
            let mut schema: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            close(&mut schema);
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, jsonschema::validator_for(&schema).unwrap())
        })
        .collect()
});

/// Lets an object have the fields that its schema names, and no others. The published ones are open, because
/// later versions add fields.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.values_mut().for_each(close);
            if fields.contains_key("properties") && !fields.contains_key("additionalProperties") {
                fields.insert("additionalProperties".to_owned(), false.into());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// Checks what a command said under `--json`.
#[track_caller]
pub(crate) fn check(command: &Command, output: &Output) {
    let args: Vec<&str> =
        command.get_args().take_while(|arg| *arg != "--").filter_map(|arg| arg.to_str()).collect();
    let is_asked_for = |name: &str| {
        command.get_envs().any(|(variable, value)| variable == name && value.is_some_and(|it| it == "1"))
    };
    if !args.contains(&"--json") && !is_asked_for("PFLOW_JSON") {
        return;
    }
    let Some(name) = command_name(&args) else { return };
    if OTHERS.contains(&name.as_str()) {
        return;
    }
    if !output.stdout.is_empty() && !args.iter().any(|arg| matches!(*arg, "--help" | "-h" | "--version")) {
        valid(&name, &output.stdout);
    }
    for line in output.stderr.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        valid("events", line);
    }
}

/// `lock-show` for `lock show greet`.
fn command_name(args: &[&str]) -> Option<String> {
    let mut words = args.iter().filter(|arg| !arg.starts_with('-'));
    words.find_map(|word| {
        if GROUPS.contains(word) {
            return None;
        }
        let known = |name: &str| SCHEMAS.contains_key(name) || OTHERS.contains(&name);
        let of_group = |group: &&str| args.contains(group) && known(&format!("{group}-{word}"));
        match GROUPS.iter().find(|group| of_group(group)) {
            Some(group) => Some(format!("{group}-{word}")),
            None => known(word).then(|| (*word).to_owned()),
        }
    })
}

#[track_caller]
fn valid(name: &str, text: &[u8]) {
    let shown = String::from_utf8_lossy(text);
    let value: Value =
        serde_json::from_slice(text).unwrap_or_else(|error| panic!("{name}: {error}: {shown}"));
    let errors: Vec<String> = SCHEMAS[name]
        .iter_errors(&value)
        .map(|error| format!("{} at {:?}", error, error.instance_path().to_string()))
        .collect();
    assert!(errors.is_empty(), "{shown} is not what cli/schemas/{name}.json says: {errors:#?}");
}
