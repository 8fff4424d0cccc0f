//! `stash key`.

use super::open::Run;
use super::repository::{Opened, passphrase_text};
use crate::cli::args::{KeyAddArguments, KeyCommand, KeyRecoveryArguments, NewPassphraseOptions};
use crate::cli::ask;
use crate::cli::json::{KeyLine, KeyRow};
use crate::cli::name;
use crate::cli::table::{Align, Table};
use crate::codec::crypto::{Key, SlotSecret, read_recovery_words};
use crate::error::{Error, Kind, Result};
use crate::format::key::SlotKind;
use crate::id::{Match, ObjectHash, match_prefix};
use crate::machine;
use crate::repository::{LockedRepository, SlotEntry};
use crate::time::{Clock as _, Timestamp};

pub(super) fn run(run: &Run, command: &KeyCommand) -> Result<u8> {
    match command {
        KeyCommand::List => list(run),
        KeyCommand::Add(arguments) => add(run, arguments),
        KeyCommand::Remove(arguments) => remove(run, &arguments.id),
        KeyCommand::Passwd(options) => passwd(run, options),
        KeyCommand::Rotate(arguments) => return super::rotate::run(run, arguments),
        KeyCommand::Recovery(arguments) => recovery(run, arguments),
        KeyCommand::Device(arguments) => super::key_device::run(run, arguments),
    }
    .map(|()| 0)
}

fn list(run: &Run) -> Result<()> {
    let repository = run.repository(super::repository::Make::Never)?;
    let mut slots = repository.key_slots()?;
    slots.sort_by_key(|slot| (slot.created, slot.kind, slot.id));
    if run.screen.is_json() {
        return run.screen.array(&slots.iter().map(row).collect::<Vec<_>>());
    }
    run.screen.text(&table(run, &slots))
}

/// Returns key slots as lines.
pub(super) fn table(run: &Run, slots: &[SlotEntry]) -> String {
    let mut table = Table::new([
        ("id", Align::Left),
        ("opened by", Align::Left),
        ("label", Align::Left),
        ("made", Align::Left),
        ("", Align::Left),
    ]);
    for slot in slots {
        let state = match (slot.in_use, slot.left_out) {
            (_, true) => "left out of a rotation",
            (true, _) => "used now",
            _ => "",
        };
        table.row([
            slot.id.short(),
            slot.kind.name().to_owned(),
            name::shown(slot.label.as_bytes()),
            machine::show_moment(Timestamp(slot.created), &run.zone),
            state.to_owned(),
        ]);
    }
    table.to_string()
}

/// Returns a key slot as JSON.
pub(super) fn row(slot: &SlotEntry) -> KeyRow {
    KeyRow {
        id: slot.id.to_string(),
        short_id: slot.id.short(),
        kind: slot.kind.name(),
        label: slot.label.clone(),
        created: Timestamp(slot.created).to_rfc3339(),
        current: slot.in_use,
        left_out: slot.left_out,
    }
}

/// Says what was done with a slot.
fn done(run: &Run, action: &'static str, id: Option<&ObjectHash>, line: &str) -> Result<()> {
    if run.screen.is_json() {
        let id = id.map(ToString::to_string);
        run.screen.message("key", &KeyLine { action, id })
    } else {
        run.screen.summary(line)
    }
}

fn add(run: &Run, arguments: &KeyAddArguments) -> Result<()> {
    let repository = run.repository(super::repository::Make::Never)?;
    if arguments.device {
        return add_device(run, &repository, arguments.label.as_deref());
    }
    let secret = new_secret(&arguments.new)?;
    let label = arguments.label.as_deref().unwrap_or("passphrase");
    let id = repository.add_key(&secret, label, None, run.clock.now())?;
    done(run, "added", Some(&id), &format!("added a passphrase, key slot {}", id.short()))
}

/// Makes a key for this machine. It is on the disk before it is in the repository: a slot that nothing
/// opens would only be in the way.
pub(super) fn add_device(run: &Run, repository: &Opened, label: Option<&str>) -> Result<()> {
    let keys = run.places.keys();
    if machine::read_device_key(&keys, repository.id())?.is_some() {
        return Err(Error::failed("this machine has a key of this repository already")
            .hint(format!(
                "`stash key list` shows whose keys open it; if this one was removed, delete its file \
                 in {}",
                keys.display()
            )));
    }
    let key = Key::random().map_err(|error| Error::failed("cannot make a key").source(error))?;
    machine::write_device_key(&keys, repository.id(), &key.0)?;
    let label = label.unwrap_or(&run.identity.host);
    let id = repository.add_key(&SlotSecret::Device(key), label, None, run.clock.now())?;
    let line = format!(
        "added a key of this machine, `{}`, key slot {}",
        name::shown(label.as_bytes()),
        id.short()
    );
    done(run, "added", Some(&id), &line)
}

fn new_secret(options: &NewPassphraseOptions) -> Result<SlotSecret> {
    let passphrase = machine::new_passphrase(&options.secret(), &mut ask::secret)?;
    Ok(SlotSecret::Passphrase(passphrase_text(&passphrase.text)?))
}

