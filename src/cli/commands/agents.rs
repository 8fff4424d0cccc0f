//! `stash agents`: which coding agents are known and here, and what they keep.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::open::Run;
use crate::agents::{AgentRoot, Capability, Catalog, RootSource, Support};
use crate::cli::args::{
    AgentsCheckArguments, AgentsCommand, AgentsListArguments, AgentsShowArguments,
};
use crate::cli::figures::{count, counted, size};
use crate::cli::json::{AgentHoldingsLine, AgentLine, AgentRootLine, CapabilityLine};
use crate::cli::name::shown;
use crate::cli::table::{Align, Table};
use crate::error::{Error, Result};
use crate::files::ExcludeOptions;
use crate::machine::{AgentHoldings, AgentWish, FoundAgent, MachineAgents, holdings, kind_word};

pub(super) fn run(run: &Run, command: &AgentsCommand) -> Result<u8> {
    match command {
        AgentsCommand::List(arguments) => list(run, arguments),
        AgentsCommand::Show(arguments) => show(run, arguments),
        AgentsCommand::Check(arguments) => check(run, arguments),
    }
}

/// Says what can be done with which agent: a table, and below it what shows each yes and why each no
/// is one.
fn capabilities(run: &Run, catalog: &Catalog) -> Result<u8> {
    if run.screen.is_json() {
        let lines: Vec<CapabilityLine> = catalog
            .agents()
            .iter()
            .flat_map(|agent| Capability::ALL.map(|it| CapabilityLine::new(agent, it)))
            .collect();
        return run.screen.array(&lines).map(|()| 0);
    }
    let [save, restore, list, show, search, opens, sync, hooks] =
        Capability::ALL.map(|it| (it.name(), Align::Left));
    let first = ("agent", Align::Left);
    let mut table = Table::new([first, save, restore, list, show, search, opens, sync, hooks]);
    let mut reasons: Vec<String> = Vec::new();
    for agent in catalog.agents() {
        let supports = Capability::ALL.map(|it| (it, agent.support(it)));
        let words = supports.iter().map(|(_, support)| match support {
            Support::Yes(_) => "yes",
            Support::No(_) => "no",
        });
        table.row(std::iter::once(agent.id.as_str()).chain(words).map(str::to_owned));
        for (capability, support) in supports {
            let line = match support {
                Support::Yes(test) => format!("{}: yes, by the test {test}", capability.name()),
                Support::No(reason) => format!("{}: no, {reason}", capability.name()),
            };
            if !reasons.contains(&line) {
                reasons.push(line);
            }
        }
    }
    run.screen.text(table.to_string().trim_end())?;
    reasons.sort_unstable();
    run.screen.text(&format!("\n{}", reasons.join("\n")))?;
    Ok(0)
}

fn list(run: &Run, arguments: &AgentsListArguments) -> Result<u8> {
    let agents = MachineAgents::find(&run.places, &run.environment)?;
    if arguments.capabilities {
        return capabilities(run, &agents.catalog);
    }
    let find = |id: &str| agents.found.iter().find(|it| it.agent.id == id);
    let wanted =
        agents.catalog.agents().iter().filter(|it| arguments.all || find(&it.id).is_some());
    if run.screen.is_json() {
        let lines: Vec<AgentLine> = wanted
            .map(|agent| AgentLine {
                id: agent.id.clone(),
                name: agent.name.clone(),
                here: find(&agent.id).is_some(),
                enabled: find(&agent.id).is_none_or(|it| it.is_enabled),
                roots: find(&agent.id).map(|it| root_lines(&it.roots)).unwrap_or_default(),
                holdings: None,
            })
            .collect();
        return run.screen.array(&lines).map(|()| 0);
    }
    let mut table = Table::new([
        ("agent", Align::Left),
        ("name", Align::Left),
        ("here", Align::Left),
        ("where", Align::Left),
    ]);
    for agent in wanted {
        let found = find(&agent.id);
        let roots = found.map(|it| it.roots.as_slice()).unwrap_or_default();
        let places = roots.iter().filter(|root| root.exists);
        let places: Vec<String> = places.map(|root| path(&root.place)).collect();
        table.row([
            agent.id.clone(),
            agent.name.clone(),
            match found {
                Some(found) if found.is_enabled => "yes",
                Some(_) => "switched off",
                None => "no",
            }
            .to_owned(),
            places.join(", "),
        ]);
    }
    if table.is_empty() {
        run.screen.note("no coding agent was found here; `--all` lists those that are known");
        return Ok(0);
    }
    run.screen.text(table.to_string().trim_end())?;
    for found in &agents.found {
        for root in found.roots.iter().filter(|root| root.problem.is_some()) {
            run.screen.warning(&format!("{}: {}", found.agent.id, problem(root)));
        }
    }
    Ok(0)
}

