//! Prints the log events of the library as lines on stderr, in the same form as the messages of the program.

use std::fmt::{self, Debug};

use pflow_store::backend::NOTICES;
use serde_json::Value;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_subscriber::{
    Layer, Registry,
    filter::Targets,
    fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, format::Writer},
    layer::SubscriberExt,
    registry::{LookupSpan, SpanRef},
};

use super::{
    documents::{Event as Line, LogFields, Logged, Warning},
    output::{Output, printable},
};

/// Installs the log. It prints warnings and notices by default, more with `-v` (info), `-vv` (every step) and
/// `-vvv` (everything), and errors alone with `-q`.
pub(super) fn start(output: &Output, verbose: u8) {
    let level = match verbose {
        _ if output.is_quiet() => LevelFilter::ERROR,
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let notices = if output.is_quiet() { level } else { level.max(LevelFilter::INFO) };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        // Otherwise a closed stderr would make it report that on stderr, and panic.
        .log_internal_errors(false)
        .event_format(Lines(output.clone()))
        .with_filter(Targets::new().with_default(level).with_target(NOTICES, notices));
    let subscriber = Registry::default().with(lines);
    // The process installs no other subscriber.
    drop(tracing::subscriber::set_global_default(subscriber));
}

/// `warning: what happened (id: greet)`, or one object with the same.
struct Lines(Output);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = *event.metadata().level();
        let mut said = Said::default();
        event.record(&mut said);
        let span = |span: SpanRef<'_, S>| match span.extensions().get::<FormattedFields<N>>() {
            Some(fields) if !fields.is_empty() => format!("{}({})", span.name(), fields.fields),
            _ => span.name().to_owned(),
        };
        let spans: Vec<String> = context
            .event_scope()
            .filter(|_| level > Level::INFO)
            .map(|scope| scope.from_root().map(span).collect())
            .unwrap_or_default();
        if self.0.is_json() {
            let object = said.object(level, &spans).map_err(|_| fmt::Error)?;
            return writeln!(writer, "{object}");
        }
        if event.metadata().target() == NOTICES {
            return writeln!(writer, "{}", printable(&said.sentence()));
        }
        let place = if spans.is_empty() { String::new() } else { format!("{}: ", spans.join(" ")) };
        let text = format!("{place}{}", said.sentence());
        writeln!(writer, "{}{}", self.0.level_mark(level), printable(&text))
    }
}

/// The message of an event and its other fields.
#[derive(Default)]
struct Said {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Said {
    fn sentence(&self) -> String {
        let mut text = self.message.clone();
        for (at, (name, value)) in self.fields.iter().enumerate() {
            text.push_str(if at == 0 { " (" } else { ", " });
            text.push_str(&format!("{name}: {value}"));
        }
        if !self.fields.is_empty() {
            text.push(')');
        }
        text
    }

    /// Returns one object with its keys in alphabetical order.
    fn object(&self, level: Level, spans: &[String]) -> serde_json::Result<Value> {
        let fields = self.fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let step = (!spans.is_empty()).then(|| spans.join(" "));
        let logged = LogFields { level: level.as_str().to_ascii_lowercase(), step, fields };
        let message = self.message.as_str();
        match level {
            Level::WARN | Level::ERROR => {
                let body = &Warning { message, logged: Some(logged) };
                serde_json::to_value(Line { r#type: "warning", body })
            }
            _ => serde_json::to_value(Line { r#type: "log", body: &Logged { message, logged } }),
        }
    }

    fn add(&mut self, field: &Field, text: String) {
        if field.name() == "message" {
            self.message = text;
        } else {
            self.fields.push((field.name(), text));
        }
    }
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.to_owned());
    }
}
