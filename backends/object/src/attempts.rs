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

/// The first pause between two attempts is up to this long; each further one is up to twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The maximum pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often a request is repeated after an answer that cannot be parsed: a wrong server never gives another.
const MOST_GARBLED: u32 = 3;

/// The time and the retries of one operation: how long its next request may take, and whether there is a next
/// one.
///
/// If a server asks for a pause with `Retry-After`, the operation pauses that long, or ends.
///
/// Pauses are random between zero and their length ("full jitter",
/// <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>), so that writers that
/// collided do not collide again.
#[derive(Debug)]
pub(crate) struct Attempts<'a> {
    environment: &'a dyn Environment,
    options: &'a ObjectOptions,
    ends: Duration,
    pause: Duration,
    garbled: u32,
    /// Whether the credentials were already renewed because the server refused the old ones.
    renewed: bool,
    /// When the present or the last attempt began.
    began: Duration,
    /// The pause that the server asked for in its last answer.
    at_least: Duration,
    notice: Notice<'a>,
    /// When the first attempt of the present sequence of failed connections began.
    unreachable_since: Option<Duration>,
}

/// Tells a person about an operation that takes long.
#[derive(Debug)]
struct Notice<'a> {
    /// When the operation began.
    begun: Duration,
    /// The fault of the last attempt, in short.
    met: Option<String>,
    /// Where the notice goes, and the endpoint that it names.
    outage: Option<(&'a Outage, &'a str)>,
}

impl Notice<'_> {
    fn due_in(&self, now: Duration) -> Duration {
        self.begun.saturating_add(PATIENCE).saturating_sub(now)
    }

    fn tell(&self, now: Duration) {
        if let Some((outage, endpoint)) = self.outage {
            outage.tell(now, endpoint, self.met.as_deref().unwrap_or("no answer yet"));
        }
    }
}

impl<'a> Attempts<'a> {
    /// Begins an operation; its time starts now.
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
            notice: Notice { begun: now, met: None, outage: None },
            unreachable_since: None,
        }
    }

    /// Tells a person if the operation takes long.
    pub(crate) fn telling(mut self, outage: &'a Outage, endpoint: &'a str) -> Self {
        self.notice.outage = Some((outage, endpoint));
        self
    }

    /// Makes one attempt, and ends it when its time is over. A timeout does not tell whether the server
    /// applies the request, unless the attempt was still waiting for credentials: then the request was not
    /// sent.
    pub(crate) async fn one<T>(
        &mut self,
        request: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        self.began = self.environment.monotonic();
        let limit = self.options.request_timeout.min(self.ends.saturating_sub(self.began));
        let getting = Getting::default();
        let mut request = pin!(getting.watch(request));
        let quiet = self.notice.due_in(self.began).min(limit);
        let mut answer = match select(&mut request, pin!(self.environment.sleep(quiet))).await {
            Either::Left((answer, _)) => Some(answer),
            Either::Right(_) => None,
        };
        if answer.is_none() && quiet < limit {
            self.notice.tell(self.environment.monotonic());
            let left = pin!(self.environment.sleep(limit.saturating_sub(quiet)));
            if let Either::Left((late, _)) = select(&mut request, left).await {
                answer = Some(late);
            }
        }
        let answer = answer.unwrap_or_else(|| match getting.is_under_way() {
            true => Err(Fault::CredentialsTimedOut),
            false => Err(Fault::TimedOut),
        });
        self.notice.met = answer.as_ref().err().map(Fault::in_short);
        self.at_least = answer.as_ref().err().and_then(Fault::retry_after).unwrap_or_default();
        answer
    }

    /// Pauses after `fault`. Returns true if there may be another attempt, and false if the fault is
    /// permanent or the time is over.
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

    /// Whether the credentials may be renewed: once in an operation, because each renewal may run a program.
    fn renews(&mut self) -> bool {
        !std::mem::replace(&mut self.renewed, true)
    }

    /// As [`pause`](Self::pause), for the faults after which a write in doubt is settled; these are retried
    /// until the deadline.
    pub(crate) async fn pause_after(&mut self, fault: &Fault) -> bool {
        if matches!(fault, Fault::Stale(_)) && !self.renews() { false } else { self.pause().await }
    }

    /// Pauses, and returns whether there is time for another attempt.
    pub(crate) async fn pause(&mut self) -> bool {
        self.pause_until(self.ends).await
    }

    /// Pauses until `ends` at most. A pause that would last longer is not begun, because no attempt could
    /// follow it.
    async fn pause_until(&mut self, ends: Duration) -> bool {
        let pause = self.pause.mul_f64(self.environment.jitter()).max(self.at_least);
        if self.environment.monotonic().saturating_add(pause) >= ends {
            return false;
        }
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        let quiet = self.notice.due_in(self.environment.monotonic()).min(pause);
        self.environment.sleep(quiet).await;
        if quiet < pause {
            self.notice.tell(self.environment.monotonic());
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

    /// How long an operation is retried with this fault, if each request takes no time.
    async fn patience(fault: &Fault) -> Duration {
        let environment = ManualEnvironment::new(7);
        let options = ObjectOptions::default();
        let mut attempts = Attempts::begin(&environment, &options);
        while attempts.again(fault).await {}
        environment.monotonic()
    }

    #[tokio::test]
    async fn refused_connections_are_retried_for_the_connect_timeout() {
        let waited = patience(&Fault::Unreachable("refused".to_owned())).await;
        assert!(waited <= Duration::from_secs(2) && waited > Duration::from_millis(200), "{waited:?}");
    }

    #[tokio::test]
    async fn transient_faults_are_retried_and_permanent_ones_are_not() {
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
    async fn person_is_told_after_two_seconds_and_not_again_at_once() {
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
    async fn retry_after_is_honoured() {
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
    async fn attempt_still_waiting_for_credentials_was_not_sent() {
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
    async fn credentials_are_renewed_once_even_with_a_write_in_doubt() {
        let environment = ManualEnvironment::new(7);
        let options = ObjectOptions::default();
        let mut attempts = Attempts::begin(&environment, &options);
        let stale = Fault::Stale(Answer::of_status(401));
        assert!(attempts.pause_after(&stale).await);
        assert!(!attempts.pause_after(&stale).await && !attempts.again(&stale).await);
        assert!(attempts.pause_after(&answer(503)).await);
    }

    #[tokio::test]
    async fn attempt_ends_after_the_request_timeout() {
        let environment = ManualEnvironment::new(7);
        let options = ObjectOptions::default();
        let mut attempts = Attempts::begin(&environment, &options);
        let never = std::future::pending::<Result<(), Fault>>();
        assert_eq!(attempts.one(never).await, Err(Fault::TimedOut));
        assert_eq!(environment.monotonic(), options.request_timeout);
        assert_eq!(attempts.one(async { Ok(1) }).await, Ok(1));
    }
}
