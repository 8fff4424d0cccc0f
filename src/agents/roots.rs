//! Where an agent's roots lie on a machine.
//!
//! A root's places come, in this order, from the user, from the first of its variables that is
//! set, or from its definition. Where there are several, the first has the root's own label and
//! the others are numbered by their order: `main`, `main-2`. A place with wildcards stands for all
//! that it matches, each labelled with the names that matched. What is wrong with a root is told
//! with it and is no error: an agent whose folder is gone must not hide the others. Projects that the
//! user names come last (`projects.rs`).

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::agent::{Agent, Detects, RootDefinition, Variable};
use super::disk::{Found, There, has_wildcards, look, matches};
use super::places::{Places, split};
use super::projects::project_definition;
use super::rules::PROJECT;
use super::template::append;
use super::words::PathKind;

/// One root of an agent on a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentRoot {
    /// Its label in snapshots.
    pub label: String,
    /// Folder or file.
    pub kind: PathKind,
    /// Where it lies.
    pub place: PathBuf,
    /// Who said so.
    pub source: RootSource,
    /// Whether something is there.
    pub exists: bool,
    /// What is wrong with it.
    pub problem: Option<RootProblem>,
    /// The label of another root of the agent that it lies in: what is here is not that one's.
    pub inside: Option<String>,
    /// Whether its being there means that the agent is there.
    pub shows_agent: bool,
}

impl AgentRoot {
    /// Returns whether it can be read.
    pub fn is_usable(&self) -> bool {
        self.exists && self.problem.is_none()
    }
}

/// Who said where a root lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootSource {
    /// The user's config.
    User,
    /// A variable, by its name.
    Variable(String),
    /// The definition.
    Definition,
}

/// What is wrong with a root.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RootProblem {
    /// The user or a variable names a place where nothing is.
    #[error("nothing is there")]
    Missing,
    /// A variable or the user names a place by a relative path.
    #[error("the path is not absolute")]
    Relative,
    /// A file stands where a folder should be.
    #[error("a folder should be there, but it is none")]
    NotAFolder,
    /// Something else stands where a file should be.
    #[error("a file should be there, but it is none")]
    NotAFile,
    /// A symbolic link leads nowhere.
    #[error("the symbolic link leads nowhere")]
    BrokenLink,
    /// Symbolic links lead to one another.
    #[error("symbolic links lead to one another")]
    LinkLoop,
    /// This user may not read it.
    #[error("this user may not read it")]
    Forbidden,
    /// The system refused for another reason.
    #[error("it can't be looked at: {0}")]
    Failed(String),
}

/// A place that a root may lie at.
pub(super) struct Candidate {
    pub(super) label: String,
    pub(super) place: PathBuf,
    /// What the user or the variable named, which must be there.
    pub(super) named: Option<PathBuf>,
    pub(super) source: RootSource,
}

/// A root, and what was found there.
struct Seen {
    root: AgentRoot,
    there: Option<There>,
}

impl Agent {
    /// Returns the agent's roots. A root without a variable that is not there is among them (with
    /// `exists` false) if it is the first of its label; further ones are named only if they are.
    pub fn roots(&self, places: &Places) -> Vec<AgentRoot> {
        let mut seen: Vec<Seen> = Vec::new();
        for definition in &self.declared_roots {
            for candidate in self.candidates(definition, places) {
                let next = see(definition, candidate);
                let is_known = seen.iter().any(|earlier| earlier.is_same(&next));
                if !is_known && (next.there.is_some() || next.is_told(definition)) {
                    seen.push(next);
                }
            }
        }
        let project = project_definition();
        for candidate in self.project_candidates(places) {
            let next = see(&project, candidate);
            if !seen.iter().any(|earlier| earlier.is_same(&next)) {
                seen.push(next);
            }
        }
        let insides: Vec<_> = seen.iter().map(|inner| inner.outer(&seen)).collect();
        let roots = seen.into_iter().zip(insides);
        roots.map(|(seen, inside)| AgentRoot { inside, ..seen.root }).collect()
    }

