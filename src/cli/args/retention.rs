//! Arguments of the commands that say which snapshots are kept.

use std::ffi::OsString;

use clap::Args;

use super::inspect::FilterOptions;
use super::prune::{Doubt, PruneLimits};
use super::values::{self, SnapshotArgument};
use crate::engine::retention::{Count, GroupBy, Period, Policy, Within};
use crate::error::{Error, Result};
use crate::format::tree::Category;

/// What a policy keeps.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "What is kept")]
pub struct KeepOptions {
    /// Keeps the newest N snapshots; here and below, N may be `unlimited`
    #[arg(long, value_name = "N", value_parser = values::keep_count)]
    pub keep_last: Option<Count>,
    /// Keeps the newest of each of N hours
    #[arg(long, value_name = "N", value_parser = values::keep_count)]
    pub keep_hourly: Option<Count>,
    /// Keeps the newest of each of N days
    #[arg(long, value_name = "N", value_parser = values::keep_count)]
    pub keep_daily: Option<Count>,
    /// Keeps the newest of each of N weeks
    #[arg(long, value_name = "N", value_parser = values::keep_count)]
    pub keep_weekly: Option<Count>,
    /// Keeps the newest of each of N months
    #[arg(long, value_name = "N", value_parser = values::keep_count)]
    pub keep_monthly: Option<Count>,
    /// Keeps the newest of each of N years
    #[arg(long, value_name = "N", value_parser = values::keep_count)]
    pub keep_yearly: Option<Count>,
    /// Keeps all that are at most DURATION (`2y5m7d3h`, `90 days`) older than the newest
    #[arg(long, value_name = "DURATION", value_parser = Within::parse)]
    pub keep_within: Option<Within>,
    /// Of those that young, keeps one of each hour
    #[arg(long, value_name = "DURATION", value_parser = Within::parse)]
    pub keep_within_hourly: Option<Within>,
    /// Of those that young, keeps one of each day
    #[arg(long, value_name = "DURATION", value_parser = Within::parse)]
    pub keep_within_daily: Option<Within>,
    /// Of those that young, keeps one of each week
    #[arg(long, value_name = "DURATION", value_parser = Within::parse)]
    pub keep_within_weekly: Option<Within>,
    /// Of those that young, keeps one of each month
    #[arg(long, value_name = "DURATION", value_parser = Within::parse)]
    pub keep_within_monthly: Option<Within>,
    /// Of those that young, keeps one of each year
    #[arg(long, value_name = "DURATION", value_parser = Within::parse)]
    pub keep_within_yearly: Option<Within>,
    /// Keeps those with all of these tags (commas between); may be repeated
    #[arg(long, value_name = "TAG[,TAG…]", value_parser = values::tag_list)]
    pub keep_tag: Vec<TagList>,
}

/// Tags with commas between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagList(pub Vec<String>);

impl KeepOptions {
    /// Returns the policy that the options make.
    pub fn policy(&self) -> Policy {
        let counts = [
            (Period::Last, self.keep_last),
            (Period::Hourly, self.keep_hourly),
            (Period::Daily, self.keep_daily),
            (Period::Weekly, self.keep_weekly),
            (Period::Monthly, self.keep_monthly),
            (Period::Yearly, self.keep_yearly),
        ];
        let within = [
            (Period::Last, &self.keep_within),
            (Period::Hourly, &self.keep_within_hourly),
            (Period::Daily, &self.keep_within_daily),
            (Period::Weekly, &self.keep_within_weekly),
            (Period::Monthly, &self.keep_within_monthly),
            (Period::Yearly, &self.keep_within_yearly),
        ];
        let counts = counts.into_iter().filter_map(|(period, count)| Some((period, count?)));
        let within = within.into_iter().filter_map(|(period, span)| Some((period, span.clone()?)));
        Policy {
            counts: counts.collect(),
            within: within.collect(),
            tags: self.keep_tag.iter().map(|list| list.0.clone()).collect(),
        }
    }
}

/// Arguments of `forget`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash forget --keep-last 7 --keep-daily 30 --keep-weekly 12 --keep-monthly 6 --dry-run
  stash forget --dry-run                 what the policies of the configuration forget
  stash forget --keep-within 2m --host old-laptop
  stash forget 3f9a0c21
  stash forget --path ~/work/secret.env
  stash forget --agent claude --only sessions")]
