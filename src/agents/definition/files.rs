//! `[[files]]`: what the files below the roots are.

use std::collections::HashSet;

use super::super::agent::{FileRule, Merge};
use super::super::patterns;
use super::super::rules::PROJECT;
use super::super::words::{MergeFormat, PathKind};
use super::Context;
use super::reader::{Entry, Section};
use crate::error::Result;

pub(super) const KEYS: &[&str] = &[
    "root",
    "globs",
    "category",
    "mixed_secrets",
    "run_time",
    "merge",
    "merge_key",
    "optional",
    "same_machine",
    "evidence",
    "note",
];

/// Reads the rules, in their order.
pub(super) fn read(top: &Section<'_>, context: &Context<'_>) -> Result<Vec<FileRule>> {
    let mut known = HashSet::new();
    let mut rules = Vec::new();
    for section in top.sections("files", KEYS)? {
        let rule = read_rule(&section, context)?;
        for root in &rule.roots {
            let whole = [String::new()];
            let globs = if rule.globs.is_empty() { &whole[..] } else { &rule.globs };
            for glob in globs {
                if !known.insert((root.clone(), glob.clone())) {
                    let text = match glob.as_str() {
                        "" => format!("the root `{root}` has a rule already"),
                        glob => format!("the pattern `{glob}` is there twice for `{root}`"),
                    };
                    let hint = "the first rule that matches decides, so this one has no effect";
                    return Err(section.error(text).hint(hint));
                }
            }
        }
        rules.push(rule);
    }
    Ok(rules)
}

fn read_rule(section: &Section<'_>, context: &Context<'_>) -> Result<FileRule> {
    let (roots, globs) = read_matching(section, context)?;
    let format: Option<MergeFormat> = section.word("merge")?;
    let key = section.text("merge_key")?;
    if let (None, Some(key)) = (format, &key) {
        return Err(key.error("`merge_key` says nothing without `merge`"));
    }
    Ok(FileRule {
        roots,
        globs,
        category: section.required_word("category")?,
        mixed_secrets: section.flag("mixed_secrets")?,
        run_time: section.flag("run_time")?,
        merge: format.map(|format| Merge { format, key: key.map(|it| it.text.to_owned()) }),
        optional: section.flag("optional")?,
        same_machine: section.flag("same_machine")?,
        basis: section.basis(context.evidence)?,
    })
}

/// Reads `root` and `globs`: the labels must be declared, and a root that is a file has no globs.
pub(super) fn read_matching(
    section: &Section<'_>,
    context: &Context<'_>,
) -> Result<(Vec<String>, Vec<String>)> {
    let roots = section.list("root")?;
    if roots.is_empty() {
        return Err(section.error("the key `root` is missing"));
    }
    let globs = section.list("globs")?;
    globs.iter().try_for_each(check_path)?;
    for root in &roots {
        match (read_root(root, context)?, globs.first()) {
            (PathKind::Folder, None) => {
                let text =
                    format!("there are no `globs`, and the root `{}` is a folder", root.text);
                return Err(section.error(text).hint("`globs = [\"**\"]` means all below it"));
            }
            (PathKind::File, Some(glob)) => {
                let text = format!("the root `{}` is a file and takes no `globs`", root.text);
                return Err(glob.error(text));
            }
            _ => {}
        }
    }
    let texts = |entries: &[Entry<'_, '_>]| entries.iter().map(|it| it.text.to_owned()).collect();
    Ok((texts(&roots), texts(&globs)))
}

/// Checks that a root is declared, and returns its kind.
pub(super) fn read_root(entry: &Entry<'_, '_>, context: &Context<'_>) -> Result<PathKind> {
    let declared = context.roots.iter().map(|root| root.label.as_str());
    entry.one_of("root", declared.chain([PROJECT]))?;
    let root = context.roots.iter().find(|root| root.label == entry.text);
    Ok(root.map_or(PathKind::Folder, |root| root.kind))
}

/// Checks a pattern, or a path, below a root.
pub(super) fn check_path(entry: &Entry<'_, '_>) -> Result<()> {
    patterns::check(entry.text).map_err(|reason| entry.error(reason))
}
