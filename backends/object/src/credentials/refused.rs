use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

/// The maximum number of headers that are kept; by default a handle sends no more requests side by side.
const MOST: usize = 64;

/// The credentials that the server refused, as the `authorization` headers of the requests, until
/// [`Held`](super::Held) takes them.
#[derive(Default)]
pub(crate) struct Refused {
    /// Whether new credentials are possible at all.
    pub(crate) can_renew: bool,
    headers: Mutex<Vec<String>>,
}

impl Refused {
    /// For credentials that can be renewed.
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

/// Hides the headers, because some are a token.
impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused").field("can_renew", &self.can_renew).finish_non_exhaustive()
    }
}
