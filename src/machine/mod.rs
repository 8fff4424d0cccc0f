//! This computer: its environment, clock, folders, secrets, locks and signals.
//!
//! The only room that reads the environment, asks for the time, or knows the home. Everything it
//! finds out it hands on as plain values; below it nobody looks again. Nothing here prints or
//! prompts: where a person must be asked, `cli` hands in a closure that asks.
//!
//! | file | owns |
//! |---|---|
//! | `environment` | variables, of this process or given by a test |
//! | `agent_files` | whether an agent runs, and single files of it |
//! | `agent_holdings` | what an agent keeps, by category, and what is left out of it |
//! | `agent_links` | links in agents' folders that lead out of them |
//! | `agent_settings` | single values in agents' settings files |
//! | `agent_sources` | the coding agents that are here, as what a backup is to read |
//! | `agent_survey` | what lies in their roots now |
//! | `config` | the configuration file: reading, changing, what holds in the end |
//! | `clock` | what time it is |
//! | `moment` | what a person means by a time |
//! | `places` | the folders for config, state, cache, data and keys |
//! | `foreign_key`, `takeover` | what other backup tools have kept, and what opens it |
//! | `identity` | host, user and zone offset written into snapshots |
//! | `location`, `remote_location` | what `--repo` and its kin mean |
//! | `credentials_file` | credentials that a person typed |
//! | `sample` | comparing what was restored for a trial |
//! | `synced_folders` | folders that a program copies to other machines |
//! | `store_access` | what opens a remote store, and how it is reached |
//! | `git_access` | what opens a git remote |
//! | `doctor` | questions about this machine's backups, with verdict, evidence and remedy |
//! | `health` | when each job last succeeded, and whether it is overdue |
//! | `keychain` | the operating system's keychain |
//! | `known_store` | what was found out about remote stores |
//! | `pager` | a person's pager |
//! | `passphrase` | passphrases: where one comes from, and what a new one must be |
//! | `device_key` | the key file of this machine, and the recovery code that waits to be tested |
//! | `saved_agents` | what the snapshots hold of this machine's agents |
//! | `status` | what lies here, what is saved of it, and what changed since |
//! | `undo` | what can be undone |
//! | `unlock` | the order in which secrets are tried |
//! | `lock` | one run at a time on this machine |
//! | `disk` | what a folder's file system means for a repository in it |
//! | `editor` | a person's editor, and what it gave that can't be used |
//! | `input` | paths, lists and commands that a person hands in |
//! | `job_command` | a job's own commands, before and after it |
//! | `runs` | what came of each backup on this machine |
//! | `private_copy` | files that are unpacked for a moment |
//! | `session_projects` | projects in which agents keep sessions |
//! | `sessions` | sessions of coding agents, wherever they are |
//! | `limits` | how many files and threads we may have |
//! | `secret_scan` | which files hold what looks like a credential |
//! | `sealed` | files that a passphrase or a key opens (age) |
//! | `settings_archive`, `settings_export`, `settings_import` | settings of agents as a file to take along |
//! | `signal` | Ctrl-C and its kin |

mod agent_files;
mod agent_holdings;
mod agent_links;
mod agent_settings;
mod agent_sources;
mod agent_survey;
mod clock;
mod config;
mod credentials_file;
mod device_key;
mod disk;
pub mod doctor;
mod editor;
mod environment;
mod foreign_key;
#[cfg(feature = "git")]
mod git_access;
mod health;
mod identity;
mod input;
mod job_command;
mod keychain;
mod known_store;
mod limits;
mod location;
mod lock;
mod moment;
mod new_file;
pub mod pager;
mod passphrase;
mod places;
mod private_copy;
mod remote_location;
mod runs;
mod sample;
mod saved_agents;
mod sealed;
mod secret_scan;
mod session_projects;
pub mod sessions;
mod settings_archive;
mod settings_export;
mod settings_import;
mod signal;
mod status;
mod store_access;
mod synced_folders;
mod takeover;
mod undo;
mod unlock;

