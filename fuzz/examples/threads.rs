//! A driver and a device on two threads, on a ring of each layout: without a test harness, for ThreadSanitizer.

fn main() {
    for packed in [false, true] {
        virtio_fuzz::two_threads(packed, 20_000);
    }
    println!("no chain was answered wrong");
}
