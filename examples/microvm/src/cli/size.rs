//! Sizes with a unit.

/// Least memory that a kernel can start in.
const MIN_MEMORY: u64 = 32 << 20;
/// Most memory; a machine with more would need other address space plans.
const MAX_MEMORY: u64 = 1 << 40;
const PAGE: u64 = 4096;

/// Bytes, or a number with K, M, G or T.
pub(super) fn parse(text: &str) -> Result<u64, String> {
    let (number, shift) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (text.get(..at), 10),
        Some((at, 'm' | 'M')) => (text.get(..at), 20),
        Some((at, 'g' | 'G')) => (text.get(..at), 30),
        Some((at, 't' | 'T')) => (text.get(..at), 40),
        _ => (Some(text), 0),
    };
    let number: u64 = number
        .filter(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
        .ok_or("a number of bytes is needed, or one with K, M, G or T behind it")?
        .parse()
        .map_err(|_| "too large")?;
    number.checked_mul(1 << shift).ok_or_else(|| "too large".to_owned())
}

/// A size that guest memory can have.
pub(super) fn memory(text: &str) -> Result<u64, String> {
    let size = parse(text)?;
    if !(MIN_MEMORY..=MAX_MEMORY).contains(&size) {
        return Err("32M to 1T are possible".to_owned());
    }
    if size % PAGE != 0 {
        return Err("a multiple of 4K is needed".to_owned());
    }
    Ok(size)
}
