//! `stash export-config`: the agents' settings as one file to take along.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::open::Run;
use super::repository::passphrase_text;
use crate::cli::args::ExportConfigArguments;
use crate::cli::ask;
use crate::cli::figures::{counted, size};
use crate::cli::json::{ExportSummary, SettingLine};
use crate::cli::name;
use crate::error::{Error, Kind, Result};
use crate::files::ExcludeOptions;
use crate::machine::{
    self, AgentWish, MachineAgents, Seal, SecretOptions, SettingsExport, SettingsManifest,
    SettingsRemark,
};
use crate::time::Clock as _;

pub(super) fn run(run: &Run, arguments: &ExportConfigArguments) -> Result<u8> {
    run.stop_on_signals()?;
    let file = file_of(run, arguments)?;
    if machine::is_file(&file) {
        return Err(Error::failed("a file of this name is there already:")
            .object(shown(&file))
            .hint("name another, or move it away"));
    }
    let agents = MachineAgents::find(&run.places, &run.environment)?;
    let chosen = agents.chosen(&arguments.agents)?;
    let sources = agents.sources_of(&chosen, &AgentWish::default(), &ExcludeOptions::default())?;
    let mut export = SettingsExport::default();
    for found in &chosen {
        export.gather(found, &sources, &run.counters)?;
    }
    show_remarks(run, &export)?;
    decide_findings(run, arguments, &mut export)?;
    if export.files.is_empty() {
        return Err(Error::failed("there are no settings to export")
            .hint("`stash agents list` shows which agents are here"));
    }
    let mut ids: Vec<String> = export.files.iter().map(|it| it.agent.clone()).collect();
    ids.dedup();
    let time = run.clock.now().to_rfc3339();
    let manifest = SettingsManifest {
        taken_out: export.taken_out.clone(),
        left_out: export.left_out.clone(),
        ..SettingsManifest::new(&run.identity.host, time, ids.clone())
    };
    let archive = machine::write_settings(&manifest, &export.files)?;
    let seal = seal_of(run, arguments)?;
    let bytes = match &seal {
        Some(seal) => machine::seal(&archive, seal)?,
        None => archive,
    };
    machine::write_new_file(&file, &bytes)?;
    if run.screen.is_json() {
        let summary = ExportSummary {
            file: shown(&file),
            bytes: bytes.len() as u64,
            files: export.files.len() as u64,
            cleaned: export.taken_out.len() as u64,
            left_out: export.left_out.len() as u64,
            findings: export.findings.len() as u64,
            encrypted: seal.is_some(),
        };
        run.screen.message("export_summary", &summary)?;
        return Ok(0);
    }
    run.screen.summary(&format!(
        "wrote {} of {} into `{}` ({}{})",
        counted(export.files.len() as u64, "file"),
        ids.join(", "),
        shown(&file),
        size(bytes.len() as u64),
        if seal.is_some() { ", encrypted" } else { "" }
    ))?;
    Ok(0)
}

fn file_of(run: &Run, arguments: &ExportConfigArguments) -> Result<PathBuf> {
    if let Some(file) = &arguments.file {
        return machine::absolute_path(file);
    }
    let moment = machine::show_moment(run.clock.now(), &run.zone);
    let date = moment.split(' ').next().unwrap_or_default();
    let is_sealed = arguments.encrypt || !arguments.recipients.is_empty();
    let end = if is_sealed { ".age" } else { "" };
    machine::absolute_path(Path::new(&format!("stash-config-{date}.tar.gz{end}")))
}

fn shown(path: &Path) -> String {
    name::shown(path.as_os_str().as_bytes())
}

fn show_remarks(run: &Run, export: &SettingsExport) -> Result<()> {
    let all = [("cleaned", &export.taken_out), ("left_out", &export.left_out)];
    for (action, remarks) in all {
        for SettingsRemark { file, what } in remarks {
            if run.screen.is_json() {
                let mut item = serde_json::Map::new();
                name::insert(&mut item, "item", file.as_bytes());
                let line = SettingLine { action, what: Some(what.clone()), item };
                run.screen.line("setting", &line)?;
            } else {
                let (file, what) = (name::shown(file.as_bytes()), name::shown(what.as_bytes()));
                run.screen.note(&match action {
                    "cleaned" => format!("{file}: taken out: {what}"),
                    _ => format!("{file}: left out: {what}"),
                });
            }
        }
    }
    Ok(())
}

/// Shows what still looks like a credential, and lets the person decide.
fn decide_findings(
    run: &Run,
    arguments: &ExportConfigArguments,
    export: &mut SettingsExport,
) -> Result<()> {
    if export.findings.is_empty() {
        return Ok(());
    }
    for (_, found) in &export.findings {
        if run.screen.is_json() {
            super::scan::show(run, found)?;
        } else {
            let line = super::scan::line(found);
            run.screen.warning(&format!("this looks like a credential: {line}"));
        }
    }
    if arguments.without_findings {
        export.drop_findings();
        return Ok(());
    }
    if arguments.yes {
        return Ok(());
    }
    match ask::consent("Write these files into the archive all the same?")? {
        Some(true) => Ok(()),
        Some(false) => Err(Error::new(Kind::Interrupted, "not confirmed; nothing was written")),
        None => Err(Error::usage(
            "something looks like a credential, and nobody can be asked; nothing was written",
        )
        .hint("`--without-findings` leaves these files out, `--yes` takes them")),
    }
}

fn seal_of(run: &Run, arguments: &ExportConfigArguments) -> Result<Option<Seal>> {
    if !arguments.recipients.is_empty() {
        return Ok(Some(Seal::Recipients(arguments.recipients.clone())));
    }
    if !arguments.encrypt {
        return Ok(None);
    }
    let passphrase = match machine::explicit_source(&run.global.secret(), &run.environment)? {
        Some(passphrase) => passphrase,
        None => machine::new_passphrase(&SecretOptions::default(), &mut ask::secret).map_err(
            |error| match error.kind() {
                Kind::WrongPassphrase if !ask::has_terminal() => {
                    error.hint("give `--passphrase-file FILE`, or `--recipient age1…`")
                }
                _ => error,
            },
        )?,
    };
    passphrase.check_new()?;
    let text: Zeroizing<String> = passphrase_text(&passphrase.text)?;
    Ok(Some(Seal::Passphrase(text)))
}
