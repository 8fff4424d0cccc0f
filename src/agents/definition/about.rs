//! What a definition says beside its files: projects, sessions, running, retention, hooks, restore.

use super::super::agent::{
    HookPlace, Projects, Registry, RestoreRules, Retention, RetentionSetting, RunningCheck,
    SessionStore,
};
use super::super::rules::PROJECT;
use super::super::template::PlaceTemplate;
use super::super::words::{RetentionUnit, RunningKind};
use super::Context;
use super::files::{check_path, read_matching, read_root};
use super::reader::{Entry, Section};
use crate::error::Result;

const PROJECT_KEYS: &[&str] = &["markers", "registry", "evidence", "note"];
const REGISTRY_KEYS: &[&str] = &["root", "file"];
const SESSION_KEYS: &[&str] = &["shape", "root", "globs", "parts", "index", "evidence", "note"];
const RUNNING_KEYS: &[&str] = &["kind", "root", "globs", "pid", "address", "evidence", "note"];
const RETENTION_KEYS: &[&str] = &[
    "deletes",
    "days",
    "clock",
    "root",
    "file",
    "key",
    "unit",
    "minimum_days",
    "offer_days",
    "switch",
    "exempt",
    "evidence",
    "note",
];
const HOOK_KEYS: &[&str] = &["root", "file", "format", "events", "payload", "evidence", "note"];
const RESTORE_KEYS: &[&str] = &["refresh_mtime", "placement", "also", "resume", "evidence", "note"];

/// Returns the texts of patterns, checked.
fn patterns(section: &Section<'_>, key: &str) -> Result<Vec<String>> {
    let entries = section.list(key)?;
    entries.iter().try_for_each(check_path)?;
    Ok(entries.iter().map(|entry| entry.text.to_owned()).collect())
}

/// Returns a path below a root, checked.
fn path(section: &Section<'_>, key: &str) -> Result<String> {
    let entry = section.required(key)?;
    check_path(&entry)?;
    Ok(entry.text.to_owned())
}

/// Returns the label of a declared root.
fn label(section: &Section<'_>, context: &Context<'_>) -> Result<String> {
    let entry = section.required("root")?;
    read_root(&entry, context)?;
    Ok(entry.text.to_owned())
}

pub(super) fn projects(top: &Section<'_>, context: &Context<'_>) -> Result<Option<Projects>> {
    let Some(section) = top.section("projects", PROJECT_KEYS)? else {
        let files = top.sections("files", super::files::KEYS)?;
        for file in &files {
            let roots = file.list("root")?;
            if let Some(root) = roots.iter().find(|root| root.text == PROJECT) {
                let error = root.error("files in projects need to be found");
                return Err(error.hint("add `[projects]` with `markers`"));
            }
        }
        return Ok(None);
    };
    let registries = section.sections("registry", REGISTRY_KEYS)?;
    let registries = registries.iter().map(|registry| {
        Ok(Registry { root: label(registry, context)?, file: path(registry, "file")? })
    });
    Ok(Some(Projects {
        markers: patterns(&section, "markers")?,
        registries: registries.collect::<Result<_>>()?,
        basis: section.basis(context.evidence)?,
    }))
}

pub(super) fn sessions(top: &Section<'_>, context: &Context<'_>) -> Result<Vec<SessionStore>> {
    let sections = top.sections("sessions", SESSION_KEYS)?;
    let stores = sections.iter().map(|section| {
        let (roots, globs) = read_matching(section, context)?;
        Ok(SessionStore {
            shape: section.required_word("shape")?,
            roots,
            globs,
            parts: patterns(section, "parts")?,
            index: patterns(section, "index")?,
            basis: section.basis(context.evidence)?,
        })
    });
    stores.collect()
}

