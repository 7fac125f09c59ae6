use std::{pin::pin, time::Duration};

use futures::future::{Either, select};
use pflow_backend::Environment;

use crate::{
    credentials::Later,
    fault::Fault,
    getting::Getting,
    options::ObjectOptions,
    outage::{Outage, PATIENCE},
};

/// The first pause between two attempts is up to this long, each further one up to twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often an answer that cannot be read is asked for again: a wrong server never gives another.
const MOST_GARBLED: u32 = 3;

/// The time and the patience of one operation: how long its next request may take, and whether there is a
/// next one.
///
/// A server that says in `Retry-After` how long it wants to be left alone is left alone for as long, or the
/// operation ends.
///
/// Pauses are random from nothing to their length ("full jitter",
/// <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>), so that writers who met each
/// other part.
#[derive(Debug)]
pub(crate) struct Attempts<'a> {
    environment: &'a dyn Environment,
    options: &'a ObjectOptions,
    ends: Duration,
    pause: Duration,
    garbled: u32,
    /// Whether new credentials were asked for because the server refused the old ones.
    renewed: bool,
    /// When the running or the last attempt began.
    began: Duration,
    /// How long the server wanted to be left alone when it answered last.
    at_least: Duration,
    /// When the operation began.
    begun: Duration,
    /// What the last attempt met.
    met: Option<String>,
    /// Who tells a person that it takes long, and what endpoint it is about.
    outage: Option<(&'a Outage, &'a str)>,
    /// When the first of the attempts began that ran into a closed door, one after the other up to now.
    unreachable_since: Option<Duration>,
}

impl<'a> Attempts<'a> {
    /// The clock begins to run.
    pub(crate) fn begin(environment: &'a dyn Environment, options: &'a ObjectOptions) -> Self {
        let now = environment.monotonic();
        let ends = now.saturating_add(options.deadline);
        Self {
            environment,
            options,
            ends,
            pause: FIRST_PAUSE,
            garbled: 0,
            renewed: false,
            began: now,
            at_least: Duration::ZERO,
            begun: now,
            met: None,
            outage: None,
            unreachable_since: None,
        }
    }

    /// A person is told when the operation takes long.
    pub(crate) fn telling(mut self, outage: &'a Outage, endpoint: &'a str) -> Self {
        self.outage = Some((outage, endpoint));
        self
    }

    /// One attempt, ended when its time is over. Ending it tells nothing about what the server does with it,
    /// unless it still waited for its credentials: then the server does not know of it.
    pub(crate) async fn one<T>(
        &mut self,
        request: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        self.began = self.environment.monotonic();
        let limit = self.options.request_timeout.min(self.ends.saturating_sub(self.began));
        let getting = Getting::default();
        let mut request = pin!(getting.watch(request));
        let quiet = self.quiet().min(limit);
        let mut answer = match select(&mut request, pin!(self.environment.sleep(quiet))).await {
            Either::Left((answer, _)) => Some(answer),
            Either::Right(_) => None,
        };
        if answer.is_none() && quiet < limit {
            self.tell();
            let left = pin!(self.environment.sleep(limit.saturating_sub(quiet)));
            if let Either::Left((late, _)) = select(&mut request, left).await {
                answer = Some(late);
            }
        }
        let answer = answer.unwrap_or_else(|| match getting.is_under_way() {
            true => Err(Fault::CredentialsTimedOut),
            false => Err(Fault::TimedOut),
        });
        self.met = answer.as_ref().err().map(Fault::in_short);
        self.at_least = answer.as_ref().err().and_then(Fault::retry_after).unwrap_or_default();
        answer
    }

    /// How long nothing is said yet.
    fn quiet(&self) -> Duration {
        self.begun.saturating_add(PATIENCE).saturating_sub(self.environment.monotonic())
    }

    fn tell(&self) {
        if let Some((outage, endpoint)) = self.outage {
            let met = self.met.as_deref().unwrap_or("no answer yet");
            outage.tell(self.environment.monotonic(), endpoint, met);
        }
    }

