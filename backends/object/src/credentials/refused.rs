use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

/// As many are kept: a handle sends no more requests side by side by default.
const MOST: usize = 64;

/// The credentials that the server has refused, as the header `authorization` of the requests showed them,
/// until
/// [`Held`](super::Held) looks.
#[derive(Default)]
pub(crate) struct Refused {
    /// Whether new credentials may be had at all.
    pub(crate) can_renew: bool,
    headers: Mutex<Vec<String>>,
}

impl Refused {
    /// For credentials that may be renewed.
    pub(crate) fn renewable() -> Self {
        Self { can_renew: true, headers: Mutex::default() }
    }

    pub(crate) fn add(&self, authorization: String) {
        let mut headers = self.headers.lock().unwrap_or_else(PoisonError::into_inner);
        if headers.len() < MOST && !headers.contains(&authorization) {
            headers.push(authorization);
        }
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.headers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Hides the headers: some are a token.
impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused").field("can_renew", &self.can_renew).finish_non_exhaustive()
    }
}