pub(super) fn running(top: &Section<'_>, context: &Context<'_>) -> Result<Vec<RunningCheck>> {
    let sections = top.sections("running", RUNNING_KEYS)?;
    let checks = sections.iter().map(|section| {
        let kind: RunningKind = section.required_word("kind")?;
        let (roots, globs) = match kind {
            RunningKind::Port => (Vec::new(), Vec::new()),
            _ => read_matching(section, context)?,
        };
        let address = section.text("address")?;
        match (kind, &address) {
            (RunningKind::Port, None) => {
                return Err(section.error("the key `address` is missing: host and port"));
            }
            (RunningKind::Port, Some(address)) => check_address(address)?,
            (_, Some(address)) => return Err(address.error("only a port has an `address`")),
            (_, None) => {}
        }
        let pid = section.word("pid")?;
        if kind == RunningKind::PidFile && pid.is_none() {
            return Err(section.error("the key `pid` is missing: where the file names its process"));
        }
        let address = address.map(|it| it.text.to_owned());
        let basis = section.basis(context.evidence)?;
        Ok(RunningCheck { kind, roots, globs, pid, address, basis })
    });
    checks.collect()
}

fn check_address(entry: &Entry<'_, '_>) -> Result<()> {
    let parsed = entry.text.parse::<std::net::SocketAddr>();
    let local = parsed.is_ok_and(|address| address.ip().is_loopback());
    if local {
        return Ok(());
    }
    let text = format!("`{}` is no address of this machine with a port", entry.text);
    Err(entry.error(text).hint("write it as `127.0.0.1:18789`"))
}

pub(super) fn retention(top: &Section<'_>, context: &Context<'_>) -> Result<Option<Retention>> {
    let Some(section) = top.section("retention", RETENTION_KEYS)? else { return Ok(None) };
    if !section.has("deletes") {
        return Err(section.error("the key `deletes` is missing in `[retention]`"));
    }
    let setting = if section.has("key") {
        Some(RetentionSetting {
            root: label(&section, context)?,
            file: path(&section, "file")?,
            key: section.required("key")?.text.to_owned(),
            unit: section.word("unit")?.unwrap_or(RetentionUnit::Days),
            minimum_days: section.number("minimum_days")?,
            offer_days: section.number("offer_days")?,
            switch: section.owned("switch")?,
        })
    } else {
        None
    };
    Ok(Some(Retention {
        deletes: section.flag("deletes")?,
        days: section.number("days")?,
        clock: section.word("clock")?,
        setting,
        exempt: patterns(&section, "exempt")?,
        basis: section.basis(context.evidence)?,
    }))
}

pub(super) fn hooks(top: &Section<'_>, context: &Context<'_>) -> Result<Vec<HookPlace>> {
    let sections = top.sections("hooks", HOOK_KEYS)?;
    let hooks = sections.iter().map(|section| {
        let root = if section.has("root") { Some(label(section, context)?) } else { None };
        let file = section.required("file")?;
        if root.is_some() {
            check_path(&file)?;
        } else if let Err(bad) = PlaceTemplate::parse(file.text) {
            let error = file.error(bad.to_string());
            return Err(error.hint("name a `root`, or begin with a placeholder"));
        }
        Ok(HookPlace {
            root,
            file: file.text.to_owned(),
            format: section.required_word("format")?,
            events: section.owned_list("events")?,
            payload: section.required_word("payload")?,
            basis: section.basis(context.evidence)?,
        })
    });
    hooks.collect()
}

pub(super) fn restore(top: &Section<'_>, context: &Context<'_>) -> Result<Option<RestoreRules>> {
    let Some(section) = top.section("restore", RESTORE_KEYS)? else { return Ok(None) };
    let refresh = section.list("refresh_mtime")?;
    Ok(Some(RestoreRules {
        refresh_mtime: refresh.iter().map(Entry::word).collect::<Result<_>>()?,
        placement: section.required_word("placement")?,
        also: section.owned("also")?,
        resume: section.owned("resume")?,
        basis: section.basis(context.evidence)?,
    }))
}
