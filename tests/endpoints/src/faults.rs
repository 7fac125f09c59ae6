//! Network faults, and the plan that assigns them to requests.

use std::fmt::{self, Display, Formatter};
use std::ops::RangeInclusive;
use std::time::Duration;

/// A fault between a client and a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// The connection is cut; the request does not reach the server.
    CutBefore,
    /// 500 at once; the request does not reach the server.
    Error500Before,
    /// 503 at once; the request does not reach the server.
    Error503Before,
    /// 409 at once; the request does not reach the server.
    Conflict409Before,
    /// The server executes the request, then the connection is cut without a reply.
    DropReply,
    /// The server executes the request, and the client gets 500.
    Error500After,
    /// The server executes the request, and the client gets 503.
    Error503After,
    /// The server executes the request, and the client gets 409.
    Conflict409After,
    /// The reply ends in the middle of its body; a reply without a body is dropped.
    TruncateReply,
    /// The server gets the request twice; the client gets the second reply.
    Duplicate,
    /// The request reaches the server late, and is answered then.
    Delay,
    /// The client gets an error at once (500, or a cut connection, by the seed), but the request reaches the
    /// server later.
    LateWrite,
    /// Puts only: the client gets 503 or no reply, and the put reaches the server much later, when the client
    /// may have written the key again ([`FaultPlan::with_landing`]).
    LandsLate,
    /// A redirect (301, 302 or 307) to a web page of this proxy; the request does not reach the server.
    RedirectBefore,
    /// The server executes the request, and the client gets a redirect, as from a proxy that shows one
    /// instead of an error.
    RedirectAfter,
    /// 200 and a web page at once, with an `ETag` and a date; the request does not reach the server.
    PageBefore,
    /// The server executes the request, and the client gets 200 and a web page.
    PageAfter,
    /// The credentials have expired (400 or 403 `ExpiredToken`), for this request and some that follow; they
    /// do not reach the server.
    Expired,
}

impl Fault {
    /// All faults.
    pub const ALL: [Self; 18] = [
        Self::CutBefore,
        Self::Error500Before,
        Self::Error503Before,
        Self::Conflict409Before,
        Self::DropReply,
        Self::Error500After,
        Self::Error503After,
        Self::Conflict409After,
        Self::TruncateReply,
        Self::Duplicate,
        Self::Delay,
        Self::LateWrite,
        Self::LandsLate,
        Self::RedirectBefore,
        Self::RedirectAfter,
        Self::PageBefore,
        Self::PageAfter,
        Self::Expired,
    ];

    /// Transient faults of networks and busy servers. The others end an operation.
    pub const OF_A_NETWORK: [Self; 12] = [
        Self::CutBefore,
        Self::Error500Before,
        Self::Error503Before,
        Self::Conflict409Before,
        Self::DropReply,
        Self::Error500After,
        Self::Error503After,
        Self::Conflict409After,
        Self::TruncateReply,
        Self::Duplicate,
        Self::Delay,
        Self::LateWrite,
    ];

