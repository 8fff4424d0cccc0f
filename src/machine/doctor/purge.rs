//! What agents will delete soon, and whether it is saved.
//!
//! Which setting says when, and what holds without it, stands in the catalog. Where an agent counts
//! by another clock than files' times, those are the nearest to it that can be seen: then the
//! figures are said to be about right.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::fix::{Fix, FixStep};
use super::{Answer, Verdict, counted, named};
use crate::agents::{PurgeClock, Retention, RetentionSetting};
use crate::engine::backup::{AgentSource, AgentSources};
use crate::format::tree::FileTime;
use crate::machine::agent_settings::{days_of, read_settings, setting};
use crate::machine::{FoundAgent, SavedFiles, survey};
use crate::time::{SECOND, Timestamp};

/// So many days ahead are looked.
const AHEAD: u64 = 3;
const DAY: u64 = 24 * 3600;

/// What one agent will delete from one of its roots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurgeForecast {
    /// The agent's name for people.
    pub agent: String,
    /// After how many days it deletes; `None`: nothing, or by rules that are not known.
    pub days: Option<u64>,
    /// Whether its own clock is not the files' times.
    pub is_about: bool,
    /// Sessions that go within three days.
    pub will_go: u64,
    /// Of these, those that the newest snapshot does not hold as they are; `None`: not known.
    pub unsaved: Option<u64>,
    /// Why its settings can't be used, or why nothing is deleted.
    pub remark: Option<String>,
    /// What would keep sessions longer.
    pub raise: Option<(PathBuf, RetentionSetting)>,
}

/// Looks what an agent will delete; `saved` tells what the newest snapshot holds of a root.
pub fn forecast<'s>(
    found: &FoundAgent,
    sources: &AgentSources,
    saved: impl Fn(&AgentSource) -> Option<&'s SavedFiles>,
    now: Timestamp,
) -> Vec<PurgeForecast> {
    let Some(retention) = found.agent.retention.as_ref().filter(|it| it.deletes) else {
        return Vec::new();
    };
    let Some(setting) = &retention.setting else {
        let remark = "deletes by rules of its own, which are not known".to_owned();
        return vec![PurgeForecast { remark: Some(remark), ..nothing(found, retention) }];
    };
    let of_setting = |source: &&AgentSource| {
        source.agent == found.agent.id
            && found.agent.declared_label(&source.label) == Some(setting.root.as_str())
    };
    let roots = sources.roots.iter().filter(of_setting);
    roots.map(|source| of_root(found, retention, setting, source, saved(source), now)).collect()
}

/// Returns after how many days an agent deletes the sessions of a root, by files' times; `None` if it
/// deletes none, or by rules that are not known.
pub fn purge_days(found: &FoundAgent, source: &AgentSource) -> Option<u64> {
    let retention = found.agent.retention.as_ref().filter(|it| it.deletes)?;
    let setting = retention.setting.as_ref()?;
    if found.agent.declared_label(&source.label) != Some(setting.root.as_str()) {
        return None;
    }
    match stated_days(&source.place.join(&setting.file), setting) {
        Ok(Stated::Days(days)) => Some(days),
        Ok(Stated::Off) => None,
        // What it does with settings that can't be read is not known; the usual is the safe guess.
        Ok(Stated::Nothing) | Err(_) => retention.days.map(u64::from),
    }
}

fn nothing(found: &FoundAgent, retention: &Retention) -> PurgeForecast {
    PurgeForecast {
        agent: found.agent.name.clone(),
        days: None,
        is_about: retention.clock != Some(PurgeClock::Mtime),
        will_go: 0,
        unsaved: Some(0),
        remark: None,
        raise: None,
    }
}

fn of_root(
    found: &FoundAgent,
    retention: &Retention,
    setting: &RetentionSetting,
    source: &AgentSource,
    saved: Option<&SavedFiles>,
    now: Timestamp,
) -> PurgeForecast {
    let file = source.place.join(&setting.file);
    let mut forecast = nothing(found, retention);
    match stated_days(&file, setting) {
        Ok(Stated::Days(days)) => forecast.days = Some(days),
        Ok(Stated::Nothing) => forecast.days = retention.days.map(u64::from),
        Ok(Stated::Off) => forecast.remark = Some("is set to delete nothing".to_owned()),
        Err(why) => {
            // What it does then is not known; the usual is the safe guess.
            forecast.days = retention.days.map(u64::from);
            forecast.remark = Some(why);
        }
    }
    let Some(days) = forecast.days else { return forecast };
    let only = AgentSources { roots: vec![source.clone()], ..AgentSources::default() };
    let mut unsaved = 0_u64;
    survey(found, &only, |met| {
        let is_old = age_seconds(met.entry.stat.mtime, now)
            >= days.saturating_sub(AHEAD).saturating_mul(DAY);
        if met.store.is_none() || !is_old {
            return;
        }
        forecast.will_go = forecast.will_go.saturating_add(1);
        let stat = &met.entry.stat;
        let is_saved = saved
            .and_then(|saved| saved.find(met.below))
            .is_some_and(|file| file.size == stat.size && file.mtime == stat.mtime);
        unsaved = unsaved.saturating_add(u64::from(!is_saved));
    });
    forecast.unsaved = saved.map(|_| unsaved);
    if setting.offer_days.is_some_and(|offer| u64::from(offer) > days) {
        forecast.raise = Some((file, setting.clone()));
    }
    forecast
}

