use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use pflow_store::{
    Conflict, Result,
    backend::async_trait,
    conflict::{Case, ConflictResolver, Resolution},
};

use crate::{
    lock::{SILENCE, tell},
    output::Output,
};

/// Waits for locks until the limit, and passes every other conflict to the next resolver. If the wait lasts
/// longer than [`SILENCE`], it prints once which holder it waits for.
#[derive(Debug)]
pub(super) struct Patient {
    /// The next resolver.
    then: Arc<dyn ConflictResolver>,
    /// The limit of the wait, unless the request has its own.
    usual: Duration,
    output: Output,
    told: AtomicBool,
}

impl Patient {
    pub(super) fn new(then: Arc<dyn ConflictResolver>, usual: Duration, output: Output) -> Self {
        Self { then, usual, output, told: AtomicBool::new(false) }
    }
}

#[async_trait]
impl ConflictResolver for Patient {
    async fn resolve(&self, case: &Case) -> Result<Resolution> {
        let left = case.lock_timeout().unwrap_or(self.usual).saturating_sub(case.waited());
        let Conflict::Locked { id, lease, now, .. } = case.conflict() else {
            return self.then.resolve(case).await;
        };
        if left.is_zero() {
            return self.then.resolve(case).await;
        }
        let quiet = SILENCE.saturating_sub(case.waited());
        if !quiet.is_zero() {
            return Ok(Resolution::Wait { limit: quiet.min(left) });
        }
        if !self.told.swap(true, Ordering::Relaxed) {
            tell(&self.output, id, lease, *now);
        }
        Ok(Resolution::Wait { limit: left })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use pflow_store::{
        Error, Expect, LeaseRequest, SaveRequest, Store, WorkflowId, backend::ManualEnvironment,
    };

    use super::*;

    /// Cancels, and records how long the change had waited.
    #[derive(Debug, Default)]
    struct Last(Mutex<Vec<Duration>>);

    #[async_trait]
    impl ConflictResolver for Last {
        async fn resolve(&self, case: &Case) -> Result<Resolution> {
            self.0.lock().unwrap().push(case.waited());
            Ok(Resolution::Cancel)
        }
    }

    #[tokio::test]
    async fn the_next_is_asked_when_the_time_is_over_and_about_everything_else() {
        let environment = Arc::new(ManualEnvironment::new(1));
        let store = Store::builder("memory:").environment(environment).init().await.unwrap();
        let id = WorkflowId::parse("a").unwrap();
        let save = |expect| SaveRequest::new(id.clone(), "{}", expect);
        store.save(save(Expect::Absent)).await.unwrap();
        store.acquire(&id, LeaseRequest::new("edit", Duration::from_secs(600))).await.unwrap();
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        for (limit, expect, waits) in [
            (None, Expect::Any, second),
            (Some(minute), Expect::Any, minute),
            (Some(Duration::ZERO), Expect::Any, Duration::ZERO),
            (Some(Duration::from_millis(50)), Expect::Any, Duration::from_millis(50)),
        ] {
            let last = Arc::new(Last::default());
            let patient = Patient::new(last.clone(), second, Output::new(false, true));
            let request = SaveRequest::new(id.clone(), r#"{ "x": 1 }"#, expect);
            let refused = store.save(request.lock_timeout(limit).resolver(Arc::new(patient))).await;
            assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
            let asked = last.0.lock().unwrap().clone();
            assert!(asked.len() == 1 && asked.iter().all(|waited| *waited >= waits), "{limit:?}: {asked:?}");
        }
        let last = Arc::new(Last::default());
        let patient = Patient::new(last.clone(), minute, Output::new(false, true));
        drop(store.save(save(Expect::Generation(9)).resolver(Arc::new(patient))).await);
        assert_eq!(*last.0.lock().unwrap(), [Duration::ZERO], "time is for locks alone");
    }
}
