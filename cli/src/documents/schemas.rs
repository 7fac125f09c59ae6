//! The files of `cli/schemas`, which are written from the types.

use std::{collections::BTreeMap, fs, path::Path};

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Value, json};

use super::*;

/// Set to write the files instead of comparing them.
const WRITE: &str = "PFLOW_WRITE_SCHEMAS";

/// The schemas of what one command, or stderr, may say.
struct File(SchemaGenerator, Vec<Schema>);

impl File {
    fn new() -> Self {
        Self(SchemaSettings::draft2020_12().for_serialize().into_generator(), Vec::new())
    }

    /// It may be this document.
    fn or<T: JsonSchema + 'static>(mut self) -> Self {
        let mut schema = Document::<'static, T>::json_schema(&mut self.0);
        set(&mut schema, "schema_version", 1.into());
        describe(&mut schema, &T::json_schema(&mut self.0));
        self.1.push(schema);
        self
    }

    /// It may be a line of this type.
    fn or_event<T: JsonSchema + 'static>(mut self, r#type: &str) -> Self {
        let mut schema = Event::<'static, T>::json_schema(&mut self.0);
        set(&mut schema, "type", r#type.into());
        describe(&mut schema, &T::json_schema(&mut self.0));
        self.1.push(schema);
        self
    }

    fn text(mut self, title: &str) -> String {
        let definitions = self.0.take_definitions(true);
        let mut root = json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "title": title });
        let fields = root.as_object_mut().unwrap();
        match <[Schema; 1]>::try_from(self.1) {
            Ok([only]) => fields.extend(only.as_object().unwrap().clone()),
            Err(many) => drop(fields.insert("anyOf".to_owned(), json!(many))),
        }
        if !definitions.is_empty() {
            fields.insert("$defs".to_owned(), Value::Object(definitions));
        }
        format!("{root:#}\n")
    }
}

/// A property that has one value.
fn set(schema: &mut Schema, property: &str, value: Value) {
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut).unwrap();
    properties.insert(property.to_owned(), json!({ "const": value }));
}

/// What the body is says more than what is around it.
fn describe(schema: &mut Schema, body: &Schema) {
    match body.get("description") {
        Some(text) => drop(schema.insert("description".to_owned(), text.clone())),
        None => drop(schema.remove("description")),
    }
}

fn one<T: JsonSchema + 'static>() -> File {
    File::new().or::<T>()
}

/// Every command with `--json`, by its name with `-` for blanks, and `events` for stderr.
fn files() -> BTreeMap<&'static str, File> {
    let events = File::new()
        .or_event::<Problem<'static>>("error")
        .or_event::<Warning<'static>>("warning")
        .or_event::<AwaitedLock<'static>>("waiting")
        .or_event::<Logged<'static>>("log");
    let verify = one::<Verified<'static>>().or::<FailedRepair<'static>>().or::<PlannedLoss<'static>>();
    [
        ("completions", one::<Generated<'static>>()),
        ("config-get", one::<Settings>()),
        ("config-set", one::<Settings>()),
        ("delete", one::<Change<'static>>().or::<PlannedDeletion<'static>>()),
        ("doctor", one::<Diagnosis<'static>>()),
        ("edit", one::<Change<'static>>()),
        ("events", events),
        ("flow", one::<Drawings<'static>>()),
        ("init", one::<Made>()),
        ("list", one::<Listing<'static>>()),
        ("load", one::<LoadedContent<'static>>()),
        ("lock-acquire", one::<Granted<'static>>()),
        ("lock-break", one::<Broken<'static>>()),
        ("lock-list", one::<Locks<'static>>()),
        ("lock-release", one::<Released<'static>>()),
        ("lock-renew", one::<Granted<'static>>()),
        ("lock-show", one::<Lock<'static>>()),
        ("man", one::<Generated<'static>>()),
        ("reindex", one::<Reindexed>()),
        ("save", one::<Change<'static>>()),
        ("save-all", one::<Batch<'static>>()),
        ("search", one::<Listing<'static>>()),
        ("show", one::<Shown<'static>>()),
        ("status", one::<Status<'static>>()),
        ("undelete", one::<Change<'static>>()),
        ("verify", verify),
    ]
    .into()
}

#[test]
fn published_schemas_are_those_of_the_types() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    let wanted: BTreeMap<String, String> = files()
        .into_iter()
        .map(|(name, file)| {
            let title =
                format!("pflow-store {}", name.replace("lock-", "lock ").replace("config-", "config "));
            (format!("{name}.json"), file.text(&title))
        })
        .collect();
    if std::env::var_os(WRITE).is_some() {
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in &wanted {
            fs::write(folder.join(name), text).unwrap();
        }
    }
    let found: BTreeMap<String, String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap())
        })
        .collect();
    let differ: Vec<&String> =
        wanted.keys().chain(found.keys()).filter(|name| wanted.get(*name) != found.get(*name)).collect();
    assert!(
        differ.is_empty(),
        "write cli/schemas again with `{WRITE}=1 cargo test --workspace --bin pflow-store schemas`: {differ:?}"
    );
}