    /// After `fault`: pauses and says that there may be another attempt, or that it is hopeless or too late.
    pub(crate) async fn again(&mut self, fault: &Fault) -> bool {
        if !fault.is_passing() {
            return false;
        }
        match fault {
            Fault::Unreachable(_)
            | Fault::Proxy(..)
            | Fault::CredentialsLater(Later { is_unreached: true, .. }) => {
                let since = *self.unreachable_since.get_or_insert(self.began);
                let ends = since.saturating_add(self.options.connect_timeout).min(self.ends);
                return self.pause_until(ends).await;
            }
            Fault::Garbled | Fault::WebPage => {
                self.garbled += 1;
                if self.garbled >= MOST_GARBLED {
                    return false;
                }
            }
            Fault::Stale(_) if !self.renews() => return false,
            _ => {}
        }
        self.unreachable_since = None;
        self.pause().await
    }

    /// Whether new credentials are asked for: once in an operation, for each time may run a program.
    fn renews(&mut self) -> bool {
        !std::mem::replace(&mut self.renewed, true)
    }

    /// As [`pause`](Self::pause), after a fault that is met until the deadline since a write is in doubt.
    pub(crate) async fn pause_after(&mut self, fault: &Fault) -> bool {
        if matches!(fault, Fault::Stale(_)) && !self.renews() { false } else { self.pause().await }
    }

    /// Pauses, and says whether there is time for another attempt.
    pub(crate) async fn pause(&mut self) -> bool {
        self.pause_until(self.ends).await
    }

    /// A pause that would last beyond the end is not begun: nothing could follow it.
    async fn pause_until(&mut self, ends: Duration) -> bool {
        let pause = self.pause.mul_f64(self.environment.jitter()).max(self.at_least);
        if self.environment.monotonic().saturating_add(pause) >= ends {
            return false;
        }
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        let quiet = self.quiet().min(pause);
        self.environment.sleep(quiet).await;
        if quiet < pause {
            self.tell();
            self.environment.sleep(pause.saturating_sub(quiet)).await;
        }
        self.environment.monotonic() < ends
    }
}

#[cfg(test)]
mod tests {
    use pflow_backend::ManualEnvironment;

    use super::*;
    use crate::{
        fault::{Answer, OfAWrite},
        getting::Begun,
    };

    fn answer(status: u16) -> Fault {
        Fault::Answer(Answer::of_status(status))
    }

    /// How long an operation goes on that meets this fault again and again, each request taking no time.
    async fn patience(fault: &Fault) -> Duration {
        let environment = ManualEnvironment::new(7);
        let options = ObjectOptions::default();
        let mut attempts = Attempts::begin(&environment, &options);
        while attempts.again(fault).await {}
        environment.monotonic()
    }

    #[tokio::test]
    async fn a_closed_door_is_tried_for_as_long_as_a_connection_may_take() {
        let waited = patience(&Fault::Unreachable("refused".to_owned())).await;
        assert!(waited <= Duration::from_secs(2) && waited > Duration::from_millis(200), "{waited:?}");
    }

    #[tokio::test]
    async fn passing_faults_are_met_until_the_deadline_and_hopeless_ones_once() {
        for fault in [answer(500), answer(503), answer(429), Fault::Cut, Fault::TimedOut] {
            let waited = patience(&fault).await;
            assert!((Duration::from_secs(50)..=Duration::from_secs(60)).contains(&waited), "{waited:?}");
        }
        for fault in [answer(403), answer(404), answer(400), Fault::Settings(String::new())] {
            assert_eq!(patience(&fault).await, Duration::ZERO, "{fault:?}");
        }
        assert!(patience(&Fault::Garbled).await < Duration::from_secs(1));
    }

