//! What becomes of requests that the storage fails or does not answer.

use std::time::Duration;

/// What is done about a request that the storage failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum OnError {
    /// The guest is told of an I/O error.
    #[default]
    Report,
    /// The guest is told that all went well.
    Ignore,
    /// The disk stops until `microvm ctl` resumes it.
    Stop,
    /// Stops where the storage is full, reports everything else.
    StopWhenFull,
}

impl OnError {
    /// The value of `on-error=`.
    pub(super) fn parse(value: &str) -> Result<Self, String> {
        match value {
            "report" => Ok(OnError::Report),
            "ignore" => Ok(OnError::Ignore),
            "stop" => Ok(OnError::Stop),
            "enospc" => Ok(OnError::StopWhenFull),
            _ => Err(format!("on-error={value}: there are report, ignore, stop and enospc")),
        }
    }
}

/// The longest that makes sense.
const MAX_SECONDS: u64 = 24 * 60 * 60;

/// The value of `timeout=`: seconds, or milliseconds with ms behind them.
pub(super) fn timeout(value: &str) -> Result<Duration, String> {
    let (number, unit) = match value.strip_suffix("ms") {
        Some(number) => (number, Duration::from_millis(1)),
        None => (value.strip_suffix('s').unwrap_or(value), Duration::from_secs(1)),
    };
    let number = number.bytes().all(|byte| byte.is_ascii_digit()).then_some(number);
    let time = number.and_then(|number| unit.checked_mul(number.parse().ok()?));
    time.filter(|time| !time.is_zero() && time.as_secs() <= MAX_SECONDS)
        .ok_or_else(|| format!("timeout={value}: 1ms to {MAX_SECONDS}s are possible, such as 30s or 500ms"))
}