pub use agent_files::{
    exists, is_file, made_file, refuse_running, remove_file, replace_file, touch, write_new_file,
};
pub use agent_holdings::{AgentHoldings, holdings};
pub use agent_links::{OutsideLink, outside_links};
pub use agent_sources::{
    AgentCounts, AgentWish, FoundAgent, MachineAgents, agent_catalog, kind_word,
};
pub use agent_survey::{AgentSurvey, SurveyedFile, survey};
pub use clock::SystemClock;
pub use config::{
    AgentEntry, AgentsOfJob, Config, ConfigDraft, JobEntry, RepositoryEntry, SearchEntry, Setting,
    Stated, SyncEntry, change_config, edit_config, replace_config,
};
pub use credentials_file::CredentialsFile;
pub use device_key::{
    KeyPlace, device_key_path, device_key_place, move_device_key, pending_recovery_path,
    probe_keychain, read_device_key, read_pending_recovery, remove_pending_recovery,
    repositories_with_keys, write_device_key, write_pending_recovery,
};
pub use disk::{holds_something, is_same_file_system, repository_flags};
pub use editor::{edited, keep_rejected, rejected, remove_rejected};
pub use environment::Environment;
pub use foreign_key::ForeignKey;
#[cfg(feature = "git")]
pub use git_access::git_access;
pub use health::{JobHealth, job_health};
pub use identity::{Identity, offset_minutes};
pub use input::{
    SourceCommand, absolute_path, own_program, read_bytes, read_entries, read_lines, read_text,
};
pub use job_command::run_job_command;
pub use keychain::probe_unattended;
pub use known_store::{
    forget_store, known_store, opened_description, remember_opened, remember_store,
};
pub use limits::{raise_open_files, worker_count};
pub use location::{
    Chosen, Location, LocationOptions, choose, choose_source, chosen_entry, is_named, read_location,
};
pub use lock::{RunLock, SharedLock};
pub use moment::{
    Bare, parse as parse_moment, show as show_moment, show_minute, zone as local_zone,
};
pub use new_file::{NewFile, Spool};
pub use passphrase::{
    Ask, MINIMUM_PASSPHRASE_CHARS, Passphrase, SecretOptions, SecretText, configured_source,
    explicit_source, new_passphrase, other_source,
};
pub use places::{PlaceOptions, Places, make_private_folder, remove_older};
pub use remote_location::GitPlace;
pub use runs::{RunAgent, RunAlso, RunFigures, RunHistory, RunRecord, RunResult, remember_run};
pub use sample::{is_database, is_same_content, is_unchanged, trial_folder};
pub use saved_agents::{
    SavedFile, SavedFiles, SavedRoot, saved_files, saved_roots, snapshots_of_agents,
};
pub use sealed::{Opener, Seal, is_by_passphrase, is_sealed, open as open_sealed, seal};
pub use secret_scan::{FoundSecret, SecretScan, SecretScanner};
pub use session_projects::{discover_projects, keeps_sessions_in_projects};
pub use settings_archive::{
    LONGEST_ALL as LONGEST_SETTINGS, SettingsManifest, SettingsRemark, read_settings,
    write_settings,
};
pub use settings_export::SettingsExport;
pub use settings_import::{PlannedSetting, SettingsFate, plan_setting};
pub use signal::stop_on_signals;
pub use status::{AgentStatus, Changes, SavedRootFiles, agent_statuses};
pub use store_access::{AccessOptions, store_access};
pub use synced_folders::{SyncedFolder, synced_folders};
pub use takeover::{Staged, Takeover, TakeoverKind, find_takeovers};
pub use undo::{MadeFile, Undoable, remember_undoable, undoables};
pub use unlock::{Secret, SecretPlaces, unlock, unlock_other};
