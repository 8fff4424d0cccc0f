//! Mending what can be mended safely.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use crate::agents::RetentionUnit;
use crate::error::{IoContext as _, Result};
use crate::machine::agent_settings::set_number;

/// A plan of what `--fix` does for one answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    /// What is done, in words that follow "will" and "done:".
    pub what: String,
    /// Whether it changes what is not ours, so that somebody must agree.
    pub needs_consent: bool,
    /// The steps.
    pub steps: Vec<FixStep>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FixStep {
    /// Sets a file's or folder's permissions.
    SetMode {
        /// The path.
        path: PathBuf,
        /// The bits.
        mode: u32,
    },
    /// Removes a file, or a folder with all that is in it, that a run of ours has left.
    Remove {
        /// The path.
        path: PathBuf,
    },
    /// Sets a number of days in an agent's settings.
    SetDays {
        /// The settings file.
        file: PathBuf,
        /// The key; `.` separates levels.
        key: String,
        /// The days.
        days: u32,
        /// How the setting states them.
        unit: RetentionUnit,
    },
}

impl Fix {
    /// Carries the plan out; the first step that fails ends it.
    pub fn run(&self) -> Result<()> {
        self.steps.iter().try_for_each(FixStep::run)
    }
}

impl FixStep {
    #[expect(clippy::disallowed_methods, reason = "removes what our own runs have left")]
    fn run(&self) -> Result<()> {
        match self {
            FixStep::SetMode { path, mode } => {
                std::fs::set_permissions(path, Permissions::from_mode(*mode))
                    .at("cannot set the permissions of", path)
            }
            FixStep::Remove { path } => {
                let is_folder = path.symlink_metadata().is_ok_and(|found| found.is_dir());
                let removed = if is_folder {
                    std::fs::remove_dir_all(path)
                } else {
                    std::fs::remove_file(path)
                };
                removed.at("cannot remove", path)
            }
            FixStep::SetDays { file, key, days, unit } => set_number(file, key, *days, *unit),
        }
    }
}
