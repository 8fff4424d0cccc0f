//! `stash dump`.

use std::io::{BufWriter, IsTerminal as _, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::ls::code;
use super::open::Run;
use crate::cli::args::DumpArguments;
use crate::cli::name;
use crate::engine::browse::{Found, find};
use crate::engine::inspect::dump::{TarItem, archive, file};
use crate::error::{Error, IoContext as _, Result};
use crate::format::tree::NodeKind;
use crate::machine::absolute_path;
use crate::repository::reader::BlobReader;

pub(super) fn run(run: &Run, arguments: &DumpArguments) -> Result<u8> {
    run.stop_on_signals()?;
    if let Some(target) = arguments.target.as_deref().filter(|target| target.exists()) {
        return Err(Error::usage("the target exists already:")
            .object(name::shown(target.as_os_str().as_bytes()))
            .hint("name a file that does not"));
    }
    let repository = run.current_repository()?;
    let snapshot = &arguments.snapshot;
    let entry =
        run.pick(&repository, &snapshot.name, arguments.at.as_deref(), &arguments.filter)?;
    let path = snapshot.path.as_deref().or(arguments.path.as_deref().map(OsStrExt::as_bytes));
    let place = path.map(|path| run.place(path)).transpose()?.unwrap_or_default();
    let mut reader = BlobReader::new(&repository)?;
    let found = find(&mut reader, &entry.snapshot, &place)?;
    if let Some(target) = &arguments.target {
        return to_file(run, &mut reader, found, &place, target);
    }
    let is_terminal = std::io::stdout().is_terminal();
    write(run, &mut reader, found, &place, &mut Stdout(run), is_terminal)
}

/// Standard output, by way of the screen, which knows when its reader has gone.
struct Stdout<'a>(&'a Run);

impl Write for Stdout<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self.0.screen.bytes(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(error) if error.is_io(std::io::ErrorKind::BrokenPipe) => {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            Err(error) => Err(std::io::Error::other(error)),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Writes what was found: one file's bytes, or an archive.
fn write(
    run: &Run,
    reader: &mut BlobReader<'_>,
    found: Vec<Found>,
    place: &[u8],
    out: &mut dyn Write,
    is_terminal: bool,
) -> Result<u8> {
    if let [only] = found.as_slice()
        && only.node.kind == NodeKind::File
    {
        file(reader, &only.node, out, &run.counters)?;
        return Ok(0);
    }
    if is_terminal {
        return Err(Error::usage("a tar archive is nothing for a terminal")
            .hint("`--target FILE` writes it into a file, `| tar -x` unpacks it"));
    }
    let items = items(found, place);
    let missing = archive(reader, items, out, &run.counters, &*run.screen)?;
    // What an archive can't hold is no damage, yet something is missing.
    Ok(if missing > 0 { code(missing).min(3) } else { 0 })
}

/// Names items as a restore does: the content of the place that was asked for goes to the top, and
/// each root comes under its own last name, or under its whole path if two share one.
fn items(found: Vec<Found>, place: &[u8]) -> Vec<TarItem> {
    if let [only] = found.as_slice()
        && !place.is_empty()
        && only.path == place
    {
        let is_directory = only.node.kind == NodeKind::Directory;
        let name = if is_directory { Vec::new() } else { only.node.name.0.clone() };
        return found.into_iter().map(|found| TarItem { found, name: name.clone() }).collect();
    }
    let names: Vec<Vec<u8>> = found.iter().map(|item| item.node.name.0.clone()).collect();
    let is_shared = |name: &[u8]| names.iter().filter(|other| *other == name).count() > 1;
    let named = |found: Found| {
        let name = if is_shared(&found.node.name) {
            found.path.strip_prefix(b"/").unwrap_or(&found.path).to_vec()
        } else {
            found.node.name.0.clone()
        };
        TarItem { found, name }
    };
    found.into_iter().map(named).collect()
}

/// Writes beside the target and gives it its name when it is whole.
fn to_file(
    run: &Run,
    reader: &mut BlobReader<'_>,
    found: Vec<Found>,
    place: &[u8],
    target: &Path,
) -> Result<u8> {
    const DOING: &str = "cannot write";
    let target = absolute_path(target)?;
    let folder = target.parent().unwrap_or(Path::new("/"));
    let temporary =
        tempfile::Builder::new().prefix(".stash-dump-").tempfile_in(folder).at(DOING, &target)?;
    let mut out = BufWriter::with_capacity(1 << 20, temporary);
    let code = write(run, reader, found, place, &mut out, false)?;
    let temporary =
        out.into_inner().map_err(std::io::IntoInnerError::into_error).at(DOING, &target)?;
    temporary.as_file().sync_all().at(DOING, &target)?;
    temporary.persist_noclobber(&target).map_err(|error| error.error).at(DOING, &target)?;
    Ok(code)
}
