//! Single steps: cutting, hashing, compressing, sealing, claiming.
//!
//! `cargo bench --bench micro`. Figures are throughputs; compare them within one run.
#![allow(
    missing_docs,
    clippy::pedantic,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "a benchmark"
)]

use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use stash::agents::secrets::{ScanOptions, scan};
use stash::codec::chunker::{Chunker, Cut};
use stash::codec::crypto::{MasterKeys, RepositoryKeys, Role};
use stash::codec::{Compression, UnitDecoder, UnitEncoder};
use stash::format::object::ObjectKind;
use stash::format::pack::{BlobKind, UnitForm};
use stash::id::{BlobId, RepositoryId};
use stash::repository::cache::{Cache, Swept};
use stash::repository::index::Index;

fn text(bytes: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut text = Vec::with_capacity(bytes + 16);
    let words = ["session", "message", "the", "of", "content", "{\"type\":\"text\"}", "error"];
    while text.len() < bytes {
        if random.u8(..) < 200 {
            text.extend_from_slice(words[random.usize(..words.len())].as_bytes());
        } else {
            text.extend_from_slice(format!("{:x}", random.u32(..)).as_bytes());
        }
        text.push(b' ');
    }
    text.truncate(bytes);
    text
}

fn benches(criterion: &mut Criterion) {
    let keys =
        RepositoryKeys::derive(&MasterKeys::from_parts([1; 32], [2; 32]), &RepositoryId([3; 16]));
    let large = text(16 << 20);
    let unit = text(1 << 20);
    let mut group = criterion.benchmark_group("bytes");
    group.throughput(Throughput::Bytes(large.len() as u64));
    let chunker = Chunker::new(keys.gear_key());
    group.bench_function("cut by content", |bencher| {
        bencher.iter(|| {
            let mut rest = large.as_slice();
            let mut count = 0;
            while let Some(length) = chunker.cut(rest, true, Cut::Content) {
                rest = &rest[length..];
                count += 1;
            }
            count
        });
    });
    group.bench_function("scan for credentials", |bencher| {
        bencher.iter(|| {
            let options = ScanOptions::for_file(b"session.jsonl");
            scan(&mut large.as_slice(), options, &mut |_| {})
        });
    });
    group.bench_function("blob id", |bencher| {
        bencher.iter(|| keys.blob_id(BlobKind::Data, &large));
    });
    group.throughput(Throughput::Bytes(unit.len() as u64));
    let mut encoder = UnitEncoder::new(Compression::Auto).expect("encoder");
    let mut compressed = Vec::new();
    group.bench_function("compress a unit", |bencher| {
        bencher.iter(|| encoder.encode(&unit, &mut compressed));
    });
    let mut decoder = UnitDecoder::new().expect("decoder");
    let mut plain = Vec::new();
    group.bench_function("decompress a unit", |bencher| {
        bencher.iter(|| decoder.decode(UnitForm::Zstd, &compressed, unit.len(), None, &mut plain));
    });
    let sealer = keys.seal_object(ObjectKind::Pack, 0, &[]).expect("sealer");
    group.bench_function("seal a unit", |bencher| {
        bencher.iter_batched(
            || unit.clone(),
            |mut unit| sealer.seal(Role::Unit(BlobKind::Data), 0, &mut unit),
            BatchSize::LargeInput,
        );
    });
    let mut sealed = unit.clone();
    sealer.seal(Role::Unit(BlobKind::Data), 0, &mut sealed).expect("sealed");
    group.bench_function("open a unit", |bencher| {
        bencher.iter_batched(
            || sealed.clone(),
            |mut sealed| sealer.open(Role::Unit(BlobKind::Data), 0, &mut sealed).map(<[u8]>::len),
            BatchSize::LargeInput,
        );
    });
    group.finish();
    let cache = Arc::new(Cache::open(None, &RepositoryId([3; 16]), Swept::Gone).expect("cache"));
    let index = Index::new(cache).expect("index");
    let mut number = 0_u64;
    criterion.bench_function("claim a new blob", |bencher| {
        bencher.iter(|| {
            number += 1;
            let mut id = [0; 32];
            id[..8].copy_from_slice(&number.to_le_bytes());
            index.claim(&BlobId(id)).expect("claimed")
        });
    });
}

criterion_group!(all, benches);
criterion_main!(all);
