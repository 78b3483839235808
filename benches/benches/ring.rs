//! The split ring under criterion: the cases of `compare -- ring`, each for ours and for the baseline.

use std::time::Duration;

use benches::contest::Contest;
use benches::ring;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn split(criterion: &mut Criterion) {
    type Run = fn(&mut dyn Contest, u32) -> Vec<Duration>;
    let sides: [(&str, Run); 2] =
        [("ours", |c, batches| c.ours(batches)), ("baseline", |c, batches| c.baseline(batches))];
    for case in ring::cases() {
        let mut contest = (case.contest)();
        let mut group = criterion.benchmark_group(case.name);
        group.throughput(Throughput::Elements(u64::from(case.chains)));
        for (side, run) in sides {
            group.bench_function(BenchmarkId::from_parameter(side), |bencher| {
                bencher
                    .iter_custom(|batches| run(&mut *contest, u32::try_from(batches).unwrap_or(u32::MAX)).iter().sum());
            });
        }
        group.finish();
    }
}

criterion_group!(benches, split);
criterion_main!(benches);