    #[tokio::test]
    async fn a_person_is_told_after_two_seconds_of_trouble_and_not_at_once_again() {
        let environment = ManualEnvironment::new(7);
        let options = ObjectOptions::default();
        let outage = Outage::default();
        let begin = || Attempts::begin(&environment, &options).telling(&outage, "https://e");
        let mut attempts = begin();
        assert_eq!(attempts.one(async { Ok(1) }).await, Ok(1));
        assert_eq!(outage.told(), None);
        while outage.told().is_none() && attempts.again(&answer(503)).await {}
        assert_eq!(outage.told(), Some(PATIENCE), "in the middle of a pause");
        let never = std::future::pending::<Result<(), Fault>>();
        assert_eq!(begin().one(never).await, Err(Fault::TimedOut));
        assert_eq!(outage.told(), Some(PATIENCE), "another operation of the same outage");
        environment.advance(Duration::from_secs(60));
        let begun = environment.monotonic();
        let never = std::future::pending::<Result<(), Fault>>();
        assert_eq!(begin().one(never).await, Err(Fault::TimedOut));
        assert_eq!(outage.told(), Some(begun + PATIENCE), "in the middle of a request");
    }

    #[tokio::test]
    async fn a_server_that_wants_to_be_left_alone_is() {
        let environment = ManualEnvironment::new(7);
        let options = ObjectOptions::default();
        let mut attempts = Attempts::begin(&environment, &options);
        let busy = |seconds| {
            let retry_after = Some(Duration::from_secs(seconds));
            Fault::Answer(Answer { retry_after, ..Answer::of_status(503) })
        };
        let refused = attempts.one(async { Err::<(), _>(busy(9)) }).await.unwrap_err();
        assert!(attempts.again(&refused).await);
        assert_eq!(environment.monotonic(), Duration::from_secs(9));
        let refused = attempts.one(async { Err::<(), _>(busy(3600)) }).await.unwrap_err();
        assert!(!attempts.again(&refused).await, "longer than the operation may take");
        assert_eq!(environment.monotonic(), Duration::from_secs(9));
        let refused = attempts.one(async { Err::<(), _>(answer(503)) }).await.unwrap_err();
        assert!(attempts.again(&refused).await);
        assert!(environment.monotonic() < Duration::from_secs(10), "what it said before is over");
    }

    #[tokio::test]
    async fn an_attempt_that_still_waits_for_credentials_was_not_sent() {
        let environment = ManualEnvironment::new(7);
        let options = ObjectOptions::default();
        let mut attempts = Attempts::begin(&environment, &options);
        let got = async {
            drop(Begun::new());
            std::future::pending::<Result<(), Fault>>().await
        };
        assert_eq!(attempts.one(got).await, Err(Fault::TimedOut));
        let getting = async {
            let _begun = Begun::new();
            std::future::pending::<Result<(), Fault>>().await
        };
        let fault = attempts.one(getting).await.unwrap_err();
        assert_eq!((fault.clone(), fault.of_a_write()), (Fault::CredentialsTimedOut, OfAWrite::NotSent));
    }

    #[tokio::test]
    async fn credentials_are_renewed_once_also_while_a_write_is_in_doubt() {
        let environment = ManualEnvironment::new(7);
        let options = ObjectOptions::default();
        let mut attempts = Attempts::begin(&environment, &options);
        let stale = Fault::Stale(Answer::of_status(401));
        assert!(attempts.pause_after(&stale).await);
        assert!(!attempts.pause_after(&stale).await && !attempts.again(&stale).await);
        assert!(attempts.pause_after(&answer(503)).await);
    }

    #[tokio::test]
    async fn an_attempt_ends_after_its_time() {
        let environment = ManualEnvironment::new(7);
        let options = ObjectOptions::default();
        let mut attempts = Attempts::begin(&environment, &options);
        let never = std::future::pending::<Result<(), Fault>>();
        assert_eq!(attempts.one(never).await, Err(Fault::TimedOut));
        assert_eq!(environment.monotonic(), options.request_timeout);
        assert_eq!(attempts.one(async { Ok(1) }).await, Ok(1));
    }
}
