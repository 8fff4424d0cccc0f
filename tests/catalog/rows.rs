//! Tables of paths, and what each must be.

use stash::agents::{Agent, Catalog};

/// Checks a table of lines `label category path`. After the category may follow, each after a `+`:
/// `mixed`, `run`, `merge`, `optional`, `same`; they must hold, and no others. The category `-`
/// means that the file is not the agent's, and `unknown` that no rule names it.
pub(crate) fn check(id: &str, table: &str) {
    let catalog = Catalog::builtin().unwrap();
    let agent = catalog.find(id).unwrap();
    let mut wrong = Vec::new();
    let mut used = std::collections::BTreeSet::new();
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut words = line.splitn(3, ' ');
        let (label, wanted) = (words.next().unwrap(), words.next().unwrap());
        let path = words.next().unwrap_or_default();
        let told = tell(agent, label, path);
        if told != wanted {
            wrong.push(format!("{label} {path}: {told}, not {wanted}"));
        }
        let rule = agent.classify(label, path.as_bytes()).and_then(|it| it.rule);
        used.extend(rule.and_then(|rule| agent.rules.iter().position(|own| own == rule)));
    }
    let unused = (0..agent.rules.len()).filter(|place| !used.contains(place));
    wrong.extend(unused.map(|place| {
        let rule = &agent.rules[place];
        format!("no line of the table meets the rule for {:?} {:?}", rule.roots, rule.globs)
    }));
    assert!(wrong.is_empty(), "{id}:\n{}", wrong.join("\n"));
}

/// Says what a file is, in the table's words.
pub(crate) fn tell(agent: &Agent, label: &str, path: &str) -> String {
    let Some(classified) = agent.classify(label, path.as_bytes()) else { return "-".into() };
    let Some(rule) = classified.rule else { return "unknown".into() };
    let mut text = classified.category.name().to_owned();
    let flags = [
        ("mixed", classified.mixed_secrets),
        ("run", classified.run_time),
        ("merge", classified.merge.is_some()),
        ("optional", rule.optional),
        ("same", rule.same_machine),
    ];
    for (word, _) in flags.into_iter().filter(|(_, holds)| *holds) {
        text.push('+');
        text.push_str(word);
    }
    text
}
