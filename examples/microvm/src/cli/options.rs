//! What an option such as `--disk` takes: `key=value` or `key`, with commas between.

use std::collections::HashSet;

/// Calls `take` with each key and its value, which is empty where there is none. A key may be given once.
pub(super) fn each<'t>(
    text: &'t str,
    mut take: impl FnMut(&'t str, &'t str) -> Result<(), String>,
) -> Result<(), String> {
    let mut seen = HashSet::new();
    for part in text.split(',') {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        if !seen.insert(key) {
            return Err(format!("{key} is given twice"));
        }
        take(key, value)?;
    }
    Ok(())
}

/// The refusal of a key that there is not, or of one whose value it does not take.
pub(super) fn unknown(key: &str, value: &str, keys: &str) -> String {
    let part = if value.is_empty() { key.to_owned() } else { format!("{key}={value}") };
    format!("{part:?}: there are {keys}")
}