    fn candidates(&self, definition: &RootDefinition, places: &Places) -> Vec<Candidate> {
        let label = |place: usize| match place {
            0 => definition.label.clone(),
            _ => format!("{}-{}", definition.label, place.saturating_add(1)),
        };
        let named = self.named_by_user(definition, places);
        let named = named.or_else(|| self.named_by_variable(definition, places));
        if let Some(named) = named {
            let candidates = named.into_iter().enumerate();
            let candidates = candidates.map(|(place, (at, named, source))| Candidate {
                label: label(place),
                place: at,
                named,
                source,
            });
            return candidates.collect();
        }
        let mut candidates = Vec::new();
        for (place, template) in definition.places_on(places.system).iter().enumerate() {
            let (at, variable) = places.expand(template);
            let source =
                variable.map_or(RootSource::Definition, |name| RootSource::Variable(name.into()));
            if has_wildcards(Path::new(&template.rest)) {
                let base = template.placeholder.map_or_else(PathBuf::new, |it| places.base(it).0);
                for (at, names) in matches(&base, Path::new(&template.rest)) {
                    let label = free_label(&definition.label, &names, &candidates);
                    let source = source.clone();
                    candidates.push(Candidate { label, place: at, named: None, source });
                }
            } else {
                candidates.push(Candidate { label: label(place), place: at, named: None, source });
            }
        }
        candidates
    }

    /// Returns the places that the user names for a root. They stand for the first root; another
    /// that follows one of its variables follows the user's places as it would follow the variable.
    fn named_by_user(&self, definition: &RootDefinition, places: &Places) -> Option<Vec<Named>> {
        let named = places.overrides.get(&self.id).filter(|named| !named.is_empty())?;
        let first = self.declared_roots.first()?;
        let follows = |variable: &&Variable| {
            first
                .variables
                .iter()
                .any(|other| other.name == variable.name && other.append.is_empty())
        };
        let is_first = first.label == definition.label;
        let append_text = match definition.variables.iter().find(follows) {
            _ if is_first => "",
            Some(variable) => variable.append.as_str(),
            None => return None,
        };
        let defaults = first.places_on(places.system);
        let place_of = |named: &PathBuf| {
            // Where the user names the usual place, the others are at their usual places too.
            let usual = defaults.iter().position(|template| places.expand(template).0 == *named);
            let own = usual.and_then(|place| definition.places_on(places.system).get(place));
            let place = match own {
                Some(template) if !is_first => places.expand(template).0,
                _ => append(named.clone(), append_text),
            };
            (place, Some(named.clone()), RootSource::User)
        };
        Some(named.iter().map(place_of).collect())
    }

    /// Returns the places that the first variable that is set names.
    fn named_by_variable(
        &self,
        definition: &RootDefinition,
        places: &Places,
    ) -> Option<Vec<Named>> {
        let set = |variable: &'_ Variable| places.variable(&variable.name).map(OsString::from);
        let (variable, value) =
            definition.variables.iter().find_map(|it| set(it).map(|value| (it, value)))?;
        if variable.ignore.iter().any(|word| value == word.as_str()) {
            return Some(Vec::new());
        }
        let whole = PathBuf::from(&value);
        let values = match &variable.separator {
            // A folder's own name may hold the separator.
            Some(separator) if !matches!(look(&whole), Found::There(_)) => split(&value, separator),
            _ => vec![whole],
        };
        let source = RootSource::Variable(variable.name.clone());
        let named = values.into_iter().filter_map(|value| {
            let value = match &variable.relative {
                Some(base) if !Places::is_absolute(&value) => {
                    // In each project it is found as what the rules for projects name.
                    (base != PROJECT).then(|| self.first_place(base, places))??.join(value)
                }
                _ => value,
            };
            Some((append(value.clone(), &variable.append), Some(value), source.clone()))
        });
        Some(named.collect())
    }

