//! What a run leaves behind: the trace as data, and the same through `tracing`.
//!
//! The test runs in a process of its own: `tracing` caches for the whole process whether a callsite has a
//! subscriber, and a test without one would make it cache that there is none.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{Oops, TestTimer, alone, pause};
use pflow_store::flow::{Action, FailedAttempt, Flow, Node, Retry, Run, Visit};
use pflow_testkit::child::is_alone;
use tracing::field::{Field, Visit as VisitFields};
use tracing::span;

const SECOND: Duration = Duration::from_secs(1);

/// Takes a second and fails at its first attempt.
struct Write;

impl Node<(), Oops> for Write {
    type Prep = ();
    type Exec = ();

    fn name(&self) -> &str {
        "write"
    }

    fn actions(&self) -> &[Action] {
        const { &[Action::named("update_index")] }
    }

    fn retry(&self) -> Retry {
        Retry::attempts(3).wait(5 * SECOND)
    }

    async fn prep(&self, (): &(), _: Visit<'_>) -> Result<(), Oops> {
        Ok(())
    }

    async fn exec(&self, (): &(), visit: Visit<'_>) -> Result<(), Oops> {
        pause(SECOND).await;
        if visit.attempt() == 1 { Err(Oops("disk full")) } else { Ok(()) }
    }

    async fn post(&self, (): &mut (), (): (), (): (), _: Visit<'_>) -> Result<Action, Oops> {
        Ok("update_index".into())
    }
}

/// `save`, which runs `batch`, which runs `write`.
fn save() -> Flow<(), Oops> {
    let mut builder = Flow::builder("save");
    let inner = builder.flow(alone("batch", Write));
    builder.start(inner).end(inner, "update_index");
    builder.build().unwrap()
}

/// Writes down what it is told: `> span` when one begins, and events below the span that they happen in.
#[derive(Clone, Default)]
struct Listener(Arc<Mutex<Heard>>);

#[derive(Default)]
struct Heard {
    spans: Vec<String>,
    inside: Vec<u64>,
    lines: Vec<String>,
}

struct Fields(String);

impl VisitFields for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0 += &format!(" {}={value:?}", field.name());
    }
}

impl tracing::Subscriber for Listener {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("pflow_store::flow")
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        let mut fields = Fields(attributes.metadata().name().to_owned());
        attributes.record(&mut fields);
        let mut heard = self.0.lock().unwrap();
        heard.lines.push(format!("> {}", fields.0));
        heard.spans.push(fields.0);
        span::Id::from_u64(heard.spans.len() as u64)
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = Fields(event.metadata().level().to_string());
        event.record(&mut fields);
        let mut heard = self.0.lock().unwrap();
        let span = *heard.inside.last().unwrap();
        let line = format!("[{}] {}", heard.spans[span as usize - 1], fields.0);
        heard.lines.push(line);
    }

    fn enter(&self, span: &span::Id) {
        self.0.lock().unwrap().inside.push(span.into_u64());
    }

    fn exit(&self, _: &span::Id) {
        self.0.lock().unwrap().inside.pop();
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn the_trace_and_tracing_have_each_step_and_its_attempts() {
    if !is_alone("trace::the_trace_and_tracing_have_each_step_and_its_attempts") {
        return;
    }
    let timer = TestTimer::new();
    pause(SECOND).await;
    let listener = Listener::default();
    let guard = tracing::subscriber::set_default(listener.clone());
    let outcome = save().run(&mut (), &Run::new(timer)).await.unwrap();
    drop(guard);
    let [write, batch] = outcome.trace.steps.as_slice() else { panic!("{:?}", outcome.trace) };

    assert_eq!(write.path.names().collect::<Vec<_>>(), ["save", "batch", "write"]);
    assert_eq!((write.began, write.duration), (SECOND, 7 * SECOND));
    assert_eq!(write.attempts, 2);
    let error = "disk full".to_owned();
    let [FailedAttempt { item: None, attempt: 1, duration: SECOND, error: why, .. }] =
        write.failed.as_slice()
    else {
        panic!("{:?}", write.failed)
    };
    assert_eq!(*why, error);
    assert_eq!(write.result, Ok(Action::named("update_index")));

    assert_eq!(batch.path.to_string(), "save/batch");
    assert_eq!((batch.began, batch.duration, batch.attempts), (SECOND, 7 * SECOND, 0));
    assert_eq!(batch.result, Ok(Action::named("update_index")));

    assert_eq!(
        listener.0.lock().unwrap().lines,
        [
            "> flow path=save",
            "> step path=save/batch",
            "> flow path=save/batch",
            "> step path=save/batch/write",
            "[step path=save/batch/write] WARN message=attempt failed; trying again path=save/batch/write attempt=1 error=\"disk full\"",
            "[step path=save/batch/write] DEBUG message=step ended action=update_index attempts=2 duration=7s",
            "[step path=save/batch] DEBUG message=step ended action=update_index attempts=0 duration=7s",
        ]
    );
}
