//! What a network does to a request, and which request it does it to.

use std::fmt::{self, Display, Formatter};
use std::ops::RangeInclusive;
use std::time::Duration;

/// One way in which a request goes wrong between a client and a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// The connection is cut before the server saw anything.
    CutBefore,
    /// 500 at once; the server saw nothing.
    Error500Before,
    /// 503 at once; the server saw nothing.
    Error503Before,
    /// 409 at once; the server saw nothing.
    Conflict409Before,
    /// The server carried the request out, then the connection is cut without an answer.
    DropReply,
    /// The server carried the request out, then 500.
    Error500After,
    /// The server carried the request out, then 503.
    Error503After,
    /// The server carried the request out, then 409.
    Conflict409After,
    /// The server's answer breaks off in the middle of its body; an answer without a body is dropped.
    TruncateReply,
    /// The server gets the request twice; the second answer is the one that arrives.
    Duplicate,
    /// The request reaches the server late, and is answered then.
    Delay,
    /// The client is told at once that it failed (500, or a cut connection, by the seed), and the request
    /// reaches the server later nevertheless.
    LateWrite,
    /// A put alone: the client is told 503, or nothing, and the server gets the put much later, when the
    /// client may have written the key again ([`FaultPlan::with_landing`]).
    LandsLate,
    /// A redirect (301, 302 or 307) to a web page that this proxy has; the server saw nothing.
    RedirectBefore,
    /// The server carried the request out, then a redirect, as a proxy shows it in place of an error.
    RedirectAfter,
    /// 200 and a web page at once, with an `ETag` and a date; the server saw nothing.
    PageBefore,
    /// The server carried the request out, then 200 and a web page.
    PageAfter,
    /// The credentials have expired (400 or 403 `ExpiredToken`), for this request and some that follow; the
    /// server saw nothing.
    Expired,
}

impl Fault {
    /// Every kind of fault.
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

    /// What networks and busy servers do, and what passes. The others end an operation.
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

    /// Whether the server carries the request out although the client is not told so.
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

/// How often each fault happens, and how long the slow ones take.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultPlan {
    probabilities: Vec<(Fault, f64)>,
    longest_delay: Duration,
    landing: RangeInclusive<Duration>,
}

impl FaultPlan {
    /// No fault at all.
    #[must_use]
    pub const fn none() -> Self {
        let landing = Duration::from_millis(50)..=Duration::from_millis(200);
        Self { probabilities: Vec::new(), longest_delay: Duration::from_millis(50), landing }
    }

    /// Every fault of a network with this probability each: `0.05` spoils 60 of 100 requests, since there are
    /// twelve.
    ///
    /// # Panics
    /// When all of them together would be more than certain.
    #[must_use]
    pub fn each(probability: f64) -> Self {
        Fault::OF_A_NETWORK.into_iter().fold(Self::none(), |plan, fault| plan.with(fault, probability))
    }

    /// The same, with this probability for this fault.
    ///
    /// # Panics
    /// When it is not between 0 and 1, or when all faults together would be more than certain: they exclude
    /// each other.
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

    /// The same, with slow faults that take at most this long (50 ms unless said).
    #[must_use]
    pub const fn with_longest_delay(mut self, longest: Duration) -> Self {
        self.longest_delay = longest;
        self
    }

    /// The same, with puts that land after a time of this range (50 to 200 ms unless said).
    #[must_use]
    pub const fn with_landing(mut self, landing: RangeInclusive<Duration>) -> Self {
        self.landing = landing;
        self
    }

    /// What becomes of the request with this ordinal: the same for the same seed, whatever happened to
    /// others.
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

/// What becomes of one request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Decision {
    pub(crate) fault: Option<Fault>,
    /// For faults that take their time.
    pub(crate) delay: Duration,
    /// When a put that lands late does.
    pub(crate) landing: Duration,
    /// Whether a late write is announced by a cut connection, or by an error.
    pub(crate) cuts: bool,
    /// For faults of several forms.
    pub(crate) choice: u64,
}

/// A small generator of the well-known kind: good enough for faults, and the same on every machine.
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

    /// At least 0 and below 1.
    pub(crate) fn fraction(&mut self) -> f64 {
        // 53 bits, which a double holds exactly.
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
