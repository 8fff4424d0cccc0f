//! One command, measured from outside: wall time, processor time, peak memory, bytes read; and a
//! folder, before and after.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// What a run of a command took.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// Seconds on the wall.
    pub wall: f64,
    /// Seconds of processor time, of the process itself.
    pub processor: f64,
    /// Peak memory in MiB, of the process itself.
    pub memory: f64,
    /// Bytes that it read by any call but `mmap`, its programs and libraries included.
    pub read_bytes: f64,
}

/// Runs a shell command in `folder`; a failure ends the benchmark.
pub fn run(folder: &Path, command: &str) -> Measured {
    let started = Instant::now();
    // `exec` makes the shell the command itself wherever it is a single one.
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(command)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sh starts");
    let proc = format!("/proc/{}", child.id());
    let pid = Pid::from_child(&child);
    // What has ended keeps its sums until it is waited for.
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let mut memory = 0.0_f64;
    while waitid(WaitId::Pid(pid), look).expect("the child can be waited for").is_none() {
        if let Ok(text) = std::fs::read_to_string(format!("{proc}/status")) {
            memory = memory.max(field(&text, "VmHWM:") / 1024.0);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let wall = started.elapsed().as_secs_f64();
    let read = |name: &str| std::fs::read_to_string(format!("{proc}/{name}")).unwrap_or_default();
    let (stat, io) = (read("stat"), read("io"));
    // Behind the name in parentheses: fields 14 and 15, in ticks of a hundredth.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split(' ').collect();
    let ticks = |place: usize| fields.get(place).and_then(|it| it.parse::<f64>().ok());
    let processor = (ticks(12).unwrap_or(0.0) + ticks(13).unwrap_or(0.0)) / 100.0;
    let status = child.wait().expect("the child can be waited for");
    assert!(status.success(), "failed: {command}");
    Measured { wall, processor, memory, read_bytes: field(&io, "rchar:") }
}

/// Returns the number behind a name at the beginning of a line.
fn field(text: &str, name: &str) -> f64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    value.and_then(|value| value.trim().split(' ').next()?.parse().ok()).unwrap_or(0.0)
}

/// Returns the run with the median wall time.
pub fn median(mut runs: Vec<Measured>) -> Measured {
    runs.sort_by(|a, b| a.wall.total_cmp(&b.wall));
    runs[runs.len() / 2]
}

/// Returns the middle one of some numbers.
pub fn middle(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// The files below a folder: size and time of each.
pub type Inventory = BTreeMap<PathBuf, (u64, SystemTime)>;

/// Lists the files below a folder.
pub fn inventory(folder: &Path) -> Inventory {
    let mut found = Inventory::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).into_iter().flatten().filter_map(Result::ok) {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => open.push(entry.path()),
                Ok(metadata) => {
                    let time = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                    found.insert(entry.path(), (metadata.len(), time));
                }
                Err(_) => {}
            }
        }
    }
    found
}

/// Returns how many files were written between two lists, and by how many bytes they are longer.
pub fn written(before: &Inventory, after: &Inventory) -> (u64, u64) {
    let changed = after.iter().filter(|(path, file)| before.get(*path) != Some(*file));
    let bytes = changed.clone().map(|(path, (size, _))| {
        size.saturating_sub(before.get(path).map_or(0, |(size, _)| *size))
    });
    (changed.count() as u64, bytes.sum())
}

/// Returns the bytes of a file, or of all files below a folder.
pub fn folder_bytes(folder: &Path) -> u64 {
    if folder.is_file() {
        return std::fs::metadata(folder).map_or(0, |metadata| metadata.len());
    }
    inventory(folder).values().map(|(size, _)| size).sum()
}

/// Returns whether a program is on the path.
pub fn is_installed(program: &str) -> bool {
    Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
