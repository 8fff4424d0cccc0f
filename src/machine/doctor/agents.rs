//! The agents: which are here, moved, gone, or keep what nobody understands.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::{Answer, counted, named};
use crate::machine::{AgentSurvey, FoundAgent, MachineAgents, SavedRoot};

/// Asks which agents are here, and whether each of their roots can be read.
pub fn found_agents(agents: &MachineAgents) -> Answer {
    const NAME: &str = "agents";
    if agents.found.is_empty() {
        return Answer::note(NAME, "no coding agent was found")
            .remedy("`stash agents list --all` shows which are known; `[agents.ID] roots` says where one keeps its files");
    }
    let shown = agents.found.iter().map(|found| {
        let off = if found.is_enabled { "" } else { " (switched off)" };
        format!("{}{off}", found.agent.id)
    });
    let shown = shown.collect::<Vec<_>>().join(", ");
    let problems: Vec<String> = agents
        .found
        .iter()
        .filter(|found| found.is_enabled)
        .flat_map(|found| found.roots.iter().map(move |root| (found, root)))
        .filter_map(|(found, root)| {
            let problem = root.problem.as_ref()?;
            Some(format!("{}: `{}`: {problem}", found.agent.id, root.place.display()))
        })
        .collect();
    if problems.is_empty() {
        return Answer::ok(NAME, format!("found {shown}"));
    }
    Answer::problem(NAME, format!("found {shown}; not saved: {}", named(&problems))).remedy(
        "make these places readable, or correct the variable or the configuration that names them",
    )
}

/// Asks whether an agent now keeps its files elsewhere than when they were last saved.
pub fn moved_agents(agents: &MachineAgents, saved: &[SavedRoot<'_>]) -> Answer {
    const NAME: &str = "agents moved";
    let (mut moved, mut left) = (Vec::new(), Vec::new());
    for it in saved {
        let here = agents.found.iter().find(|found| found.agent.id == it.root.agent);
        let root =
            here.and_then(|found| found.roots.iter().find(|root| root.label == it.root.label));
        let Some(root) = root.filter(|root| root.is_usable()) else { continue };
        let before = Path::new(std::ffi::OsStr::from_bytes(&it.root.place));
        if root.place == before {
            continue;
        }
        let (now, old) = (root.place.display(), before.display());
        moved.push(format!("{} from `{old}` to `{now}`", it.root.agent));
        if before.exists() {
            left.push(format!("`{old}`"));
        }
    }
    if moved.is_empty() {
        return Answer::ok(NAME, "each keeps its files where they were saved from");
    }
    let evidence = format!("since they were last saved: {}", named(&moved));
    if left.is_empty() {
        return Answer::note(NAME, evidence)
            .remedy("the next backup saves the new place as the same agent");
    }
    Answer::problem(NAME, format!("{evidence}; something still lies in {}", named(&left))).remedy(
        "if sessions of yours lie in both, name both: `[agents.ID] roots = [\"…\", \"…\"]` in the configuration",
    )
}

/// Asks whether an agent that was saved is no longer here.
pub fn gone_agents(agents: &MachineAgents, saved: &[SavedRoot<'_>]) -> Answer {
    const NAME: &str = "agents gone";
    let mut gone: Vec<String> = Vec::new();
    for it in saved {
        let id = &it.root.agent;
        let is_here = agents.found.iter().any(|found| {
            found.agent.id == *id && found.roots.iter().any(crate::agents::AgentRoot::is_usable)
        });
        let said = format!("{id} (last saved {})", it.read_at().to_rfc3339());
        if !is_here && !gone.iter().any(|other| other.starts_with(&format!("{id} "))) {
            gone.push(said);
        }
    }
    if gone.is_empty() {
        return Answer::ok(NAME, "each that was saved is still here");
    }
    Answer::note(NAME, format!("saved, and no longer on this machine: {}", named(&gone)))
        .remedy("the snapshots keep them: `stash restore --agent ID` brings one back")
}

/// Asks whether the agents' sessions are recognised.
pub fn layouts(surveys: &[(&FoundAgent, AgentSurvey)]) -> Answer {
    const NAME: &str = "agent layouts";
    let (mut odd, mut empty, mut sessions) = (Vec::new(), Vec::new(), 0_u64);
    for (found, survey) in surveys {
        sessions = sessions.saturating_add(survey.sessions);
        if survey.has_sessions() || found.agent.sessions.is_empty() {
            continue;
        }
        match place(found) {
            Some(place) if survey.unknown_files > 0 => odd.push(format!(
                "{}: no session recognised in `{}`, where no rule names {}",
                found.agent.id,
                place.display(),
                counted(survey.unknown_files, "file")
            )),
            Some(_) => empty.push(found.agent.id.clone()),
            None => {}
        }
    }
    if !odd.is_empty() {
        return Answer::problem(NAME, named(&odd)).remedy(
            "all of it is saved all the same, as `other`; a newer stash may know this layout, and `stash agents \
             show ID` shows what is there",
        );
    }
    if !empty.is_empty() {
        return Answer::note(NAME, format!("no session yet: {}", empty.join(", ")));
    }
    Answer::ok(
        NAME,
        format!("recognised {}, and databases of sessions", counted(sessions, "session file")),
    )
}

/// Returns where an agent keeps its files.
fn place(found: &FoundAgent) -> Option<PathBuf> {
    found.roots.iter().find(|root| root.is_usable()).map(|root| root.place.clone())
}