    /// Whether the server executes the request although the client is not told.
    #[must_use]
    pub const fn applies_silently(self) -> bool {
        matches!(
            self,
            Self::DropReply
                | Self::Error500After
                | Self::Error503After
                | Self::Conflict409After
                | Self::TruncateReply
                | Self::LateWrite
                | Self::LandsLate
                | Self::RedirectAfter
                | Self::PageAfter
        )
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The probability of each fault, and the delay of the slow ones.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultPlan {
    probabilities: Vec<(Fault, f64)>,
    longest_delay: Duration,
    landing: RangeInclusive<Duration>,
}

impl FaultPlan {
    /// Returns a plan without faults.
    #[must_use]
    pub const fn none() -> Self {
        let landing = Duration::from_millis(50)..=Duration::from_millis(200);
        Self { probabilities: Vec::new(), longest_delay: Duration::from_millis(50), landing }
    }

    /// Gives each network fault this probability: `0.05` affects 60 of 100 requests, since there are twelve.
    ///
    /// # Panics
    /// If the probabilities add up to more than 1.
    #[must_use]
    pub fn each(probability: f64) -> Self {
        Fault::OF_A_NETWORK.into_iter().fold(Self::none(), |plan, fault| plan.with(fault, probability))
    }

    /// Sets the probability of one fault.
    ///
    /// # Panics
    /// If it is not between 0 and 1, or if the probabilities of all faults, which exclude each other, add up
    /// to more than 1.
    #[must_use]
    pub fn with(mut self, fault: Fault, probability: f64) -> Self {
        assert!((0.0..=1.0).contains(&probability), "{probability} is no probability");
        self.probabilities.retain(|(other, _)| *other != fault);
        self.probabilities.push((fault, probability));
        self.probabilities.sort_by_key(|(fault, _)| *fault);
        let sum: f64 = self.probabilities.iter().map(|(_, probability)| probability).sum();
        assert!(sum <= 1.0 + 1e-9, "all faults together would be more than certain: {sum}");
        self
    }

    /// Sets the longest delay of slow faults (default 50 ms).
    #[must_use]
    pub const fn with_longest_delay(mut self, longest: Duration) -> Self {
        self.longest_delay = longest;
        self
    }

    /// Sets the range of times after which late puts land (default 50 to 200 ms).
    #[must_use]
    pub const fn with_landing(mut self, landing: RangeInclusive<Duration>) -> Self {
        self.landing = landing;
        self
    }

    /// Returns the decision for the request with this ordinal. It depends only on the seed and the ordinal,
    /// not on other requests.
    pub(crate) fn decide(&self, seed: u64, ordinal: u64) -> Decision {
        let mut random = SplitMix64::new(seed ^ ordinal.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        let (mut drawn, delay, cuts) = (random.fraction(), random.fraction(), random.fraction() < 0.5);
        let choice = random.next();
        let (soonest, latest) = (*self.landing.start(), *self.landing.end());
        let landing = soonest + latest.saturating_sub(soonest).mul_f64(delay);
        let fault = self.probabilities.iter().find_map(|(fault, probability)| {
            drawn -= probability;
            (drawn < 0.0).then_some(*fault)
        });
        Decision { fault, delay: self.longest_delay.mul_f64(delay), landing, cuts, choice }
    }
}

impl Default for FaultPlan {
    fn default() -> Self {
        Self::none()
    }
}

/// The decision about one request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Decision {
    pub(crate) fault: Option<Fault>,
    /// The delay of slow faults.
    pub(crate) delay: Duration,
    /// The delay of a put that lands late.
    pub(crate) landing: Duration,
    /// Whether the client of a late write gets a cut connection instead of an error.
    pub(crate) cuts: bool,
    /// Selects a form of faults that have several.
    pub(crate) choice: u64,
}

/// A small, well-known random generator: good enough for faults, and the same on every machine.
#[derive(Debug)]
pub(crate) struct SplitMix64(u64);

impl SplitMix64 {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number of at least 0 and less than 1.
    pub(crate) fn fraction(&mut self) -> f64 {
        // 53 bits, which a double represents exactly.
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_as_frequent_as_planned_and_repeat_with_the_seed() {
        let plan = FaultPlan::each(0.05);
        let drawn: Vec<_> = (0..20_000).map(|ordinal| plan.decide(7, ordinal)).collect();
        for fault in Fault::OF_A_NETWORK {
            let times = drawn.iter().filter(|decision| decision.fault == Some(fault)).count();
            assert!((800..1200).contains(&times), "{fault}: {times} of 20000");
        }
        assert!(
            drawn.iter().enumerate().all(|(ordinal, decision)| plan.decide(7, ordinal as u64) == *decision)
        );
        assert!(
            drawn.iter().enumerate().any(|(ordinal, decision)| plan.decide(8, ordinal as u64) != *decision)
        );
        assert!((0..1000).all(|ordinal| FaultPlan::none().decide(7, ordinal).fault.is_none()));
    }

    #[test]
    #[should_panic(expected = "more than certain")]
    fn faults_that_exclude_each_other_cannot_be_more_than_certain() {
        drop(FaultPlan::each(0.1));
    }
}