    /// Returns the first place of a root that does not depend on this one.
    fn first_place(&self, label: &str, places: &Places) -> Option<PathBuf> {
        let definition = self.declared_roots.iter().find(|root| root.label == label)?;
        let by_variable = definition.variables.iter().find_map(|variable| {
            let value = places.variable(&variable.name)?;
            Some(append(PathBuf::from(value), &variable.append))
        });
        let usual = || definition.places_on(places.system).first().map(|it| places.expand(it).0);
        by_variable.or_else(usual)
    }
}

/// A place, what was named to get there, and who named it.
type Named = (PathBuf, Option<PathBuf>, RootSource);

/// Returns a label that no candidate has, made of the names that wildcards stood for.
pub(super) fn free_label(label: &str, names: &[OsString], candidates: &[Candidate]) -> String {
    let mut text = label.to_owned();
    for name in names {
        text.push('-');
        for letter in name.to_string_lossy().to_lowercase().chars() {
            match letter {
                'a'..='z' | '0'..='9' | '.' | '_' => text.push(letter),
                _ if text.ends_with('-') => {}
                _ => text.push('-'),
            }
        }
    }
    let text = text.trim_end_matches('-').to_owned();
    let numbered = (2_u32..).map(|number| format!("{text}-{number}"));
    let mut labels = std::iter::once(text.clone()).chain(numbered);
    let is_free = |wanted: &String| candidates.iter().all(|other| other.label != *wanted);
    labels.find(is_free).unwrap_or(text)
}

/// Looks at a candidate.
fn see(definition: &RootDefinition, candidate: Candidate) -> Seen {
    let Candidate { label, place, named, source } = candidate;
    let is_relative = named.as_deref().is_some_and(|named| !Places::is_absolute(named));
    let found = if is_relative { Found::Nothing } else { look(&place) };
    let (there, problem) = match found {
        _ if is_relative => (None, Some(RootProblem::Relative)),
        Found::There(there) => {
            let problem = match definition.kind {
                PathKind::Folder if !there.is_folder => Some(RootProblem::NotAFolder),
                PathKind::File if !there.is_file => Some(RootProblem::NotAFile),
                _ if !there.readable => Some(RootProblem::Forbidden),
                _ => None,
            };
            (Some(there), problem)
        }
        Found::Nothing => {
            let is_lost = named.is_some_and(|named| look(&named) == Found::Nothing);
            (None, is_lost.then_some(RootProblem::Missing))
        }
        Found::BrokenLink => (None, Some(RootProblem::BrokenLink)),
        Found::LinkLoop => (None, Some(RootProblem::LinkLoop)),
        Found::Forbidden => (None, Some(RootProblem::Forbidden)),
        Found::Failed(reason) => (None, Some(RootProblem::Failed(reason))),
    };
    let shows_agent = there.is_some()
        && match &definition.detects {
            Detects::No => false,
            Detects::Presence => true,
            Detects::Holding(paths) => {
                paths.iter().any(|path| !matches(&place, Path::new(path)).is_empty())
            }
        };
    let exists = there.is_some();
    let kind = definition.kind;
    let root = AgentRoot { label, kind, place, source, exists, problem, inside: None, shows_agent };
    Seen { root, there }
}

impl Seen {
    fn is_same(&self, other: &Seen) -> bool {
        match (&self.there, &other.there) {
            (Some(own), Some(others)) => own.identity == others.identity,
            _ => self.root.place == other.root.place,
        }
    }

    /// Returns whether a root that is not there is worth a word.
    fn is_told(&self, definition: &RootDefinition) -> bool {
        self.root.problem.is_some() || self.root.label == definition.label
    }

    /// Returns the label of the innermost root that this one lies in.
    fn outer(&self, all: &[Seen]) -> Option<String> {
        let own = &self.there.as_ref()?.real;
        let holds = |other: &&Seen| {
            other.there.as_ref().is_some_and(|it| it.real != *own && own.starts_with(&it.real))
        };
        let depth = |other: &&Seen| other.there.as_ref().map(|it| it.real.components().count());
        all.iter().filter(holds).max_by_key(depth).map(|outer| outer.root.label.clone())
    }
}
