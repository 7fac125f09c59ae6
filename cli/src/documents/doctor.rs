use pflow_store::{
    backend::probe::{Check, Verdict},
    health,
};
use serde::Serialize;

/// What `doctor` found.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Diagnosis<'a> {
    location: &'a str,
    /// The server and the place in it. Null if there is no server.
    place: Option<&'a str>,
    /// Null if there is no store yet.
    store_id: Option<&'a str>,
    /// The id of this place of the store. Null if there is no store yet.
    instance: Option<&'a str>,
    safe: bool,
    checks: Vec<Checked<'a>>,
    /// Why objects of the probe are still there.
    left_behind: Option<&'a str>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Checked<'a> {
    pub(crate) name: &'a str,
    promise: &'a str,
    pub(crate) required: bool,
    /// `kept`, `broken` or `unclear`.
    pub(crate) verdict: &'static str,
    pub(crate) detail: &'a str,
}

impl<'a> Diagnosis<'a> {
    pub(crate) fn of(diagnosis: &'a health::Diagnosis) -> Self {
        let report = &diagnosis.report;
        Self {
            location: &diagnosis.location,
            place: diagnosis.place.as_deref(),
            store_id: diagnosis.store_id.as_deref(),
            instance: diagnosis.instance.as_deref(),
            safe: report.is_safe(),
            checks: report.checks.iter().map(Checked::of).collect(),
            left_behind: report.left_behind.as_deref(),
        }
    }
}

impl<'a> Checked<'a> {
    pub(crate) fn of(check: &'a Check) -> Self {
        let (verdict, detail) = match &check.verdict {
            Verdict::Kept(detail) => ("kept", detail),
            Verdict::Broken(detail) => ("broken", detail),
            Verdict::Unclear(detail) => ("unclear", detail),
        };
        Self { name: check.name, promise: check.promise, required: check.required, verdict, detail }
    }
}
