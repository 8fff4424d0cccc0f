//! From a file of the catalog to an [`Agent`], with every error at its line.
//!
//! Each key is known, each word is one of its set, each root that is named is declared, and each
//! pattern can be matched: what is read here needs no second look. The keys are explained by the
//! types in `agent.rs`, whose fields they fill.

use std::path::Path;
use std::sync::OnceLock;

use super::agent::{Agent, Basis, Detects, Origin, RootDefinition, Variable};
use super::rules::PROJECT;
use super::template::PlaceTemplate;
use super::words::{Evidence, System};
use crate::error::Result;

use reader::{Entry, Section, Source};

mod about;
mod files;
pub(crate) mod reader;

const AGENT_KEYS: &[&str] = &[
    "id",
    "name",
    "aliases",
    "programs",
    "evidence",
    "note",
    "roots",
    "files",
    "projects",
    "sessions",
    "running",
    "retention",
    "hooks",
    "restore",
];
const ROOT_KEYS: &[&str] = &[
    "label",
    "kind",
    "variables",
    "places",
    "linux",
    "macos",
    "windows",
    "detects",
    "shared",
    "evidence",
    "note",
];
const VARIABLE_KEYS: &[&str] = &["name", "append", "separator", "relative", "ignore"];

/// What the parts of a definition need to know of the whole.
struct Context<'a> {
    /// The labels of the roots, `project` not among them.
    roots: &'a [RootDefinition],
    /// The evidence of entries that state none.
    evidence: Evidence,
}

/// Reads a definition. Its id and its aliases must not be those of another of the agents that are
/// `known`; it may take the place of one that came with the program.
pub(super) fn read(path: &Path, text: &str, origin: Origin, known: &[Agent]) -> Result<Agent> {
    let source = Source::new("cannot use the agent definition", path, text);
    let document = source.parse()?;
    let top = Section::top(&source, &document, AGENT_KEYS)?;
    let evidence = top.word("evidence")?.unwrap_or(Evidence::Unverified);
    let (id, aliases) = read_names(&top, known)?;
    let roots = read_roots(&top, evidence)?;
    let context = Context { roots: &roots, evidence };
    let agent = Agent {
        id,
        name: top.required("name")?.text.to_owned(),
        aliases,
        programs: read_programs(&top)?,
        basis: Basis { evidence, note: top.owned("note")? },
        rules: files::read(&top, &context)?,
        projects: about::projects(&top, &context)?,
        sessions: about::sessions(&top, &context)?,
        running: about::running(&top, &context)?,
        retention: about::retention(&top, &context)?,
        hooks: about::hooks(&top, &context)?,
        restore: about::restore(&top, &context)?,
        declared_roots: roots,
        origin,
        compiled: OnceLock::new(),
    };
    if agent.origin != Origin::Builtin {
        let bad = |error| top.error(format!("the patterns can't be used together: {error}"));
        agent.prepare().map_err(bad)?;
    }
    Ok(agent)
}

/// Reads id and aliases.
fn read_names(top: &Section<'_>, known: &[Agent]) -> Result<(String, Vec<String>)> {
    let id = top.required("id")?;
    let mut names = top.list("aliases")?;
    let aliases = names.iter().map(read_name).collect::<Result<_>>()?;
    let own = read_name(&id)?;
    let mine = |agent: &&Agent| agent.id == own && agent.origin != Origin::Builtin;
    if known.iter().any(|agent| mine(&agent)) {
        let error = id.error(format!("another of your files defines the agent `{own}`"));
        return Err(error.hint("give one of them another id"));
    }
    names.push(id);
    for name in &names {
        let mut others = known.iter().filter(|agent| agent.id != own);
        if let Some(other) = others.find(|other| other.is_called(name.text)) {
            let text = format!("the name `{}` belongs to the agent `{}`", name.text, other.id);
            return Err(name.error(text).hint("an agent of your own needs a name of its own"));
        }
    }
    Ok((own, aliases))
}

/// Reads an id, an alias or a label.
fn read_name(entry: &Entry<'_, '_>) -> Result<String> {
    let text = entry.text;
    let fits = |letter: char| matches!(letter, 'a'..='z' | '0'..='9' | '-');
    if text.is_empty() || !text.chars().all(fits) || text.starts_with('-') || text.ends_with('-') {
        let reason = format!("`{text}` is no name for `{}`", entry.key);
        return Err(entry
            .error(reason)
            .hint("use lower case letters, digits and `-` between them"));
    }
    Ok(text.to_owned())
}

fn read_programs(top: &Section<'_>) -> Result<Vec<String>> {
    let programs = top.list("programs")?;
    if let Some(bad) =
        programs.iter().find(|it| it.text.is_empty() || it.text.contains(['/', '\0']))
    {
        return Err(bad.error(format!("`{}` is no program's name", bad.text)));
    }
    Ok(programs.iter().map(|it| it.text.to_owned()).collect())
}

