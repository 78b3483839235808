//! What an option such as `--disk` takes: `key=value` or `key`, with commas between.

use std::collections::HashSet;

/// Calls `take` with each key and its value, which is empty where there is none. A key may be given once.
pub(super) fn each<'t>(text: &'t str, take: impl FnMut(&'t str, &'t str) -> Result<(), String>) -> Result<(), String> {
    each_of(Some(text), ',', take)
}

/// The same with something else between them, and where there may be nothing at all.
pub(super) fn each_of<'t>(
    text: Option<&'t str>,
    between: char,
    mut take: impl FnMut(&'t str, &'t str) -> Result<(), String>,
) -> Result<(), String> {
    let mut seen = HashSet::new();
    for part in text.into_iter().flat_map(|text| text.split(between)) {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        if !seen.insert(key) {
            return Err(format!("{key} is given twice"));
        }
        take(key, value)?;
    }
    Ok(())
}

/// The value of a key that is on or off.
pub(super) fn switch(key: &str, value: &str) -> Result<bool, String> {
    match value {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("{key}={value}: there are on and off")),
    }
}

/// The refusal of a key that there is not, or of one whose value it does not take.
pub(super) fn unknown(key: &str, value: &str, keys: &str) -> String {
    let part = if value.is_empty() { key.to_owned() } else { format!("{key}={value}") };
    format!("{part:?}: there are {keys}")
}
