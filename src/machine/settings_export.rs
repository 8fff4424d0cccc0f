//! Gathers the settings of agents for an archive: what is set up by hand, without credentials.
//!
//! Taken are the categories of `profile`. Files that hold credentials beside other things are cleaned
//! or left out; databases, links that lead elsewhere, what means something on this machine only and
//! what is too long are left out. All of that is named. What is left is looked through once more for
//! credentials. At most [`LONGEST_ALL`] bytes are held in memory.

use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use super::agent_sources::FoundAgent;
use super::secret_scan::FoundSecret;
use super::settings_archive::{
    LONGEST_ALL, LONGEST_FILE, SettingsContent, SettingsFile, SettingsRemark, is_credential_file,
    stays_inside,
};
use crate::agents::Classified;
use crate::agents::secrets::{Cleaned, ScanOptions, clean, scan};
use crate::engine::backup::{AgentSource, AgentSources};
use crate::error::{Error, IoContext as _, Result};
use crate::event::Counters;
use crate::files::{Entry, Owners, Step, Walk, sqlite};
use crate::format::tree::{Category, NodeKind};

/// What belongs to `profile`.
pub(super) const PROFILE: [Category; 4] =
    [Category::Config, Category::Settings, Category::Skills, Category::Memory];
/// What belongs to a database.
const SIDE_FILES: [&[u8]; 3] = [b"-wal", b"-shm", b"-journal"];

/// What was gathered.
#[derive(Debug, Default)]
pub struct SettingsExport {
    /// The files, in the order of their names.
    pub files: Vec<SettingsFile>,
    /// What was taken out of files.
    pub taken_out: Vec<SettingsRemark>,
    /// Files that are left out, and why.
    pub left_out: Vec<SettingsRemark>,
    /// What still looks like a credential, with the file's number in `files`.
    pub findings: Vec<(usize, FoundSecret)>,
    bytes: u64,
}

impl SettingsExport {
    /// Gathers an agent's settings.
    pub fn gather(
        &mut self,
        found: &FoundAgent,
        sources: &AgentSources,
        counters: &Counters,
    ) -> Result<()> {
        for source in sources.roots.iter().filter(|it| it.agent == found.agent.id) {
            for step in Walk::start(&source.place, Arc::clone(&source.excludes), 1) {
                counters.go_on()?;
                match step {
                    Step::Entry(entry) => self.entry(found, source, &entry)?,
                    Step::Failed { error, .. } => return Err(error),
                    Step::Enter(_) | Step::Leave | Step::Excluded { .. } => {}
                }
            }
        }
        Ok(())
    }

    /// Leaves out the files in which something was found.
    pub fn drop_findings(&mut self) {
        let mut places: Vec<usize> = self.findings.drain(..).map(|(place, _)| place).collect();
        places.sort_unstable();
        places.dedup();
        for place in places.into_iter().rev() {
            let file = self.files.remove(place);
            self.leave_out(&file, "something in it looks like a credential");
        }
    }

    fn entry(&mut self, found: &FoundAgent, source: &AgentSource, entry: &Entry) -> Result<()> {
        let below = entry.path.strip_prefix(&source.place).unwrap_or(Path::new(""));
        let below = below.as_os_str().as_bytes();
        let Some(class) = found.agent.classify(&source.label, below) else { return Ok(()) };
        if !PROFILE.contains(&class.category) || is_side_file(below) {
            return Ok(());
        }
        let mut file = SettingsFile {
            agent: source.agent.clone(),
            label: source.label.clone(),
            below: below.to_vec(),
            content: SettingsContent::Bytes(Vec::new()),
            mode: entry.stat.mode & 0o777,
            mtime: u64::try_from(entry.stat.mtime.0).unwrap_or(0),
        };
        match self.content(&class, entry, &mut file)? {
            Ok(content) => file.content = content,
            Err(why) => {
                self.leave_out(&file, why);
                return Ok(());
            }
        }
        self.look_through(&file, entry, class.category)?;
        self.files.push(file);
        Ok(())
    }

    /// Returns what goes into the archive, or why nothing does.
    fn content(
        &mut self,
        class: &Classified<'_>,
        entry: &Entry,
        file: &mut SettingsFile,
    ) -> Result<Result<SettingsContent, &'static str>> {
        if class.run_time || class.rule.is_some_and(|rule| rule.same_machine) {
            return Ok(Err("it means something on this machine only"));
        }
        if is_credential_file(entry.path.as_os_str().as_bytes()) {
            return Ok(Err("it is a file for credentials"));
        }
        match entry.stat.kind {
            NodeKind::File => {}
            NodeKind::Symlink => {
                let target = entry.read_node(&Owners::parse(b"", b""))?.target.to_vec();
                return Ok(if stays_inside(&file.below, &target) {
                    Ok(SettingsContent::Link(target))
                } else {
                    Err("it is a link that leads elsewhere")
                });
            }
            _ => return Ok(Err("it is neither file nor link")),
        }
        if entry.stat.size > LONGEST_FILE {
            return Ok(Err("it is longer than 16 MiB"));
        }
        let (opened, _) = entry.open()?;
        let mut bytes = Vec::new();
        opened.take(LONGEST_FILE).read_to_end(&mut bytes).at("cannot read", &entry.path)?;
        if sqlite::is_database(&bytes) {
            return Ok(Err("it is a database"));
        }
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        if self.bytes > LONGEST_ALL {
            return Err(Error::failed("the settings are longer than an archive takes (256 MiB)")
                .hint("choose agents with `--agent`; `stash backup` saves everything"));
        }
        if !class.mixed_secrets {
            return Ok(Ok(SettingsContent::Bytes(bytes)));
        }
        Ok(match clean(entry.name(), &bytes)? {
            Cleaned::AsItIs => Ok(SettingsContent::Bytes(bytes)),
            Cleaned::Without(rest, removed) => {
                let name = String::from_utf8_lossy(&file.name()).into_owned();
                let what = removed.join(", ");
                self.taken_out.push(SettingsRemark { file: name, what });
                Ok(SettingsContent::Bytes(rest))
            }
            Cleaned::Impossible => Err("it holds credentials that can't be taken out of it"),
        })
    }

    fn look_through(
        &mut self,
        file: &SettingsFile,
        entry: &Entry,
        category: Category,
    ) -> Result<()> {
        let SettingsContent::Bytes(bytes) = &file.content else { return Ok(()) };
        let place = self.files.len();
        let findings = &mut self.findings;
        scan(&mut bytes.as_slice(), ScanOptions::for_file(entry.name()), &mut |finding| {
            let found = FoundSecret {
                path: entry.path.clone(),
                agent: Some((file.agent.clone(), category)),
                is_database: false,
                finding,
            };
            findings.push((place, found));
        })?;
        Ok(())
    }

    fn leave_out(&mut self, file: &SettingsFile, why: &str) {
        let name = String::from_utf8_lossy(&file.name()).into_owned();
        self.left_out.push(SettingsRemark { file: name, what: why.to_owned() });
    }
}

fn is_side_file(below: &[u8]) -> bool {
    SIDE_FILES.iter().any(|end| below.ends_with(end))
}
