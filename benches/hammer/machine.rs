//! A home, the program in it, and what is done to its processes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

const PASSPHRASE: &str = "correct horse battery";

/// How the repository is reached.
#[derive(Clone)]
pub struct Reach {
    pub location: String,
    key: String,
    secret: String,
    region: String,
}

impl Reach {
    pub fn new(endpoint: &str, key: &str, secret: &str, region: &str, seed: u64) -> Reach {
        Reach {
            location: format!("minio:{endpoint}/hammer{}-{seed}/all", std::process::id()),
            key: key.to_owned(),
            secret: secret.to_owned(),
            region: region.to_owned(),
        }
    }

    /// Reads `ENDPOINT KEY SECRET REGION`.
    pub fn outside(text: &str, seed: u64) -> Reach {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [endpoint, key, secret, region] = words[..] else {
            panic!("STASH_TEST_S3 is not `ENDPOINT KEY SECRET REGION`");
        };
        Reach::new(endpoint, key, secret, region, seed)
    }
}

/// What is done to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    /// It is killed after so long.
    Kill(Duration),
    /// It is stopped after so long, and goes on after so long again.
    Stop(Duration, Duration),
}

/// What became of a process.
pub struct Outcome {
    /// Its exit code; none if it was killed.
    pub code: Option<i32>,
    /// Whether it was stopped for a while.
    pub stopped: bool,
    pub took: Duration,
    pub out: String,
    pub err: String,
}

impl Outcome {
    /// Returns the last line of its output, as JSON.
    pub fn json(&self) -> serde_json::Value {
        let last = self.out.trim().lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_default()
    }
}

/// A home.
pub struct Machine {
    pub home: PathBuf,
    name: String,
    reach: Reach,
}

impl Machine {
    pub fn new(folder: &Path, name: &str, reach: &Reach) -> Machine {
        let home = folder.join(name);
        std::fs::create_dir_all(&home).unwrap();
        Machine { home, name: name.to_owned(), reach: reach.clone() }
    }

    /// Gives it a key of its own, so that opening is quick.
    pub fn join(&self) {
        let joined = self.run_as(&["key", "add", "--device"], None, true);
        assert_eq!(joined.code, Some(0), "{}", joined.err);
    }

    /// Runs the program as a machine that has no key: by the passphrase.
    pub fn run(&self, words: &[&str], blow: Option<Blow>) -> Outcome {
        self.run_as(words, blow, true)
    }

    /// Runs it with the machine's own key.
    pub fn run_own(&self, words: &[&str], blow: Option<Blow>) -> Outcome {
        self.run_as(words, blow, false)
    }

    fn run_as(&self, words: &[&str], blow: Option<Blow>, by_passphrase: bool) -> Outcome {
        let begun = Instant::now();
        let (out, err) = (self.home.join(".out"), self.home.join(".err"));
        let own = || env!("CARGO_BIN_EXE_stash").into();
        let mut command = Command::new(std::env::var_os("STASH_HAMMER_STASH").unwrap_or_else(own));
        command
            .env_clear()
            .env("HOME", &self.home)
            .env("PATH", "/usr/bin:/bin")
            .env("TZ", "UTC")
            .env("STASH_HOST", &self.name)
            .env("STASH_REPOSITORY", &self.reach.location)
            .env("AWS_ACCESS_KEY_ID", &self.reach.key)
            .env("AWS_SECRET_ACCESS_KEY", &self.reach.secret)
            .env("AWS_REGION", &self.reach.region)
            .current_dir(&self.home)
            .args(words)
            .stdin(Stdio::null())
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&err).unwrap());
        if by_passphrase {
            command.env("STASH_PASSPHRASE", PASSPHRASE);
        }
        let mut child = command.spawn().expect("the program starts");
        let pid = Pid::from_child(&child);
        let (mut blow, mut stopped) = (blow, false);
        // What was not waited for keeps its number: a signal never reaches another process.
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            match blow {
                Some(Blow::Kill(after)) if begun.elapsed() >= after => {
                    kill_process(pid, Signal::KILL).unwrap();
                    blow = None;
                }
                Some(Blow::Stop(after, length)) if begun.elapsed() >= after => {
                    kill_process(pid, Signal::STOP).unwrap();
                    std::thread::sleep(length);
                    kill_process(pid, Signal::CONT).unwrap();
                    (blow, stopped) = (None, true);
                }
                _ => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        let read = |path: &Path| {
            String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
        };
        Outcome {
            code: status.code(),
            stopped,
            took: begun.elapsed(),
            out: read(&out),
            err: read(&err),
        }
    }
}

/// Decides what is done to the next process of a kind, by how long such a one takes.
pub struct Fate {
    usual: std::collections::HashMap<&'static str, f64>,
    kill_percent: u32,
    stop_percent: u32,
    long_stops: bool,
}

impl Fate {
    pub fn new(kill_percent: u32, stop_percent: u32, long_stops: bool) -> Fate {
        Fate { usual: Default::default(), kill_percent, stop_percent, long_stops }
    }

    pub fn draw(&self, random: &mut fastrand::Rng, kind: &'static str) -> Option<Blow> {
        let usual = self.usual.get(kind).copied().unwrap_or(0.1);
        let after = Duration::from_secs_f64(usual * random.f64());
        match random.u32(..100) {
            dice if dice < self.kill_percent => Some(Blow::Kill(after)),
            dice if dice < self.kill_percent + self.stop_percent => {
                let seconds = match random.u32(..10) {
                    0 if self.long_stops => random.f64() * 40.0 + 100.0,
                    0..=2 => random.f64() * 25.0 + 10.0,
                    _ => random.f64() * 5.0 + 5.5,
                };
                Some(Blow::Stop(after, Duration::from_secs_f64(seconds)))
            }
            _ => None,
        }
    }

    /// Learns from a run to which nothing was done.
    pub fn learn(&mut self, kind: &'static str, outcome: &Outcome) {
        if outcome.code.is_some() && !outcome.stopped {
            let took = outcome.took.as_secs_f64();
            let usual = self.usual.entry(kind).or_insert(took);
            *usual = *usual * 0.8 + took * 0.2;
        }
    }
}
