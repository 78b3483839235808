//! Copies between guest memory and memory of our own.
//!
//! The driver may write the guest's side at any time, so it is only touched by volatile accesses and, for long copies
//! on x86-64, by one string instruction that the compiler cannot see into: no access is repeated, merged or invented,
//! and nothing is assumed about the bytes that come out. Builds for a sanitizer or for fuzzing do without that instruction,
//! which neither would see into.

/// Copies up to this many bytes are done word by word.
#[cfg(all(target_arch = "x86_64", not(any(miri, fuzzing, sanitized))))]
const SHORT: usize = 128;
/// Where the string instruction is to start writing: behind another start it takes three times as long on some processors,
/// where the source is a few bytes less far behind one.
#[cfg(all(target_arch = "x86_64", not(any(miri, fuzzing, sanitized))))]
const LINE: usize = 64;

/// Copies `dst.len()` bytes out of guest memory.
///
/// # Safety
/// `src` must be valid for reads of `dst.len()` bytes; others may write them meanwhile.
#[inline]
pub(super) unsafe fn from_guest(src: *const u8, dst: &mut [u8]) {
    #[cfg(all(target_arch = "x86_64", not(any(miri, fuzzing, sanitized))))]
    if dst.len() > SHORT {
        let start = dst.as_ptr().align_offset(LINE).min(dst.len());
        let (start, rest) = dst.split_at_mut(start);
        // SAFETY: no more than what the caller vouches for.
        unsafe { words_from_guest(src, start) };
        // SAFETY: the caller vouches for `src`, what follows the start included, the slice for `rest`.
        unsafe { rep_movsb(src.add(start.len()), rest.as_mut_ptr(), rest.len()) };
        return;
    }
    // SAFETY: the caller vouches for it.
    unsafe { words_from_guest(src, dst) }
}

/// Copies by volatile accesses.
///
/// # Safety
/// As of [`from_guest`].
#[inline(always)]
unsafe fn words_from_guest(src: *const u8, dst: &mut [u8]) {
    let head = src.align_offset(8).min(dst.len());
    let (head, rest) = dst.split_at_mut(head);
    for (i, byte) in head.iter_mut().enumerate() {
        // SAFETY: `i` is below the length the caller vouches for.
        let at = unsafe { src.add(i) };
        // SAFETY: as above.
        *byte = unsafe { at.read_volatile() };
    }
    // SAFETY: within, or one past the end of, what the caller vouches for.
    let src = unsafe { src.add(head.len()) };
    let (words, tail) = rest.as_chunks_mut::<8>();
    for (i, word) in words.iter_mut().enumerate() {
        // SAFETY: aligned by `head`, and within what the caller vouches for.
        let at = unsafe { src.cast::<u64>().add(i) };
        // SAFETY: as above.
        *word = unsafe { at.read_volatile() }.to_ne_bytes();
    }
    let done = 8 * words.len();
    for (i, byte) in tail.iter_mut().enumerate() {
        // SAFETY: within what the caller vouches for.
        let at = unsafe { src.add(done + i) };
        // SAFETY: as above.
        *byte = unsafe { at.read_volatile() };
    }
}

/// Copies `src` into guest memory.
///
/// # Safety
/// `dst` must be valid for writes of `src.len()` bytes; others may access them meanwhile.
#[inline]
pub(super) unsafe fn to_guest(src: &[u8], dst: *mut u8) {
    if let [byte] = *src {
        // SAFETY: the caller vouches for it.
        unsafe { dst.write_volatile(byte) };
        return;
    }
    #[cfg(all(target_arch = "x86_64", not(any(miri, fuzzing, sanitized))))]
    if src.len() > SHORT {
        let start = dst.align_offset(LINE).min(src.len());
        let (start, rest) = src.split_at(start);
        // SAFETY: no more than what the caller vouches for.
        unsafe { words_to_guest(start, dst) };
        // SAFETY: the caller vouches for `dst`, what follows the start included, the slice for `rest`.
        unsafe { rep_movsb(rest.as_ptr(), dst.add(start.len()), rest.len()) };
        return;
    }
    // SAFETY: the caller vouches for it.
    unsafe { words_to_guest(src, dst) }
}

/// Copies by volatile accesses.
///
/// # Safety
/// As of [`to_guest`].
#[inline(always)]
unsafe fn words_to_guest(src: &[u8], dst: *mut u8) {
    let head = dst.align_offset(8).min(src.len());
    let (head, rest) = src.split_at(head);
    for (i, byte) in head.iter().enumerate() {
        // SAFETY: `i` is below the length the caller vouches for.
        let at = unsafe { dst.add(i) };
        // SAFETY: as above.
        unsafe { at.write_volatile(*byte) };
    }
    // SAFETY: within, or one past the end of, what the caller vouches for.
    let dst = unsafe { dst.add(head.len()) };
    let (words, tail) = rest.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        // SAFETY: aligned by `head`, and within what the caller vouches for.
        let at = unsafe { dst.cast::<u64>().add(i) };
        // SAFETY: as above.
        unsafe { at.write_volatile(u64::from_ne_bytes(*word)) };
    }
    let done = 8 * words.len();
    for (i, byte) in tail.iter().enumerate() {
        // SAFETY: within what the caller vouches for.
        let at = unsafe { dst.add(done + i) };
        // SAFETY: as above.
        unsafe { at.write_volatile(*byte) };
    }
}

/// # Safety
/// `src` must be valid for reads and `dst` for writes of `len` bytes, and the two must not overlap.
#[cfg(all(target_arch = "x86_64", not(any(miri, fuzzing, sanitized))))]
unsafe fn rep_movsb(src: *const u8, dst: *mut u8, len: usize) {
    // SAFETY: the direction flag is clear by the ABI; the instruction touches exactly the two ranges that the caller
    // vouches for. Being opaque to the compiler, it is no data race in Rust's terms beyond what the hardware does.
    unsafe {
        std::arch::asm!(
            "rep movsb",
            inout("rcx") len => _,
            inout("rsi") src => _,
            inout("rdi") dst => _,
            options(nostack, preserves_flags)
        );
    }
}
