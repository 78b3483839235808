//! Rings under criterion: the cases of `compare`, each for ours and for the baseline.

#![allow(clippy::expect_used)] // a measurement fails by panicking

use benches::contest::Contest;
use benches::ring;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn rings(criterion: &mut Criterion) {
    for case in ring::cases() {
        let Contest { ours, baseline, .. } = (case.contest)().expect("rings need nothing");
        let mut group = criterion.benchmark_group(case.name);
        group.throughput(Throughput::Elements(u64::from(case.chains)));
        for (name, mut side) in [("ours", ours), ("baseline", baseline)] {
            group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
                bencher.iter_custom(|batches| side(u32::try_from(batches).unwrap_or(u32::MAX)).times.iter().sum());
            });
        }
        group.finish();
    }
}

criterion_group!(benches, rings);
criterion_main!(benches);
