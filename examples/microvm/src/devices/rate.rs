//! Limits on what devices do in a second.

use std::collections::HashMap;

use virtio_core::{Rate, RateLimit};

use crate::cli::rate::{self as cli, Limit};

/// The limits that several devices share, by name.
#[derive(Default)]
pub(super) struct Groups<'n>(HashMap<&'n str, RateLimit>);

impl<'n> Groups<'n> {
    /// Those with these rates.
    pub(super) fn new(rates: HashMap<&'n str, cli::Rate>) -> Self {
        Self(rates.into_iter().map(|(name, rate)| (name, limit(&rate))).collect())
    }

    /// The limit that is given by a rate: that of its group, or one of its own.
    pub(super) fn limit(&self, rate: &cli::Rate) -> RateLimit {
        let shared = rate.group.as_deref().and_then(|group| self.0.get(group));
        shared.cloned().unwrap_or_else(|| limit(rate))
    }
}

fn limit(rate: &cli::Rate) -> RateLimit {
    let rate_of = |limit: Limit| Rate { per_second: limit.per_second, burst: limit.burst };
    RateLimit::new(rate.requests.map(rate_of), rate.bytes.map(rate_of))
}
