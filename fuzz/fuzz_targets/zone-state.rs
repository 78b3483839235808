//! A state file of zones under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    virtio_fuzz::zone_state(data);
});
