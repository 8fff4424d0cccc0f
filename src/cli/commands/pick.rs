//! Which snapshots the words on the command line mean.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::open::Run;
use crate::cli::args::{FilterOptions, SnapshotArgument, SnapshotName};
use crate::error::{Error, Result};
use crate::format::record::{Root, RootKind};
use crate::machine::{self, Bare};
use crate::repository::Repository;
use crate::repository::cache::SnapshotEntry;
use crate::repository::snapshots::{SnapshotFilter, SnapshotWish};
use crate::time::Clock as _;

fn holds(entry: &SnapshotEntry, agent: &str) -> bool {
    let is_its = |root: &Root| root.kind == RootKind::Agent as u64 && root.agent == agent;
    entry.snapshot.roots.iter().any(is_its)
}

impl Run {
    /// Returns what the options of a filter say.
    pub fn filter(&self, options: &FilterOptions) -> Result<SnapshotFilter> {
        let groups = options.tags.iter().map(|group| {
            group.split(',').filter(|tag| !tag.is_empty()).map(str::to_owned).collect()
        });
        let paths = options.paths.iter().map(|path| {
            machine::absolute_path(Path::new(path)).map(|path| path.as_os_str().as_bytes().to_vec())
        });
        Ok(SnapshotFilter {
            hosts: options.hosts.clone(),
            tags: groups.collect(),
            paths: paths.collect::<Result<_>>()?,
            job: None,
        })
    }

    /// Returns a path in a snapshot as it was saved: what is not absolute lies below the current
    /// folder.
    pub fn place(&self, path: &[u8]) -> Result<Vec<u8>> {
        let path = machine::absolute_path(Path::new(OsStr::from_bytes(path)))?;
        Ok(path.as_os_str().as_bytes().to_vec())
    }

    /// Finds the snapshot that is meant. `latest` is this machine's unless a host is named.
    pub fn pick(
        &self,
        repository: &Repository,
        name: &SnapshotName,
        at: Option<&str>,
        options: &FilterOptions,
    ) -> Result<SnapshotEntry> {
        let mut filter = self.filter(options)?;
        let wish = match name {
            SnapshotName::Id(prefix) => SnapshotWish::Prefix(prefix.clone()),
            SnapshotName::Latest(back) => {
                let back = usize::try_from(*back).unwrap_or(usize::MAX);
                match at {
                    Some(at) => SnapshotWish::At(self.moment(at, Bare::End)?, back),
                    None => SnapshotWish::Latest(back),
                }
            }
        };
        let any_host = filter.hosts.is_empty();
        if any_host {
            filter.hosts.push(self.identity.host.clone());
        }
        repository.find_snapshot(&wish, &filter, self.clock.now()).map_err(|error| {
            if any_host && matches!(name, SnapshotName::Latest(_)) {
                self.name_other_hosts(repository, &filter, error)
            } else {
                error
            }
        })
    }

    /// Adds to an error which other machines have snapshots, if this one has none.
    fn name_other_hosts(
        &self,
        repository: &Repository,
        filter: &SnapshotFilter,
        error: Error,
    ) -> Error {
        if repository.snapshots(filter).is_ok_and(|entries| !entries.is_empty()) {
            return error;
        }
        let all = SnapshotFilter { hosts: Vec::new(), ..filter.clone() };
        let mut hosts: Vec<String> = repository
            .snapshots(&all)
            .unwrap_or_default()
            .into_iter()
            .map(|entry| entry.snapshot.host)
            .collect();
        hosts.sort_unstable();
        hosts.dedup();
        let Some(first) = hosts.first() else { return error };
        let named = hosts.iter().take(5).map(|host| format!("`{host}`")).collect::<Vec<_>>();
        Error::failed(format!("no snapshot of this machine, `{}`", self.identity.host))
            .hint(format!("there are some of {}: add `--host {first}`", named.join(", ")))
    }

    /// Returns the id of an agent. One that is not known here may be in snapshots all the same.
    pub(super) fn agent_id(&self, name: &str) -> Result<String> {
        let catalog = machine::agent_catalog(&self.places)?;
        Ok(catalog.find(name).map_or_else(|_| name.to_owned(), |agent| agent.id.clone()))
    }

    /// Keeps the snapshots that hold one of these agents; all, if none is named. A name that none
    /// holds and that is not known is an error that names the nearest.
    pub(super) fn keep_agents(
        &self,
        entries: &mut Vec<SnapshotEntry>,
        names: &[String],
    ) -> Result<()> {
        for name in names {
            let id = self.agent_id(name)?;
            if !entries.iter().any(|entry| holds(entry, &id)) {
                machine::agent_catalog(&self.places)?.find(name)?;
            }
        }
        let ids = names.iter().map(|name| self.agent_id(name)).collect::<Result<Vec<_>>>()?;
        entries.retain(|entry| ids.is_empty() || ids.iter().any(|id| holds(entry, id)));
        Ok(())
    }

    /// Finds every snapshot that is named; without names all that match, oldest first.
    pub fn pick_all(
        &self,
        repository: &Repository,
        names: &[SnapshotArgument],
        options: &FilterOptions,
    ) -> Result<Vec<SnapshotEntry>> {
        if names.is_empty() {
            return repository.snapshots(&self.filter(options)?);
        }
        let mut entries = Vec::new();
        for argument in names {
            if argument.path.is_some() {
                return Err(Error::usage("a whole snapshot is meant here, not")
                    .object(argument.to_string())
                    .hint("leave out the colon and what follows"));
            }
            let entry = self.pick(repository, &argument.name, None, options)?;
            if !entries.contains(&entry) {
                entries.push(entry);
            }
        }
        Ok(entries)
    }
}