/// What the settings say.
enum Stated {
    Days(u64),
    Off,
    Nothing,
}

fn stated_days(file: &Path, setting_of: &RetentionSetting) -> Result<Stated, String> {
    let settings = match read_settings(file) {
        Ok(Some(settings)) => settings,
        Ok(None) => return Ok(Stated::Nothing),
        Err(error) => return Err(error.to_string()),
    };
    let switch = setting_of.switch.as_deref().and_then(|key| setting(&settings, key));
    if switch == Some(&Value::Bool(false)) {
        return Ok(Stated::Off);
    }
    match setting(&settings, &setting_of.key) {
        None => Ok(Stated::Nothing),
        Some(value) => days_of(value, setting_of.unit).map(Stated::Days).ok_or_else(|| {
            format!("`{}` in `{}` is no number of days", setting_of.key, file.display())
        }),
    }
}

fn age_seconds(mtime: FileTime, now: Timestamp) -> u64 {
    u64::try_from((now.0 / SECOND).saturating_sub(mtime.0)).unwrap_or(0)
}

impl PurgeForecast {
    fn verdict(&self) -> Verdict {
        match (self.will_go, self.unsaved) {
            (0, _) if self.remark.is_some() && self.days.is_some() => Verdict::Note,
            (0, _) => Verdict::Ok,
            (_, Some(0)) => Verdict::Note,
            _ => Verdict::Problem,
        }
    }

    /// Says what will happen, for people.
    pub fn text(&self) -> String {
        let agent = &self.agent;
        let remark = self.remark.as_deref();
        let Some(days) = self.days else {
            return format!("{agent} {}", remark.unwrap_or("deletes nothing by itself"));
        };
        let about = if self.is_about { "about " } else { "" };
        let deletes = format!("{agent} deletes sessions older than {}", counted(days, "day"));
        let fate = match (self.will_go, self.unsaved) {
            (0, _) => format!("none will go within {AHEAD} days"),
            (1, Some(0)) => {
                format!("{about}1 will go within {AHEAD} days, and is saved")
            }
            (count, Some(0)) => {
                format!("{about}{count} will go within {AHEAD} days, all are saved")
            }
            (count, Some(unsaved)) => {
                format!(
                    "{about}{count} will go within {AHEAD} days, {unsaved} of them not saved as they are now"
                )
            }
            (count, None) => {
                format!(
                    "{about}{count} will go within {AHEAD} days; whether they are saved is not known"
                )
            }
        };
        match remark {
            Some(remark) => format!("{deletes}: {fate} ({remark})"),
            None => format!("{deletes}: {fate}"),
        }
    }
}

/// Asks what agents will delete within three days, and whether all of it is saved.
pub fn purge_clocks(forecasts: &[PurgeForecast]) -> Answer {
    const NAME: &str = "purge clocks";
    let verdict = forecasts.iter().map(PurgeForecast::verdict).max().unwrap_or(Verdict::Ok);
    let texts: Vec<String> = forecasts.iter().map(PurgeForecast::text).collect();
    if texts.is_empty() {
        return Answer::ok(NAME, "no agent here deletes sessions by itself");
    }
    let answer = Answer::new(NAME, verdict, texts.join("; "));
    let goes = forecasts.iter().filter(|it| it.will_go > 0);
    let raises: Vec<&(PathBuf, RetentionSetting)> =
        goes.filter_map(|it| it.raise.as_ref()).collect();
    if raises.is_empty() {
        return if verdict == Verdict::Problem {
            answer.remedy("`stash backup` saves them")
        } else {
            answer
        };
    }
    let whats = raises.iter().map(|(file, setting)| {
        format!(
            "`{}` to {} in `{}`",
            setting.key,
            setting.offer_days.unwrap_or_default(),
            file.display()
        )
    });
    let what = format!("sets {}", named(&whats.collect::<Vec<_>>()));
    let first = if verdict == Verdict::Problem { "`stash backup` saves them; " } else { "" };
    let steps = raises.iter().map(|(file, setting)| FixStep::SetDays {
        file: file.clone(),
        key: setting.key.clone(),
        days: setting.offer_days.unwrap_or_default(),
        unit: setting.unit,
    });
    let steps = steps.collect();
    answer.remedy(format!("{first}to keep them longer: `stash doctor --fix` {what}")).fix(Fix {
        what,
        needs_consent: true,
        steps,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(will_go: u64, unsaved: Option<u64>) -> PurgeForecast {
        PurgeForecast {
            agent: "Claude Code".to_owned(),
            days: Some(30),
            is_about: false,
            will_go,
            unsaved,
            remark: None,
            raise: None,
        }
    }

    #[test]
    fn what_goes_and_is_saved_is_a_note_and_else_a_problem() {
        for (forecast, verdict, says) in [
            (one(0, Some(0)), Verdict::Ok, "none will go"),
            (one(12, Some(0)), Verdict::Note, "12 will go within 3 days, all are saved"),
            (one(12, Some(2)), Verdict::Problem, "2 of them not saved"),
            (one(1, None), Verdict::Problem, "is not known"),
        ] {
            let answer = purge_clocks(std::slice::from_ref(&forecast));
            assert_eq!(answer.verdict, verdict, "{}", answer.evidence);
            assert!(answer.evidence.contains(says), "{}", answer.evidence);
        }
    }
}
