use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use pflow_store::{
    Conflict, Error, ErrorKind, Expect, LeaseId, LeaseRequest, SaveRequest, Store, WorkflowId,
    backend::{Environment, ManualEnvironment},
};

use super::{Line, WORKFLOWS, workflow};

/// A client that acquires leases, saves and pauses under them, and releases some of them. It reports each
/// operation before and after it.
///
/// The client is careless: it never checks whether it still holds its lease, and it continues after pauses
/// that are longer than the lease.
pub(crate) struct Client<T> {
    pub(crate) store: Store,
    /// The number of this life, unique among all lives.
    pub(crate) number: u64,
    pub(crate) random: ManualEnvironment,
    /// How long a lease lasts, and the interval at which a waiting client looks at it.
    pub(crate) lease: Duration,
    pub(crate) poll: Duration,
    /// Whether the client sometimes renews its lease.
    pub(crate) renews: bool,
    pub(crate) now: fn(&Arc<dyn Environment>) -> u64,
    pub(crate) tell: T,
}

impl<T: FnMut(Line) + Send> Client<T> {
    /// Works until the process is killed, or until it has held this many leases.
    pub(crate) async fn live(&mut self, leases: u64) {
        for number in 0..leases {
            let workflow = workflow(self.random.random() % WORKFLOWS);
            let lease = LeaseId::parse(format!("{}-{number}", self.number)).unwrap();
            let fence = self.acquire(&workflow, &lease).await;
            for save in 0..=self.random.random() % 4 {
                let text = format!("{fence}/{}/{number}.{save}", self.number);
                if !self.work(&workflow, &lease, text).await {
                    break;
                }
            }
            // One in four leases is not released.
            if !self.random.random().is_multiple_of(4) {
                self.release(&workflow, &lease).await;
            }
            (self.tell)(Line::Left { lease: lease.to_string() });
        }
    }

    fn now(&self) -> u64 {
        (self.now)(self.store.environment())
    }

    async fn pause(&self, pause: Duration) {
        self.store.environment().sleep(pause).await;
    }

    /// Requests the lease until it is granted. Returns its fence.
    async fn acquire(&mut self, workflow: &str, lease: &LeaseId) -> u64 {
        let detached = self.random.random().is_multiple_of(2);
        let request = LeaseRequest::new("work", self.lease).id(lease.clone());
        let request = if detached { request.detached() } else { request };
        (self.tell)(Line::Asks { workflow: workflow.to_owned(), lease: lease.to_string(), detached });
        loop {
            let began = self.now();
            let answer = self.store.acquire(&id(workflow), request.clone()).await;
            let (workflow, ended) = (workflow.to_owned(), self.now());
            match answer {
                Ok(grant) => {
                    let (lease, fence) = (lease.to_string(), grant.lease.fence);
                    (self.tell)(Line::Granted { workflow, lease, fence, began, ended });
                    return fence;
                }
                Err(Error::Conflict(conflict)) => match *conflict {
                    Conflict::Locked { lease, .. } | Conflict::AlreadyLocked { lease, .. } => {
                        (self.tell)(Line::Refused { workflow, by: lease.id.to_string(), began, ended });
                    }
                    Conflict::Busy { .. } => {}
                    other => panic!("{other}"),
                },
                Err(error) => assert!(is_of_the_network(&error), "{error:?}"),
            }
            self.pause(self.poll).await;
        }
    }

    /// Saves under the lease, sometimes after a pause or a renewal. Returns whether the client still believes
    /// that it holds the lease.
    async fn work(&mut self, workflow: &str, lease: &LeaseId, text: String) -> bool {
        match self.random.random() % 6 {
            0 => self.pause(self.lease * 3 / 2).await,
            1..=2 if self.renews => match self.store.renew(&id(workflow), lease.clone(), None).await {
                Ok(_) => {}
                Err(Error::Conflict(lost)) if matches!(*lost, Conflict::LeaseLost { .. }) => return false,
                Err(error) => assert!(is_of_the_network(&error), "{error:?}"),
            },
            _ => {}
        }
        let (name, workflow) = (id(workflow), workflow.to_owned());
        (self.tell)(Line::Saves { workflow: workflow.clone(), text: text.clone() });
        let content = format!(r#"{{"x":"{text}"}}"#);
        let save = SaveRequest::new(name, content, Expect::Any).lease(lease.clone());
        let (line, held) = match self.store.save(save).await {
            Ok(saved) => (Line::Saved { workflow, text, generation: saved.generation }, true),
            Err(Error::Conflict(lost)) if matches!(*lost, Conflict::LeaseLost { .. }) => {
                (Line::Lost { workflow, text }, false)
            }
            Err(error) => {
                assert!(is_of_the_network(&error), "{error:?}");
                (Line::Unknown { workflow, text }, true)
            }
        };
        (self.tell)(line);
        held
    }

    async fn release(&self, workflow: &str, lease: &LeaseId) {
        match self.store.release(&id(workflow), lease.clone()).await {
            Ok(_) => {}
            Err(Error::Conflict(lost)) if matches!(*lost, Conflict::LeaseLost { .. }) => {}
            Err(error) => assert!(is_of_the_network(&error), "{error:?}"),
        }
    }
}

/// Takes and releases the lock of every workflow after all other clients have died. Returns how many looks
/// the slowest lock needed.
pub(crate) async fn take_in_the_end(store: &Store, lease: Duration, poll: Duration) -> u64 {
    let taking = (0..WORKFLOWS).map(|number| async move {
        let id = id(&workflow(number));
        let mut looks = 1;
        let grant = loop {
            match store.acquire(&id, LeaseRequest::new("end", lease)).await {
                Ok(grant) => break grant,
                Err(error) => assert_eq!(error.kind(), ErrorKind::Locked, "{error:?}"),
            }
            looks += 1;
            store.environment().sleep(poll).await;
        };
        store.release(&id, grant.lease.id).await.unwrap();
        looks
    });
    join_all(taking).await.into_iter().max().unwrap()
}

fn is_of_the_network(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::OutcomeUnknown | ErrorKind::Failed)
}

fn id(workflow: &str) -> WorkflowId {
    WorkflowId::parse(workflow).unwrap()
}

/// Returns the text that a client wrote into a document.
pub(crate) fn text_of(content: &str) -> String {
    content.trim_start_matches(r#"{"x":""#).trim_end_matches(r#""}"#).to_owned()
}
