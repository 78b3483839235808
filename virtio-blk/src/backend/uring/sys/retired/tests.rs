#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

use std::io;
use std::time::{Duration, Instant};

use super::{Retired, Stuck};
use crate::backend::bench::Bench;

#[test]
fn what_the_kernel_does_not_give_back_is_kept_until_it_does() {
    let mut bench = Bench::new();
    let (operation, _) = bench.read(3, 0, 512);
    let (end, kernel) = io::pipe().unwrap();
    let stuck = Stuck::default();
    let mut retired = Retired::new(vec![operation], None, end, stuck.clone());
    assert!(retired.take().is_none());
    drop(retired);
    assert_eq!(stuck.get(), 1);

    let barrier = bench.memory.ram().replace_with(bench.memory.ram());
    bench.refresh();
    assert!(!barrier.is_complete());
    drop(kernel);
    assert!(barrier.wait(Duration::from_secs(60)));
    let limit = Instant::now() + Duration::from_secs(60);
    while stuck.get() != 0 {
        assert!(Instant::now() < limit);
        std::thread::yield_now();
    }
}

#[test]
fn what_it_gives_back_can_be_taken() {
    let (operation, _) = Bench::new().read(3, 0, 512);
    let (end, kernel) = io::pipe().unwrap();
    let stuck = Stuck::default();
    let mut retired = Retired::new(vec![operation], None, end, stuck.clone());
    drop(kernel);
    let back = retired.take().expect("it has ended");
    assert_eq!(back.iter().map(|operation| operation.tag()).collect::<Vec<_>>(), [3]);
    assert_eq!(stuck.get(), 0);
}