fn read_roots(top: &Section<'_>, evidence: Evidence) -> Result<Vec<RootDefinition>> {
    let mut roots: Vec<RootDefinition> = Vec::new();
    for section in top.sections("roots", ROOT_KEYS)? {
        let root = read_root(&section, evidence)?;
        let label = section.required("label")?;
        if label.text == PROJECT {
            let reason = format!("the label `{PROJECT}` stands for the user's projects");
            return Err(label.error(reason).hint("give the root another label"));
        }
        let others = roots.iter().map(|root| root.label.as_str()).chain([PROJECT]);
        for other in others {
            if other == root.label {
                return Err(label.error(format!("the label `{other}` is there twice")));
            }
            let begins = |long: &str, short: &str| {
                long.strip_prefix(short).is_some_and(|rest| rest.starts_with('-'))
            };
            if begins(&root.label, other) || begins(other, &root.label) {
                let reason = format!("the labels `{}` and `{other}` begin alike", root.label);
                let hint = "several places of one root are labelled `main-2` and so on: \
                            no label may be the beginning of another";
                return Err(label.error(reason).hint(hint));
            }
        }
        roots.push(root);
    }
    for (section, root) in top.sections("roots", ROOT_KEYS)?.iter().zip(&roots) {
        check_relatives(section, root, &roots)?;
    }
    if roots.is_empty() && top.sections("files", files::KEYS)?.is_empty() {
        return Err(top
            .error("there is no root, and so nothing to save")
            .hint("add a `[[roots]]`"));
    }
    Ok(roots)
}

fn read_root(section: &Section<'_>, evidence: Evidence) -> Result<RootDefinition> {
    let places = read_places(section, "places")?;
    let systems = [System::Linux, System::Macos, System::Windows];
    let mut system_places = Vec::new();
    for system in systems {
        if let Some(places) = read_places(section, system.name())? {
            system_places.push((system, places));
        }
    }
    let variables = section.sections("variables", VARIABLE_KEYS)?;
    let variables = variables.iter().map(read_variable).collect::<Result<Vec<_>>>()?;
    let places = places.unwrap_or_default();
    if variables.is_empty() && places.is_empty() && system_places.iter().all(|it| it.1.is_empty()) {
        let error = section.error("a root needs a place, or a variable that names one");
        return Err(error.hint("add `places = [\"{home}/…\"]`"));
    }
    Ok(RootDefinition {
        label: read_name(&section.required("label")?)?,
        kind: section.required_word("kind")?,
        variables,
        places,
        system_places,
        detects: read_detects(section)?,
        shared: section.flag("shared")?,
        basis: section.basis(evidence)?,
    })
}

fn read_places(section: &Section<'_>, key: &str) -> Result<Option<Vec<PlaceTemplate>>> {
    if !section.has(key) {
        return Ok(None);
    }
    let read = |entry: &Entry<'_, '_>| {
        PlaceTemplate::parse(entry.text).map_err(|bad| {
            let hint = bad.hint();
            let error = entry.error(bad.to_string());
            match hint {
                Some(hint) => error.hint(hint),
                None => error,
            }
        })
    };
    section.list(key)?.iter().map(read).collect::<Result<Vec<_>>>().map(Some)
}

fn read_variable(section: &Section<'_>) -> Result<Variable> {
    let name = section.required("name")?;
    if name.text.is_empty() || name.text.contains(['=', '\0']) {
        return Err(name.error(format!("`{}` is no variable's name", name.text)));
    }
    let append = section.text("append")?;
    if let Some(append) = append.as_ref().filter(|it| !it.text.is_empty()) {
        files::check_path(append)?;
    }
    let separator = section.text("separator")?;
    if let Some(separator) = separator.as_ref().filter(|it| it.text.is_empty()) {
        return Err(separator.error("a separator can't be empty"));
    }
    Ok(Variable {
        name: name.text.to_owned(),
        append: append.map(|it| it.text.to_owned()).unwrap_or_default(),
        separator: separator.map(|it| it.text.to_owned()),
        relative: section.owned("relative")?,
        ignore: section.owned_list("ignore")?,
    })
}

/// Checks that what relative values are relative to is declared, and is another root.
fn check_relatives(
    section: &Section<'_>,
    root: &RootDefinition,
    roots: &[RootDefinition],
) -> Result<()> {
    for variable in section.sections("variables", VARIABLE_KEYS)? {
        if let Some(entry) = variable.text("relative")? {
            let others = roots.iter().map(|other| other.label.as_str());
            let others = others.filter(|other| *other != root.label).chain([PROJECT]);
            entry.one_of("root", others)?;
        }
    }
    Ok(())
}

fn read_detects(section: &Section<'_>) -> Result<Detects> {
    if section.is_list("detects") {
        let paths = section.list("detects")?;
        paths.iter().try_for_each(files::check_path)?;
        return Ok(Detects::Holding(paths.iter().map(|it| it.text.to_owned()).collect()));
    }
    Ok(if section.flag("detects")? { Detects::Presence } else { Detects::No })
}
