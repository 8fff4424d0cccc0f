//! What to do with one node, given what stands in its place. Pure.

use super::{Overwrite, RestoreOptions};
use crate::files::Stat;
use crate::format::tree::{Category, Node, NodeKind};

/// What to do with a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// Nothing is there.
    Create,
    /// Something of the same kind is there, and goes.
    Replace,
    /// What is there stays as it is.
    Keep,
    /// The content is the same; only metadata may differ.
    Refresh,
    /// Something of another kind is there, and goes first.
    Clear,
    /// A directory is in the way of something else.
    Blocked,
}

/// Decides for anything but a directory.
pub(super) fn decide(node: &Node, there: Option<&Stat>, options: &RestoreOptions) -> Decision {
    let Some(there) = there else { return Decision::Create };
    if options.overwrite == Overwrite::Never {
        return Decision::Keep;
    }
    if there.kind == NodeKind::Directory {
        return if options.delete { Decision::Clear } else { Decision::Blocked };
    }
    if there.kind != node.kind {
        return Decision::Clear;
    }
    if node.kind != NodeKind::File {
        return Decision::Replace;
    }
    if options.keeps_longer && is_growing(node) && there.size > node.size {
        return Decision::Keep;
    }
    let same = there.size == node.size && there.mtime == node.mtime;
    match options.overwrite {
        Overwrite::IfChanged | Overwrite::IfNewer if same => Decision::Refresh,
        Overwrite::IfNewer if there.mtime > node.mtime => Decision::Keep,
        _ => Decision::Replace,
    }
}

/// Returns whether a file is one to which its agent adds, and from which nothing should be taken.
fn is_growing(node: &Node) -> bool {
    matches!(
        Category::from_number(node.category),
        Some(Category::Sessions | Category::Memory | Category::History)
    )
}

/// Decides for a directory: `Create`, `Refresh` (it is there), `Keep` (something else is there and
/// stays), or `Clear`.
pub(super) fn decide_directory(there: Option<&Stat>, options: &RestoreOptions) -> Decision {
    match there {
        None => Decision::Create,
        Some(there) if there.kind == NodeKind::Directory => Decision::Refresh,
        Some(_) if options.overwrite == Overwrite::Never => Decision::Keep,
        Some(_) => Decision::Clear,
    }
}