pub struct ForgetArguments {
    /// Forgets these: `latest`, `latest~N`, or the beginning of an id
    #[arg(value_name = "SNAPSHOT", value_parser = SnapshotArgument::parser())]
    pub snapshots: Vec<SnapshotArgument>,
    /// Shows what would be forgotten, and why the rest is kept; writes nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Forgets the safety snapshots that restores took, which no policy does
    #[arg(long)]
    pub safety: bool,
    /// Frees the space as well, as `stash prune` does; where something is taken out of snapshots, as
    /// `stash prune --max-unused 0`
    #[arg(long)]
    pub prune: bool,
    /// How far the prune goes.
    #[command(flatten, next_help_heading = "How space is freed")]
    pub limits: PruneLimits,
    /// Lets a policy forget every snapshot of a group, and an id one from which an agent's deleted
    /// files are carried on
    #[arg(long)]
    pub unsafe_allow_remove_all: bool,
    /// Takes something out of snapshots without asking
    #[arg(short, long)]
    pub yes: bool,
    /// What the policy keeps.
    #[command(flatten)]
    pub keep: KeepOptions,
    /// Applies the policy to each group by itself: `host`, `job`, `paths`, `tags`, commas between
    #[arg(
        long,
        value_name = "WORDS",
        default_value = "host,job",
        value_parser = values::group_by,
        help_heading = "What is kept"
    )]
    pub group_by: GroupBy,
    /// Considers snapshots of this machine; may be repeated
    #[arg(
        short = 'H',
        long = "host",
        value_name = "NAME",
        visible_alias = "machine",
        help_heading = "Which snapshots"
    )]
    pub hosts: Vec<String>,
    /// Considers snapshots with all of these tags (commas between); may be repeated
    #[arg(long = "tag", value_name = "TAG[,TAG…]", help_heading = "Which snapshots")]
    pub tags: Vec<String>,
    /// Considers snapshots of this job
    #[arg(short = 'P', long, value_name = "NAME", help_heading = "Which snapshots")]
    pub job: Option<String>,
    /// With --keep-*: considers snapshots that hold PATH. Without: takes PATH out of the snapshots
    #[arg(
        id = "filter_path",
        long = "path",
        value_name = "PATH",
        help_heading = "Which snapshots"
    )]
    pub paths: Vec<OsString>,
    /// With --keep-*: considers snapshots that hold this agent. Without: takes what it keeps out of
    /// the snapshots
    #[arg(long, value_name = "ID", help_heading = "What is taken out")]
    pub agent: Option<String>,
    /// Of the agent, takes out only these categories (commas between)
    #[arg(
        long,
        value_name = "CATEGORY",
        value_delimiter = ',',
        value_parser = values::category,
        requires = "agent",
        help_heading = "What is taken out"
    )]
    pub only: Vec<Category>,
}

impl ForgetArguments {
    /// Returns whether something is to be taken out of snapshots.
    pub fn takes_out(&self) -> bool {
        let names = self.agent.is_some() || !self.paths.is_empty();
        names && self.keep.policy().is_empty()
    }

    /// Returns which snapshots are considered.
    pub fn filter(&self) -> FilterOptions {
        let paths = if self.takes_out() { Vec::new() } else { self.paths.clone() };
        FilterOptions { hosts: self.hosts.clone(), tags: self.tags.clone(), paths }
    }

    /// Returns whether the loss of what this machine wrote last is accepted.
    pub fn accepts_rollback(&self) -> bool {
        self.limits.accept.contains(&Doubt::Rollback)
    }

    pub(super) fn check(&self) -> Result<()> {
        if let Some(option) = self.limits.given().filter(|_| !self.prune) {
            return Err(Error::usage(format!("`{option}` says how a prune is to go"))
                .hint("add `--prune`, or leave it out"));
        }
        let has_policy = !self.keep.policy().is_empty();
        if has_policy && !self.only.is_empty() {
            return Err(Error::usage(
                "`--only` says what is taken out of snapshots, and a policy takes out none",
            )
            .hint("leave out `--only`, or the `--keep-…` options"));
        }
        let takes_out = self.takes_out();
        let ways = [has_policy, takes_out, self.safety].iter().filter(|way| **way).count();
        if ways > 1 || (!self.snapshots.is_empty() && (has_policy || self.safety)) {
            return Err(Error::usage("this says in two ways what to forget").hint(
                "give a policy (`--keep-…`), or snapshots, or `--safety`, or what is to be taken \
                 out of snapshots (`--path`, `--agent`)",
            ));
        }
        Ok(())
    }
}

/// Arguments of `unforget`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash unforget              lists what can be brought back
  stash unforget 3f9a0c21")]
pub struct UnforgetArguments {
    /// The snapshots [default: lists what can be brought back]
    #[arg(value_name = "SNAPSHOT", value_parser = SnapshotArgument::parser())]
    pub snapshots: Vec<SnapshotArgument>,
}

/// Arguments of `pin` and `unpin`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash pin latest
  stash pin 3f9a0c21 latest~3
  stash unpin 3f9a0c21")]
pub struct PinArguments {
    /// The snapshots
    #[arg(value_name = "SNAPSHOT", required = true, value_parser = SnapshotArgument::parser())]
    pub snapshots: Vec<SnapshotArgument>,
}

/// Arguments of `tag`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash tag latest --add release
  stash tag --tag nightly --set weekly,old
  stash tag 3f9a0c21 --set ''       removes all tags")]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
pub struct TagArguments {
    /// The snapshots [default: all that match]
    #[arg(value_name = "SNAPSHOT", value_parser = SnapshotArgument::parser())]
    pub snapshots: Vec<SnapshotArgument>,
    /// Replaces the tags by these (commas between)
    #[arg(long, value_name = "TAG", value_delimiter = ',', group = "what",
          conflicts_with_all = ["add", "remove"])]
    pub set: Vec<String>,
    /// Adds tags
    #[arg(long, value_name = "TAG", value_delimiter = ',', group = "what")]
    pub add: Vec<String>,
    /// Removes tags
    #[arg(long, value_name = "TAG", value_delimiter = ',', group = "what")]
    pub remove: Vec<String>,
    /// Which snapshots.
    #[command(flatten)]
    pub filter: FilterOptions,
}

impl TagArguments {
    /// Returns the tags that a snapshot with `tags` is to have.
    pub fn applied(&self, tags: &[String]) -> Vec<String> {
        let mut tags = if self.set.is_empty() { tags.to_vec() } else { Vec::new() };
        for tag in self.set.iter().chain(&self.add) {
            if !tag.is_empty() && !tags.contains(tag) {
                tags.push(tag.clone());
            }
        }
        tags.retain(|tag| !self.remove.contains(tag));
        tags
    }
}
