//! One command, measured from outside: wall time, processor time, peak memory.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What a run of a command took.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// Seconds on the wall.
    pub wall: f64,
    /// Seconds of processor time, of the process itself.
    pub processor: f64,
    /// Peak memory in MiB, of the process itself.
    pub memory: f64,
}

/// Runs a shell command in `folder`; a failure ends the benchmark.
pub fn run(folder: &std::path::Path, command: &str) -> Measured {
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
    let (mut memory, mut processor) = (0.0_f64, 0.0_f64);
    let status = loop {
        if let Some(status) = child.try_wait().expect("the child can be waited for") {
            break status;
        }
        if let Ok(text) = std::fs::read_to_string(format!("{proc}/status")) {
            let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = peak.and_then(|peak| peak.trim().split(' ').next()?.parse::<f64>().ok());
            memory = memory.max(kib.unwrap_or(0.0) / 1024.0);
        }
        if let Ok(text) = std::fs::read_to_string(format!("{proc}/stat")) {
            // Behind the name in parentheses: fields 14 and 15, in ticks of a hundredth.
            let fields: Vec<&str> = text.rsplit(')').next().unwrap_or("").split(' ').collect();
            let ticks = |place: usize| fields.get(place).and_then(|it| it.parse::<f64>().ok());
            if let (Some(user), Some(system)) = (ticks(12), ticks(13)) {
                processor = processor.max((user + system) / 100.0);
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    assert!(status.success(), "failed: {command}");
    Measured { wall: started.elapsed().as_secs_f64(), processor, memory }
}

/// Returns the run with the median wall time.
pub fn median(mut runs: Vec<Measured>) -> Measured {
    runs.sort_by(|a, b| a.wall.total_cmp(&b.wall));
    runs[runs.len() / 2]
}

/// Returns the bytes of a file, or of all files below a folder.
pub fn folder_bytes(folder: &std::path::Path) -> u64 {
    if folder.is_file() {
        return std::fs::metadata(folder).map_or(0, |metadata| metadata.len());
    }
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries
        .filter_map(Result::ok)
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => folder_bytes(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
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
