//! What a store says about its state: [`Store::status`](crate::Store::status),
//! [`verify`](crate::Store::verify), [`doctor`](crate::Store::doctor), and what a repair did.

pub use crate::store::{
    Diagnosis, Finding, HeadMove, IndexStatus, RepairPlan, RepairReport, Repaired, Report, Severity, Status,
    UndecidedHead, VersionTip,
};
