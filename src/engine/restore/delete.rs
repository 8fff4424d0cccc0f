//! `--delete`: what the snapshot does not hold goes.
//!
//! Both sides come in ascending order of names, so what is passed over on the disk is not in the
//! snapshot.

use super::run::{Existing, Run};
use crate::engine::browse::join;
use crate::error::Result;
use crate::event::Action;
use crate::files::{Stat, TargetDir};
use crate::format::tree::Node;

impl Run<'_, '_> {
    pub(super) fn list_for_delete(
        &self,
        directory: Option<&TargetDir>,
        is_new: bool,
    ) -> Result<Option<Existing>> {
        match directory {
            Some(directory) if self.options.delete && !is_new => Ok(Some(directory.list()?.into())),
            _ => Ok(None),
        }
    }

    /// Removes what is there and sorts before `name`: the snapshot has nothing of it.
    pub(super) fn delete_before(&mut self, name: &[u8]) -> Result<()> {
        loop {
            let Some(there) = self.frames.last_mut().and_then(|frame| frame.there.as_mut()) else {
                return Ok(());
            };
            match there.front() {
                Some((first, _)) if first.as_slice() < name => {
                    if let Some((first, stat)) = there.pop_front() {
                        self.delete(&first, &stat)?;
                    }
                }
                Some((first, _)) if first == name => {
                    there.pop_front();
                    return Ok(());
                }
                _ => return Ok(()),
            }
        }
    }

    pub(super) fn delete_rest(&mut self) -> Result<()> {
        // A directory that could not be read to its end says nothing of what is missing in it.
        let damaged = self.shared.report().damaged;
        let rest = self.frames.last_mut().and_then(|frame| frame.there.take());
        for (name, stat) in rest.into_iter().flatten() {
            if !damaged {
                self.delete(&name, &stat)?;
            }
        }
        Ok(())
    }

    fn delete(&mut self, name: &[u8], stat: &Stat) -> Result<()> {
        let parent = self.frames.last().map(|frame| (frame.path.clone(), frame.included));
        let Some((parent, included)) = parent else { return Ok(()) };
        let path = join(&parent, name);
        let node = Node { name: name.into(), kind: stat.kind, ..Node::default() };
        let filter = &self.options.filter;
        if filter.excludes(&path, &node) || !(included || filter.includes(&path, &node)) {
            return Ok(());
        }
        if !self.options.dry_run
            && let Some(directory) = self.current(false)?
            && let Err(error) = directory.remove_tree(name)
        {
            self.shared.item_failed(&path, error);
            return Ok(());
        }
        self.tell(&path, Action::Deleted, 0);
        let mut report = self.shared.report();
        report.deleted = report.deleted.saturating_add(1);
        Ok(())
    }
}
