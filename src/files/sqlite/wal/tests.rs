use std::path::Path;

use rusqlite::Connection;

use super::*;

/// A database with a log of some transactions, which stays: the folder, and the open log.
fn with_log() -> (tempfile::TempDir, File) {
    let folder = tempfile::tempdir().unwrap();
    let connection = Connection::open(folder.path().join("db")).unwrap();
    let option = rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    connection.set_db_config(option, true).unwrap();
    connection.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (a, b);").unwrap();
    for _ in 0..5 {
        connection.execute_batch("INSERT INTO t VALUES (1, randomblob(9000))").unwrap();
    }
    drop(connection);
    let wal = File::open(folder.path().join("db-wal")).unwrap();
    (folder, wal)
}

fn frames(wal: &File) -> Vec<Frame> {
    let header = WalHeader::read(wal).unwrap().unwrap();
    let (mut frames, mut all) = (Frames::new(wal, header, u64::MAX), Vec::new());
    while let Some(frame) = frames.next().unwrap() {
        all.push(frame);
    }
    all
}

/// The same log with its checksums in the other byte order.
fn turned(wal: &File, path: &Path) -> File {
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut wal.try_clone().unwrap(), &mut bytes).unwrap();
    let mut checksum = Checksum { sums: (0, 0), big_endian: bytes[3] & 1 == 0 };
    bytes[3] ^= 1;
    let store = |checksum: &Checksum, place: &mut [u8]| {
        place[..4].copy_from_slice(&checksum.sums.0.to_be_bytes());
        place[4..8].copy_from_slice(&checksum.sums.1.to_be_bytes());
    };
    checksum.add(&bytes[..24]);
    store(&checksum, &mut bytes[24..32]);
    for frame in bytes[32..].chunks_exact_mut(4096 + 24) {
        checksum.add(&frame[..8]);
        checksum.add(&frame[24..]);
        store(&checksum, &mut frame[16..24]);
    }
    std::fs::write(path, &bytes).unwrap();
    File::open(path).unwrap()
}

#[test]
fn every_frame_of_a_log_is_found_in_either_byte_order() {
    let (folder, wal) = with_log();
    let own = frames(&wal);
    let size = wal.metadata().unwrap().len();
    assert_eq!(own.len() as u64, (size - WAL_HEADER_BYTES) / (4096 + FRAME_HEADER_BYTES));
    let header = WalHeader::read(&wal).unwrap().unwrap();
    let committed = find_committed(&wal, header).unwrap().unwrap();
    assert_eq!(committed.frames as usize, own.len());

    let other = turned(&wal, &folder.path().join("turned"));
    let theirs = frames(&other);
    assert_eq!(theirs.len(), own.len());
    assert!(theirs.iter().zip(&own).all(|(one, two)| one.page == two.page));
    assert_ne!(theirs[0].sums, own[0].sums);
    // SQLite agrees that this is a log.
    std::fs::copy(folder.path().join("turned"), folder.path().join("db-wal")).unwrap();
    let connection = Connection::open(folder.path().join("db")).unwrap();
    let count: i64 = connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 5);
}

#[test]
fn a_scan_verifies_what_it_lays_over() {
    let (_folder, wal) = with_log();
    let header = WalHeader::read(&wal).unwrap().unwrap();
    let count = u32::try_from(frames(&wal).len()).unwrap();
    let Scan::Whole { sums, commit_pages, overlay } = scan(&wal, header, count).unwrap() else {
        unreachable!("the log is whole")
    };
    let last = *frames(&wal).last().unwrap();
    assert_eq!((sums, commit_pages), (last.sums, last.commit_pages));
    assert!(!overlay.is_empty());
    assert!(matches!(scan(&wal, header, count + 1).unwrap(), Scan::Broken));
    assert!(!is_followed(&wal, header, count).unwrap());
    assert!(is_followed(&wal, header, count - 1).unwrap());
    let other = WalHeader { salts: [9; 8], ..header };
    assert!(matches!(scan(&wal, other, 1).unwrap(), Scan::Broken));
    assert!(!is_followed(&wal, other, 0).unwrap());
}

#[test]
fn an_index_counts_only_if_both_copies_agree_and_hold() {
    let (folder, wal) = with_log();
    let path = folder.path().join("db-shm");
    let reader = Connection::open(folder.path().join("db")).unwrap();
    let count = |it: &Connection| it.query_row("SELECT count(*) FROM t", [], |row| row.get(0));
    assert_eq!(count(&reader), Ok(5_i64));
    let good = std::fs::read(&path).unwrap();
    let read = |bytes: &[u8]| {
        let copy = folder.path().join("copy");
        std::fs::write(&copy, bytes).unwrap();
        Index::read(&File::open(&copy).unwrap()).unwrap()
    };
    let index = read(&good).unwrap();
    let header = WalHeader::read(&wal).unwrap().unwrap();
    assert_eq!((index.salts, index.page_size), (header.salts, 4096));
    assert_eq!(index.max_frame as usize, frames(&wal).len());
    assert_eq!(index.frame_sums, frames(&wal).last().unwrap().sums);
    assert!(!index.is_backfilled);
    for place in 0..96 {
        let mut bytes = good.clone();
        bytes[place] ^= 0x10;
        assert_eq!(read(&bytes), None, "byte {place}");
        bytes[(place + 48) % 96] ^= 0x10;
        assert_eq!(read(&bytes), None, "byte {place} in both");
    }
    assert_eq!(read(&good[..100]), None);
    assert_eq!(read(&vec![0; 32_768]), None);
}

/// Why "all is backfilled" counts only while the head stands still: a checkpoint that knows of later
/// frames counts those up to a reader's mark as carried over, but leaves out the pages that the
/// later ones hold anew.
#[test]
fn a_checkpoint_counts_as_carried_what_it_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let writer = Connection::open(&path).unwrap();
    writer
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
             CREATE TABLE t (a); INSERT INTO t VALUES ('nothing'); PRAGMA wal_checkpoint(TRUNCATE);
             UPDATE t SET a = 'earlier';",
        )
        .unwrap();
    let reader = Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM t;").unwrap();
    let shm = File::open(folder.path().join("db-shm")).unwrap();
    let marked = Index::read(&shm).unwrap().unwrap().max_frame;
    writer.execute_batch("UPDATE t SET a = 'further'; PRAGMA wal_checkpoint(PASSIVE);").unwrap();
    let mut carried = [0; 4];
    shm.read_exact_at(&mut carried, 96).unwrap();
    assert_eq!(native(carried), marked, "the whole log of the first head counts as carried");
    let index = Index::read(&shm).unwrap().unwrap();
    assert!(index.max_frame > marked && !index.is_backfilled);
    // Yet the file still has what was before both.
    let file = std::fs::read(&path).unwrap();
    let has = |text: &[u8; 7]| file.windows(7).any(|bytes| bytes == text);
    assert!(has(b"nothing") && !has(b"earlier") && !has(b"further"));
}
