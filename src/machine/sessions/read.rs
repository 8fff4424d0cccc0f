//! A session's turns, from this disk or from a snapshot.

use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::disk::DiskFiles;
use super::list::SessionRow;
use super::snapshot::SnapshotFiles;
use super::versions::last_holding;
use crate::agents::session::{
    RootFiles, Session, Sink, Source, Turn, Wanted, Which, read_database, read_file,
};
use crate::agents::{Catalog, SessionShape};
use crate::engine::inspect::dump::FileReader;
use crate::error::{Error, Result};
use crate::format::record::{Root, RootKind};
use crate::format::tree::NodeKind;
use crate::id::SnapshotId;
use crate::repository::Repository;

/// What is needed to read sessions.
pub struct SessionReader<'a> {
    /// Tells how files are laid out.
    pub catalog: &'a Catalog,
    /// Where saved sessions lie; `None` if there is no repository yet.
    pub repository: Option<&'a Repository>,
    /// Where databases of snapshots are unpacked for a moment.
    pub temporary_folder: &'a Path,
}

/// Lets the turns of one session through.
struct Only<'s> {
    id: &'s str,
    is_inside: bool,
    sink: &'s mut dyn Sink,
}

impl Sink for Only<'_> {
    fn begin(&mut self, id: &str) -> ControlFlow<()> {
        self.is_inside = id == self.id;
        if self.is_inside { self.sink.begin(id) } else { ControlFlow::Continue(()) }
    }

    fn turn(&mut self, turn: Turn) -> ControlFlow<()> {
        if self.is_inside { self.sink.turn(turn) } else { ControlFlow::Continue(()) }
    }

    fn end(&mut self, session: Session) -> ControlFlow<()> {
        let is_it = self.is_inside || session.id == self.id;
        self.is_inside = false;
        if is_it {
            // Nothing that follows is of it.
            return match self.sink.end(session) {
                ControlFlow::Continue(()) | ControlFlow::Break(()) => ControlFlow::Break(()),
            };
        }
        ControlFlow::Continue(())
    }
}

impl SessionReader<'_> {
    /// Reads a session from where it lies now: from this disk if it is there, else from the newest
    /// snapshot that has it.
    pub fn read(&self, row: &SessionRow, sink: &mut dyn Sink) -> Result<()> {
        match (&row.local, row.snapshot) {
            (Some(file), _) => {
                let files = DiskFiles::new(&file.place);
                let source = file.source(&files);
                let mut only = Only { id: &row.id, is_inside: false, sink };
                if file.shape.is_database() {
                    return match files.database(&file.relative)? {
                        Some(connection) => {
                            let which = Which::Ids(&[&row.id]);
                            read_database(&source, &connection, which, Wanted::Turns, &mut only)
                        }
                        None => Err(Error::failed("cannot read the database now:")
                            .object(files.path(&file.relative).display().to_string())
                            .hint("give `--at now` to read what was saved last")),
                    };
                }
                match files.open(&file.relative)? {
                    Some(mut input) => read_file(&source, &mut input, Wanted::Turns, &mut only),
                    None => Err(Error::failed("the session's file has just gone away:")
                        .object(files.path(&file.relative).display().to_string())),
                }
            }
            (None, Some(snapshot)) => {
                let snapshot = self.holding(row, snapshot)?;
                self.read_saved(row, snapshot, sink)
            }
            (None, None) => Err(Error::failed("neither here nor saved:").object(row.id.clone())),
        }
    }

    /// Returns the snapshot that has a session: the newest one, unless the session is gone from a file of
    /// many, which that snapshot has as it is without it.
    pub(super) fn holding(&self, row: &SessionRow, newest: SnapshotId) -> Result<SnapshotId> {
        let (Some(repository), Some(_)) = (self.repository, row.entry.gone) else {
            return Ok(newest);
        };
        if !self.shape(row)?.holds_many() {
            return Ok(newest);
        }
        last_holding(repository, row)?.ok_or_else(|| {
            Error::failed("every snapshot that held the session is forgotten:")
                .object(row.id.clone())
                .hint("`stash unforget` brings back what was forgotten in the last 60 hours")
        })
    }

    /// Reads a session as a snapshot has it.
    pub fn read_saved(
        &self,
        row: &SessionRow,
        snapshot: SnapshotId,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        let repository = self
            .repository
            .ok_or_else(|| Error::failed("no repository to read the session from"))?;
        let shape = self.shape(row)?;
        let root = root_of(repository, snapshot, row)?;
        let files = SnapshotFiles::new(repository, &root, self.temporary_folder);
        let mut reader = files.reader()?;
        let node = files.node(&mut reader, &row.relative)?;
        let Some(node) = node.filter(|node| node.kind == NodeKind::File) else {
            return Err(Error::failed("the snapshot does not hold the session's file:")
                .object(String::from_utf8_lossy(&row.relative).into_owned()));
        };
        let source = Source {
            shape,
            root: &row.place,
            relative: &row.relative,
            size: node.size,
            files: &files,
        };
        let mut only = Only { id: &row.id, is_inside: false, sink };
        if shape.is_database() {
            let Some(connection) = files.database(&row.relative)? else { return Ok(()) };
            let which = Which::Ids(&[&row.id]);
            return read_database(&source, &connection, which, Wanted::Turns, &mut only);
        }
        let mut input = FileReader::new(&mut reader, &node);
        read_file(&source, &mut input, Wanted::Turns, &mut only)
    }

    pub(super) fn shape(&self, row: &SessionRow) -> Result<SessionShape> {
        let agent = self.catalog.find(&row.agent)?;
        let files = agent.session_files();
        let store = files.find(&row.label, &row.relative);
        store.map(|store| store.shape).ok_or_else(|| {
            let path = Path::new(OsStr::from_bytes(&row.relative)).display().to_string();
            Error::failed(format!("nothing is known of how {} keeps", agent.name))
                .object(path)
                .hint("the agent's definition has changed since it was saved: `stash restore` still gives the file")
        })
    }
}

/// Returns the root that holds a session in a snapshot.
pub(super) fn root_of(
    repository: &Repository,
    snapshot: SnapshotId,
    row: &SessionRow,
) -> Result<Root> {
    let heads = repository.cached_heads()?;
    let head = heads.iter().find(|entry| entry.id == snapshot);
    let head = head.ok_or_else(|| Error::failed("no snapshot").object(snapshot.short()))?;
    let whole = repository.whole(head)?;
    let is_it = |root: &&Root| {
        root.kind == RootKind::Agent as u64 && root.agent == row.agent && root.label == row.label
    };
    let root = whole.snapshot.roots.iter().find(is_it).cloned();
    root.ok_or_else(|| {
        Error::failed("the snapshot holds nothing of the agent").object(row.agent.clone())
    })
}