fn show(run: &Run, arguments: &AgentsShowArguments) -> Result<u8> {
    let agents = MachineAgents::find(&run.places, &run.environment)?;
    let id = agents.catalog.find(&arguments.agent)?.id.clone();
    let chosen = agents.chosen(&[id])?;
    let Some(found) = chosen.first() else { return Ok(0) };
    let wish = AgentWish::default();
    let sources = agents.sources_of(&[found], &wish, &ExcludeOptions::default())?;
    let kept = holdings(found, &sources);
    if run.screen.is_json() {
        run.screen.array(&[line(found, &kept)])?;
    } else {
        run.screen.text(text(found, &kept).trim_end())?;
    }
    for (at, error) in &kept.failed {
        run.screen.warning(&format!("`{}`: {error}", path(at)));
    }
    Ok(if kept.failed.is_empty() { 0 } else { 3 })
}

fn check(run: &Run, arguments: &AgentsCheckArguments) -> Result<u8> {
    let text = crate::machine::read_text(&arguments.file)?;
    let catalog = Catalog::with_user_files(vec![(arguments.file.clone(), text)])?;
    let own = catalog.agents().iter().find(|agent| {
        matches!(&agent.origin, crate::agents::Origin::File(file) if *file == arguments.file)
    });
    let Some(agent) = own else { return Err(Error::failed("the file defines no agent")) };
    run.screen.summary(&format!(
        "`{}` defines {} (`{}`): {}, {}",
        path(&arguments.file),
        agent.name,
        agent.id,
        counted(agent.declared_roots.len() as u64, "root"),
        counted(agent.rules.len() as u64, "rule"),
    ))?;
    Ok(0)
}

fn line(found: &FoundAgent, kept: &AgentHoldings) -> AgentLine {
    AgentLine {
        id: found.agent.id.clone(),
        name: found.agent.name.clone(),
        here: true,
        enabled: found.is_enabled,
        roots: root_lines(&found.roots),
        holdings: Some(AgentHoldingsLine::new(kept)),
    }
}

fn root_lines(roots: &[AgentRoot]) -> Vec<AgentRootLine> {
    let line = |root: &AgentRoot| AgentRootLine {
        label: root.label.clone(),
        kind: kind_word(root.kind),
        place: path(&root.place),
        exists: root.exists,
        source: source(&root.source),
        problem: root.problem.as_ref().map(ToString::to_string),
    };
    roots.iter().map(line).collect()
}

fn text(found: &FoundAgent, kept: &AgentHoldings) -> String {
    let agent = &found.agent;
    let mut text = format!("{} (`{}`)\n", agent.name, agent.id);
    // Writing to a String can't fail.
    if let Some(program) = &found.program {
        let _ = writeln!(text, "program: {}", path(program));
    }
    if !found.is_enabled {
        text.push_str("switched off in the configuration: only `--agent` saves it\n");
    }
    let mut roots =
        Table::new([("root", Align::Left), ("where", Align::Left), ("known from", Align::Left)]);
    for root in &found.roots {
        let state = match (&root.problem, root.exists) {
            (Some(problem), _) => format!("{} ({problem})", path(&root.place)),
            (None, true) => path(&root.place),
            (None, false) => format!("{} (not there)", path(&root.place)),
        };
        roots.row([root.label.clone(), state, source(&root.source)]);
    }
    let _ = write!(text, "\n{roots}");
    let mut sums =
        Table::new([("category", Align::Left), ("files", Align::Right), ("size", Align::Right)]);
    for (category, (files, bytes)) in &kept.categories {
        sums.row([category.name().to_owned(), count(*files), size(*bytes)]);
    }
    let _ = write!(text, "\n{sums}");
    for (reason, (items, _)) in &kept.left_out {
        let _ = writeln!(text, "left out: {}, each {reason}", counted(*items, "item"));
    }
    for file in &kept.mixed_secrets {
        let _ = writeln!(text, "holds credentials beside other things: {}", path(file));
    }
    text
}

fn problem(root: &AgentRoot) -> String {
    let what = root.problem.as_ref().map(ToString::to_string).unwrap_or_default();
    format!("`{}` ({}): {what}", path(&root.place), source(&root.source))
}

fn source(source: &RootSource) -> String {
    match source {
        RootSource::User => "your config".to_owned(),
        RootSource::Variable(name) => name.clone(),
        RootSource::Definition => "its usual place".to_owned(),
    }
}

fn path(path: &Path) -> String {
    shown(path.as_os_str().as_bytes())
}
