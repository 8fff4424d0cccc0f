//! `stash key rotate`.

use super::key::{drop_pending_recovery, find_slot, row, table};
use super::open::Run;
use super::prune;
use super::repository::{Make, Opened};
use crate::cli::args::{KeyRotateArguments, PruneLimits};
use crate::cli::ask;
use crate::cli::figures::counted;
use crate::cli::json::RotatedLine;
use crate::engine::prune::{Limit, Reseal};
use crate::error::{Error, Kind, Result};
use crate::format::key::SlotKind;
use crate::id::ObjectHash;
use crate::repository::{Rotated, RotationPlan};
use crate::time::Clock as _;

/// What has to be typed.
const WORD: &str = "rotate";

pub(super) fn run(run: &Run, arguments: &KeyRotateArguments) -> Result<u8> {
    run.stop_on_signals()?;
    let repository = run.repository(Make::Never)?;
    let _lock = (!arguments.dry_run).then(|| run.lock(repository.id())).transpose()?;
    let without = arguments.without.iter().map(|prefix| find_slot(&repository, prefix));
    let plan = repository.plan_rotation(&without.collect::<Result<Vec<ObjectHash>>>()?)?;
    if arguments.dry_run {
        return dry_run(run, &repository, &plan, arguments.full);
    }
    let is_asked = !arguments.yes;
    if !run.screen.is_json() && (is_asked || !run.screen.is_quiet()) {
        run.screen.text(&shown(run, &plan))?;
    }
    if is_asked {
        consent(&plan)?;
    }
    let rotated = repository.rotate(&plan, run.clock.now())?;
    if plan.left_out.iter().any(|slot| slot.kind == SlotKind::Recovery) {
        drop_pending_recovery(run, &repository)?;
    }
    say_done(run, &plan, Some(&rotated))?;
    let code = if rotated.undeleted.is_empty() { 0 } else { 3 };
    if arguments.full {
        let after = prune::After { reseal: Reseal::Older, ..prune::After::default() };
        return Ok(code.max(prune::free(run, &repository, &limits(), after, false)?));
    }
    Ok(code)
}

fn dry_run(run: &Run, repository: &Opened, plan: &RotationPlan, full: bool) -> Result<u8> {
    if run.screen.is_json() {
        say_done(run, plan, None)?;
    } else {
        run.screen.text(&shown(run, plan))?;
    }
    if full {
        let after = prune::After { reseal: Reseal::Everything, ..prune::After::default() };
        prune::free(run, repository, &limits(), after, true)?;
    }
    Ok(0)
}

/// How far a prune goes that seals everything anew: as far as it gets.
fn limits() -> PruneLimits {
    PruneLimits {
        max_unused: Some(Limit::Percent(5.0)),
        max_repack: Some(Limit::Unlimited),
        grace: None,
        nobody_else_writes: false,
        trust_lane: Vec::new(),
        trust_machine: Vec::new(),
        accept: Vec::new(),
    }
}

fn shown(run: &Run, plan: &RotationPlan) -> String {
    let mut text = format!("The new keys go to:\n{}", table(run, &plan.kept).trim_end());
    if !plan.left_out.is_empty() {
        text += "\n\nLeft out, and removed:\n";
        text += table(run, &plan.left_out).trim_end();
    }
    text
}

fn consent(plan: &RotationPlan) -> Result<()> {
    let kept = counted(plan.kept.len() as u64, "key");
    let question = match plan.left_out.len() as u64 {
        0 => format!("{kept} will open what is saved from now on. Do you know them all?"),
        count => format!(
            "{kept} will open what is saved from now on; {} will not. Do you know them all?",
            counted(count, "key")
        ),
    };
    match ask::typed(&question, WORD)? {
        Some(true) => Ok(()),
        Some(false) => Err(Error::new(Kind::Interrupted, "not confirmed; nothing was changed")),
        None => Err(Error::usage("nobody can be asked whether these keys are to go on")
            .hint("look at them with `--dry-run`, then add `--yes`")),
    }
}

/// Says what was done; without a result, what would be.
fn say_done(run: &Run, plan: &RotationPlan, rotated: Option<&Rotated>) -> Result<()> {
    let undeleted = rotated.map_or(&[][..], |rotated| &rotated.undeleted);
    for (_, error) in undeleted {
        run.screen.warning(&error.to_string());
    }
    if run.screen.is_json() {
        let line = RotatedLine {
            dry_run: rotated.is_none(),
            epoch: rotated.map(|rotated| rotated.epoch),
            kept: plan.kept.iter().map(row).collect(),
            left_out: plan.left_out.iter().map(row).collect(),
            undeleted: undeleted.iter().map(|(name, _)| name.to_string()).collect(),
        };
        return run.screen.message("rotated", &line);
    }
    run.screen.summary(&format!(
        "rotated the keys: what is saved from now on opens with {}",
        counted(plan.kept.len() as u64, "key")
    ))?;
    if !plan.left_out.is_empty() {
        run.screen.note(
            "who was left out can still read what was saved before, if he reaches the store or \
             kept a copy: take his access to the store away",
        );
    }
    Ok(())
}
