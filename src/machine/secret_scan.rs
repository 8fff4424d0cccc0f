//! Looks for credentials in files: plain ones, those packed with gzip or zstd, and databases.
//!
//! A database is looked through as the bytes that its file has: also what was deleted and not yet
//! overwritten, which a backup would hold, too. A value that the end of a page cuts in two is missed.
//! What is packed is unpacked on the way, up to a bound.

use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::agent_sources::FoundAgent;
use crate::agents::secrets::{Finding, ScanOptions, scan};
use crate::engine::backup::AgentSources;
use crate::error::{Error, IoContext as _, Result};
use crate::event::Counters;
use crate::files::{Entry, ExcludeOptions, Excludes, Step, Walk, sqlite};
use crate::format::tree::{Category, NodeKind};

/// What is unpacked from one file is at most so long, in bytes.
const LONGEST_UNPACKED: u64 = 16 << 30;
const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A file that something was found in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundSecret {
    /// The file.
    pub path: PathBuf,
    /// The agent that keeps it, and what it is to that agent.
    pub agent: Option<(String, Category)>,
    /// Whether it is a database, which has no lines.
    pub is_database: bool,
    /// Where in it, and of which kind.
    pub finding: Finding,
}

/// What was looked through.
#[derive(Debug, Default)]
pub struct SecretScan {
    /// Files.
    pub files: u64,
    /// Their bytes, unpacked.
    pub bytes: u64,
    /// Findings.
    pub findings: u64,
    /// Files with findings.
    pub files_with_findings: u64,
    /// Files of agents that hold nothing but credentials, and were not looked into.
    pub secret_files: u64,
    /// What could not be read.
    pub failed: Vec<(PathBuf, Error)>,
}

/// A scan of several places.
pub struct SecretScanner<'a> {
    /// Told of each finding.
    pub found: &'a mut dyn FnMut(&FoundSecret) -> Result<()>,
    /// Sums, and the stop switch.
    pub counters: &'a Counters,
    /// What was looked through so far.
    pub sums: SecretScan,
}

impl SecretScanner<'_> {
    /// Looks through what lies at a path, links below it not followed.
    pub fn path(&mut self, path: &Path) -> Result<()> {
        let place = std::fs::canonicalize(path).at("cannot look at", path)?;
        let excludes = Arc::new(Excludes::new(&ExcludeOptions::default())?);
        for step in Walk::start(&place, excludes, 1) {
            match step {
                Step::Entry(entry) => self.entry(&entry, None)?,
                Step::Failed { path, error } => self.sums.failed.push((path, error)),
                Step::Enter(_) | Step::Leave | Step::Excluded { .. } => {}
            }
        }
        Ok(())
    }

    /// Looks through what an agent keeps, as far as backups hold it.
    pub fn agent(&mut self, found: &FoundAgent, sources: &AgentSources) -> Result<()> {
        for source in sources.roots.iter().filter(|it| it.agent == found.agent.id) {
            for step in Walk::start(&source.place, Arc::clone(&source.excludes), 1) {
                match step {
                    Step::Entry(entry) => {
                        let below = entry.path.strip_prefix(&source.place).unwrap_or(Path::new(""));
                        let class = source.rules.class(below.as_os_str().as_bytes());
                        if class.category == Category::Secrets {
                            self.sums.secret_files = self.sums.secret_files.saturating_add(1);
                            continue;
                        }
                        self.entry(&entry, Some((&found.agent.id, class.category)))?;
                    }
                    Step::Failed { path, error } => self.sums.failed.push((path, error)),
                    Step::Enter(_) | Step::Leave | Step::Excluded { .. } => {}
                }
            }
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry, agent: Option<(&str, Category)>) -> Result<()> {
        self.counters.go_on()?;
        if entry.stat.kind != NodeKind::File {
            return Ok(());
        }
        let file = match entry.open() {
            Ok((file, _)) => file,
            Err(error) => {
                self.sums.failed.push((entry.path.clone(), error));
                return Ok(());
            }
        };
        self.sums.files = self.sums.files.saturating_add(1);
        let mut told = FoundSecret {
            path: entry.path.clone(),
            agent: agent.map(|(id, category)| (id.to_owned(), category)),
            is_database: false,
            finding: Finding { line: 0, column: 0, offset: 0, kind: UNKNOWN },
        };
        let (mut failure, mut count) = (None, 0_u64);
        let result = self.stream(file, entry, &mut told, &mut count, &mut failure);
        if let Some(error) = failure {
            return Err(error);
        }
        self.sums.findings = self.sums.findings.saturating_add(count);
        self.sums.files_with_findings =
            self.sums.files_with_findings.saturating_add(u64::from(count > 0));
        match result {
            Ok(bytes) => self.sums.bytes = self.sums.bytes.saturating_add(bytes),
            Err(error) => self.sums.failed.push((entry.path.clone(), error)),
        }
        Ok(())
    }

    fn stream(
        &mut self,
        mut file: File,
        entry: &Entry,
        told: &mut FoundSecret,
        count: &mut u64,
        failure: &mut Option<Error>,
    ) -> Result<u64> {
        let mut head = Vec::with_capacity(16);
        (&mut file).take(16).read_to_end(&mut head).at("cannot read", &entry.path)?;
        told.is_database = sqlite::is_database(&head);
        let (mut unpacked, is_packed) = unpack(head, file, &entry.path)?;
        let found = &mut *self.found;
        let options = ScanOptions::for_file(entry.name());
        let sums = scan(&mut unpacked, options, &mut |finding| {
            told.finding = finding;
            *count = count.saturating_add(1);
            if failure.is_none() {
                *failure = found(told).err();
            }
        })?;
        if is_packed && sums.bytes >= LONGEST_UNPACKED {
            return Err(Error::failed("is longer unpacked than is looked through:")
                .object(entry.path.display().to_string()));
        }
        Ok(sums.bytes)
    }
}

const UNKNOWN: crate::agents::secrets::SecretKind =
    crate::agents::secrets::SecretKind { id: "", name: "" };

/// Returns a file's bytes from its beginning on, unpacked if it is packed, and whether it is.
fn unpack(head: Vec<u8>, file: File, path: &Path) -> Result<(Box<dyn Read>, bool)> {
    let (is_gzip, is_zstd) = (head.starts_with(&GZIP), head.starts_with(&ZSTD));
    let whole = std::io::Cursor::new(head).chain(file);
    Ok(if is_gzip {
        let unpacked = flate2::read::MultiGzDecoder::new(std::io::BufReader::new(whole));
        (Box::new(unpacked.take(LONGEST_UNPACKED)), true)
    } else if is_zstd {
        let unpacked = zstd::stream::read::Decoder::new(whole).at("cannot unpack", path)?;
        (Box::new(unpacked.take(LONGEST_UNPACKED)), true)
    } else {
        (Box::new(whole), false)
    })
}