fn remove(run: &Run, prefix: &str) -> Result<()> {
    let repository = run.repository(super::repository::Make::Never)?;
    let id = find_slot(&repository, prefix)?;
    let slots = repository.key_slots()?;
    repository.remove_key(&id)?;
    let was_recovery = |slot: &SlotEntry| slot.id == id && slot.kind == SlotKind::Recovery;
    if slots.iter().any(was_recovery) {
        drop_pending_recovery(run, &repository)?;
    }
    done(run, "removed", Some(&id), &format!("removed key slot {}", id.short()))
}

/// Finds the key slot whose id begins like this, be it one that can't be read.
pub(super) fn find_slot(repository: &Opened, prefix: &str) -> Result<ObjectHash> {
    match match_prefix(prefix, repository.key_slot_ids()?) {
        Match::One(id) => Ok(id),
        Match::None => Err(Error::failed("no key slot begins with")
            .object(prefix)
            .hint("`stash key list` shows them")),
        Match::Many(ids) => {
            let ids: Vec<String> = ids.iter().map(ObjectHash::short).collect();
            Err(Error::usage("several key slots begin with")
                .object(prefix)
                .hint(format!("one of {}", ids.join(", "))))
        }
    }
}

/// The copy of a recovery code on this machine goes with its key slot.
pub(super) fn drop_pending_recovery(run: &Run, repository: &Opened) -> Result<()> {
    let keys = run.places.keys();
    let Some(words) = machine::read_pending_recovery(&keys, repository.id())? else {
        return Ok(());
    };
    let id = repository.id().to_string();
    let locked = LockedRepository::find(repository.store().clone(), Some(&id))?;
    if !opens(&locked, &words) && machine::remove_pending_recovery(&keys, repository.id())? {
        run.screen.note("the copy of its recovery code on this machine is deleted, too");
    }
    Ok(())
}

/// Returns whether a recovery code opens the repository.
fn opens(locked: &LockedRepository, words: &str) -> bool {
    read_recovery_words(words).is_some_and(|key| locked.takes(&SlotSecret::Recovery(key)))
}

fn passwd(run: &Run, options: &NewPassphraseOptions) -> Result<()> {
    let repository = run.repository(super::repository::Make::Never)?;
    let old = passphrase_slot(&repository)?;
    let secret = new_secret(options)?;
    let id = repository.replace_key(&old.id, &secret, &old.label, None, run.clock.now())?;
    let line = format!("the passphrase is replaced; its key slot is now {}", id.short());
    done(run, "replaced", Some(&id), &line)
}

/// Returns the slot of the passphrase that opened the repository; if another key did, of the only
/// one there is.
fn passphrase_slot(repository: &Opened) -> Result<SlotEntry> {
    let mut slots = repository.key_slots()?;
    slots.retain(|slot| slot.kind == SlotKind::Passphrase);
    if let Some(used) = slots.iter().find(|slot| slot.in_use) {
        return Ok(used.clone());
    }
    match (slots.pop(), slots.is_empty()) {
        (Some(only), true) => Ok(only),
        (None, _) => {
            Err(Error::failed("no passphrase opens the repository")
                .hint("`stash key add` adds one"))
        }
        (Some(_), false) => Err(Error::usage("several passphrases open the repository")
            .hint("give the one to replace: `--passphrase-file FILE`, or `STASH_PASSPHRASE`")),
    }
}

fn recovery(run: &Run, arguments: &KeyRecoveryArguments) -> Result<()> {
    if arguments.test { test_recovery(run) } else { show_recovery(run) }
}

fn show_recovery(run: &Run) -> Result<()> {
    let locked = run.find_locked()?;
    let words = machine::read_pending_recovery(&run.places.keys(), locked.id())?;
    let Some(words) = words else {
        return Err(Error::failed("no recovery code waits on this machine")
            .hint("it was tested, or the repository was made elsewhere"));
    };
    if !opens(&locked, &words) {
        return Err(Error::failed(
            "the recovery code that waits on this machine opens the repository no more",
        )
        .hint("its key slot was removed; `stash key list` shows what opens it"));
    }
    if ask::show_secret(
        "The recovery code. Keep it where this computer's end does not reach:",
        &words,
    )? {
        run.screen.note("`stash key recovery --test` checks that you kept it");
        return Ok(());
    }
    Err(Error::failed("the recovery code is shown on a terminal only")
        .hint("run the same command in one"))
}

fn test_recovery(run: &Run) -> Result<()> {
    let locked = run.find_locked()?;
    let text = match machine::explicit_source(&run.global.secret(), &run.environment)? {
        Some(named) => named.text,
        None => ask::secret("recovery code: ")?.ok_or_else(|| {
            Error::new(Kind::WrongPassphrase, "no recovery code, and no terminal to ask on")
                .hint("give `--passphrase-file FILE` with the code in it")
        })?,
    };
    let key = text.as_str().and_then(read_recovery_words).ok_or_else(|| {
        Error::new(Kind::WrongPassphrase, "these are not the 24 words of a recovery code")
            .hint("a word is missing, wrong or in another's place")
    })?;
    locked.unlock(&SlotSecret::Recovery(key), &run.local_folders())?;
    let waited = machine::remove_pending_recovery(&run.places.keys(), locked.id())?;
    let end = if waited { "; its copy on this machine is deleted" } else { "" };
    done(run, "tested", None, &format!("the recovery code opens the repository{end}"))
}
