//! How much of what is being uploaded is in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use stash::codec::crypto::{MasterKeys, RepositoryKeys};
use stash::format::pack::{BlobKind, UnitForm};
use stash::id::{BlobId, RepositoryId};
use stash::repository::container::PlainUnit;
use stash::repository::packer::Packer;

use crate::common_engine::noise;
use crate::common_s3::{Action, Behaviour, Server};
use crate::scene::connect;

const MIB: u64 = 1 << 20;

fn unit(number: u64) -> PlainUnit {
    let payload = noise(number, 330_000);
    let mut id = [0; 32];
    id[..8].copy_from_slice(&number.to_le_bytes());
    PlainUnit {
        kind: BlobKind::Data,
        form: UnitForm::Raw,
        blobs: vec![(BlobId(id), payload.len() as u64)],
        payload,
        bases: Vec::new(),
        depth: 0,
    }
}

/// The server takes no pack until it is told to: what the packer accepts meanwhile lies in memory.
#[test]
fn what_waits_for_a_slow_server_is_three_packs_and_no_more() {
    let server = Server::start(Behaviour::default());
    let store = connect(&server, "r");
    let (is_open, waiting) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (gate, count) = (Arc::clone(&is_open), Arc::clone(&waiting));
    server.rule(move |request| {
        if request.is_put() && request.is_pack() {
            count.fetch_add(1, Ordering::SeqCst);
            for _ in 0..200 {
                if gate.load(Ordering::SeqCst) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        Action::Serve
    });
    let keys = RepositoryKeys::derive(&MasterKeys::random().unwrap(), &RepositoryId([7; 16]));
    let packer = Packer::start(store, Arc::new(keys), [0; 16], None, 0);
    let accepted = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..220 {
                packer.add(unit(number)).unwrap();
                accepted.fetch_add(330_000, Ordering::SeqCst);
            }
        });
        // Both uploads are under way, and nothing more is taken.
        let mut last = 0;
        loop {
            std::thread::sleep(Duration::from_millis(150));
            let now = accepted.load(Ordering::SeqCst);
            if now == last && waiting.load(Ordering::SeqCst) == 2 {
                break;
            }
            last = now;
        }
        let held = accepted.load(Ordering::SeqCst);
        assert!((36 * MIB..=49 * MIB).contains(&held), "{held} bytes in memory");
        is_open.store(true, Ordering::SeqCst);
    });
    let (packed, bytes) = packer.finish().unwrap();
    assert!(packed.packs.len() >= 4 && bytes > 68 * MIB, "{} packs, {bytes}", packed.packs.len());
}
