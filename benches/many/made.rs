//! The repository: made in memory, hour by hour, with the maintenance of each day.

use futures_util::TryStreamExt as _;
use object_store::{ObjectStore as _, ObjectStoreExt as _};
use stash::engine::prune::PruneOptions;
use stash::id::{RepositoryId, SnapshotId};
use stash::repository::InitOptions;

use crate::common_engine::timed::{HOUR, Machine, World};
use crate::common_engine::{SECOND, backup_options, noise, save_with};
use crate::common_s3::Server;

/// Objects with names, bytes, and when they were stored (seconds of Unix time).
pub type Objects = Vec<(String, Vec<u8>, i64)>;

/// What was made.
pub struct Made {
    pub id: RepositoryId,
    /// What is there an hour before the end.
    pub before: Objects,
    /// What the last hour added.
    pub last_hour: Objects,
    /// Files of old snapshots, as `restore` takes them.
    pub restored: [String; 2],
    pub told: String,
}

impl Made {
    pub fn place(&self, server: &Server, objects: &Objects) {
        for (name, bytes, stored) in objects {
            server.place("bucket", &format!("many/{name}"), bytes.clone(), *stored);
        }
    }
}

const MACHINES: i64 = 10;

/// Makes a repository of so many hours.
pub fn make(hours: i64) -> Made {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs().cast_signed() * SECOND;
    let begun = std::time::Instant::now();
    let start = now - (hours + 1) * HOUR;
    let world = World::at(&InitOptions::default(), start);
    let machines: Vec<Machine<'_>> =
        (0..MACHINES).map(|number| world.machine(&format!("machine{number}"))).collect();
    let keeper = world.machine("keeper");
    let mut early = Vec::new();
    let mut before = Objects::new();
    for hour in 0..hours {
        if hour == hours - 1 {
            before = objects(&world);
        }
        for (number, machine) in machines.iter().enumerate() {
            world.pass(HOUR / MACHINES);
            let id = save(machine, number as u64, hour as u64);
            if hour == hours / 10 {
                early.push((id, machine.source.join("file-3")));
            }
        }
        if hour % 24 == 23 {
            let report = keeper.prune_with(&PruneOptions::default()).unwrap();
            eprintln!(
                "hour {hour}, {:.0} s: {} objects, {} snapshots",
                begun.elapsed().as_secs_f64(),
                report.objects,
                report.snapshots
            );
        }
    }
    let mut last_hour = objects(&world);
    let known: std::collections::HashSet<_> = before.iter().map(|row| row.0.clone()).collect();
    let sum = |kind: &str| {
        let rows = last_hour.iter().filter(|row| row.0.starts_with(kind));
        let (count, bytes) = rows.fold((0, 0), |sum, row| (sum.0 + 1, sum.1 + row.1.len()));
        format!("{count} of {:.1} MB in `{kind}`", bytes as f64 / 1e6)
    };
    let told = format!(
        "{} snapshots, one an hour by each of {MACHINES} machines, all of them live; a prune a day. \
         Objects: {}, {}, {}, {}. Made in {:.0} s.",
        hours * MACHINES,
        sum("log/g"),
        sum("log/s"),
        sum("index"),
        sum("packs"),
        begun.elapsed().as_secs_f64()
    );
    last_hour.retain(|row| !known.contains(&row.0));
    let place = |at: usize| {
        let (id, path): &(SnapshotId, std::path::PathBuf) = &early[at];
        format!("{id}:{}", path.display())
    };
    Made { id: keeper.repository.id(), before, last_hour, restored: [place(3), place(7)], told }
}

/// Changes two files of a small tree, and saves it.
fn save(machine: &Machine<'_>, number: u64, hour: u64) -> SnapshotId {
    if hour == 0 {
        for file in 0..12 {
            machine.put(&format!("file-{file}"), text(number, file, 0));
            machine.put(&format!("more/below/file-{file}"), text(number, file + 100, 0));
        }
    }
    machine.put(&format!("file-{}", hour % 12), text(number, hour % 12, hour));
    machine.put(&format!("more/below/file-{}", hour % 7), text(number, hour % 7 + 100, hour));
    let mut options = backup_options(&[&machine.source]);
    options.host.clone_from(&machine.name);
    options.job = "work".into();
    options.always = true;
    let report = save_with(&machine.repository, &options, machine.world.time()).unwrap();
    report.snapshot.unwrap()
}

/// About 3 KB that compress to half of it.
fn text(machine: u64, file: u64, hour: u64) -> String {
    stash::id::to_hex(&noise((machine << 40) | (file << 32) | hour, 1500))
}

fn objects(world: &World) -> Objects {
    futures_executor::block_on(async {
        let rows: Vec<_> = world.inner.list(None).try_collect().await.unwrap();
        let mut objects = Objects::new();
        for row in rows {
            let bytes = world.inner.get(&row.location).await.unwrap().bytes().await.unwrap();
            let stored = row.last_modified.timestamp();
            objects.push((row.location.to_string(), bytes.to_vec(), stored));
        }
        objects
    })
}
