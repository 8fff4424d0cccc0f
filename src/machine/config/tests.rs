//! Reading and changing a configuration, right and wrong.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::super::places::PlaceOptions;
use super::*;
use crate::agents::Catalog;
use crate::engine::retention::{Count, Period, Policy, Within};
use crate::format::tree::Category;
use crate::machine::location::LocationOptions;

/// Every key there is, once.
const WHOLE: &str = r#"
repository = "nas"

[repositories.local]
location = "~/backups"
passphrase_command = "pass show stash"

[repositories.nas] # in the cellar
location = "minio:nas.lan:9000/backups"
repo_id = "00112233445566778899aabbccddeeff"
passphrase_file = "/etc/stash/passphrase"
credentials_command = "vault read nas"
region = "us-east-1"
endpoint = "https://nas.lan:9000"
ca_file = "~/ca.pem"
limit_upload = 1_024
limit_download = 2048

[jobs.agents]
repositories = ["nas", "local"]
agents = ["claude-code", "codex"]
paths = ["~/notes", "/etc/hosts"]
only = ["profile", "sessions"]
exclude = ["*.tmp"]
secrets = "exclude"
schedule = "hourly"
keep = { last = 7, daily = "unlimited", within = "2m", tag = ["a,b"] }
overdue_after = "2 days"
before = "mount /mnt/disk"
after = "umount /mnt/disk"
on_failure = "notify-send failed"

[jobs.rest]
agents = "all"

[agents.aider]
enabled = true
roots = ["~/.aider.conf.yml"]
projects = ["~/work/*"]
exclude = ["*.log"]
follow_links = true

[sync]
enabled = true
agents = ["claude-code"]
projects = ["~/work/shop"]
only = ["sessions"]

[search]
index = false
trigram = true
"#;

fn parse(text: &str) -> Result<Config> {
    Config::parse(Path::new("/c/config.toml"), text)
}

/// Returns what a wrong configuration is told, and the hint.
fn told(text: &str) -> (String, String) {
    let error = parse(text).unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    (error.to_string(), error.hint_text().unwrap_or_default().to_owned())
}

#[test]
fn every_key_is_read_with_its_line() {
    let config = parse(WHOLE).unwrap();
    assert_eq!(config.main_repository().unwrap().name, "nas");
    let nas = config.repository("nas").unwrap();
    assert_eq!(nas.location.line, 9);
    assert_eq!(nas.limit_upload.as_ref().unwrap().value, 1024);
    assert_eq!(nas.repo_id.as_ref().unwrap().value.len(), 32);
    let job = config.job("agents").unwrap();
    assert_eq!(job.repositories.as_ref().unwrap().value, ["nas", "local"]);
    let only = &job.only.as_ref().unwrap().value;
    assert_eq!(only.len(), 5);
    assert!(only.contains(&Category::Skills) && only.contains(&Category::Sessions));
    assert!(job.without_secrets.as_ref().unwrap().value);
    let keep = &job.keep.as_ref().unwrap().value;
    assert_eq!(keep.counts, [(Period::Last, Count::Number(7)), (Period::Daily, Count::Unlimited)]);
    assert_eq!(keep.tags, [["a", "b"]]);
    assert_eq!(job.overdue_after.as_ref().unwrap().value.as_secs(), 2 * 24 * 3600);
    assert_eq!(config.job("rest").unwrap().agents.as_ref().unwrap().value, AgentsOfJob::All);
    let aider = config.agent("aider").unwrap();
    assert_eq!(aider.projects.as_ref().unwrap().value, [Path::new("~/work/*")]);
    assert!(config.sync.enabled.as_ref().unwrap().value);
    assert!(!config.search.keeps_index() && config.search.finds_parts());
    let usual = parse("").unwrap().search;
    assert!(usual.keeps_index() && !usual.finds_parts());
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_the_nearest_word() {
    for (text, line, why, hint) in [
        ("\n[jobs.a]\npathes = []", 3, "unknown key `pathes` in `[jobs.a]`", "mean `paths`"),
        ("[repositoriez.a]", 1, "unknown key `repositoriez`", "mean `repositories`"),
        ("[jobs.a]\nonly = [\"sesions\"]", 2, "unknown category `sesions`", "mean `sessions`"),
        ("[jobs.a]\nsecrets = \"encypt\"", 2, "unknown policy `encypt`", "mean `encrypt`"),
        ("[jobs.a]\npaths = 7", 2, "`paths` in `[jobs.a]` must be a list of texts", ""),
        ("[jobs.a]\npaths = [\"work\"]", 2, "the path `work` is not absolute", "`~/`"),
        ("[jobs.a]\nrepositories = []", 2, "a job needs a repository", "leave"),
        ("[jobs.a]\noverdue_after = \"soon\"", 2, "`soon` is no length of time", "`26h`"),
        ("[jobs.a]\nkeep = { }", 2, "this policy keeps nothing", "last = 7"),
        ("[jobs.a]\nkeep = { lest = 1 }", 2, "unknown key `lest` in `[jobs.a.keep]`", "`last`"),
        ("[jobs.a]\nkeep = { last = \"7\" }", 2, "`last`", ""),
        ("[jobs.\"../a\"]", 1, "this name can't be used", "letters"),
        ("jobs = 3", 1, "`jobs` must be tables such as `[jobs.NAME]`", ""),
        ("[jobs]\na = 3", 2, "`jobs.a` must be a table", "`[jobs.a]`"),
        ("repository = \"nsa\"\n[repositories.nas]\nlocation = \"/a\"", 1, "`nsa`", "mean `nas`"),
        ("[jobs.a]\nrepositories = [\"nas\"]", 2, "no repository is called `nas`", "say where"),
        ("[repositories.a]", 1, "the key `location` is missing", ""),
        (
            "[repositories.a]\nlocation = \"/a\"\npassphrase_file = \"/a\"\npassphrase_command = \"b\"",
            1,
            "both say",
            "keep one",
        ),
        ("\na = ]", 2, "", ""),
        ("[jobs.a]\n[jobs.a]", 2, "", ""),
        ("[sync]\nenabled = \"yes\"", 2, "must be true or false", ""),
        ("[search]\nindx = true", 2, "unknown key `indx` in `[search]`", "mean `index`"),
    ] {
        let (error, told_hint) = told(text);
        let place = format!("/c/config.toml:{line}`");
        assert!(error.contains(&place) && error.contains(why), "{text:?}: {error}");
        assert!(told_hint.contains(hint), "{text:?}: {told_hint}");
    }
}

#[test]
fn a_secret_is_refused_with_the_reason_and_never_shown() {
    for text in [
        "[repositories.a]\nlocation = \"/a\"\npassphrase = \"hunter2\"",
        "[repositories.a]\nlocation = \"/a\"\naws_secret_access_key = \"hunter2\"",
        "password = \"hunter2\"",
        "[jobs.a]\ngit-token = \"hunter2\"",
    ] {
        let (error, hint) = told(text);
        assert!(error.contains("would hold a secret"), "{error}");
        assert!(hint.contains("credentials_command"), "{hint}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    // A location with a password in it is refused too, when it is looked at.
    let config = parse("[repositories.a]\nlocation = \"https://me:hunter2@host/x.git\"").unwrap();
    let environment = Environment::given([("HOME", "/h")]);
    let error = config.check(&Catalog::builtin().unwrap(), &environment).unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.to_string().contains("config.toml:2") && !error.to_string().contains("hunter2"));
}

#[test]
fn agents_and_locations_are_checked_against_what_is_known() {
    let catalog = Catalog::builtin().unwrap();
    let environment = Environment::given([("HOME", "/h")]);
    parse(WHOLE).unwrap().check(&catalog, &environment).unwrap();
    for (text, line, why) in [
        ("[agents.cluade-code]", 1, "unknown agent `cluade-code`"),
        ("[jobs.a]\nagents = [\"codx\"]", 2, "unknown agent `codx`"),
        ("[sync]\nagents = [\"x\"]", 2, "unknown agent `x`"),
        ("[repositories.a]\nlocation = \"backups\"", 2, "not absolute"),
        ("[repositories.a]\nlocation = \"sftp:host\"", 2, "does not know stores"),
    ] {
        let error = parse(text).unwrap().check(&catalog, &environment).unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        let told = error.to_string();
        assert!(told.contains(&format!(":{line}`")) && told.contains(why), "{told}");
        assert!(error.hint_text().is_some());
    }
}

#[test]
fn a_job_is_found_by_its_name_and_a_slip_names_the_nearest() {
    let config = parse(WHOLE).unwrap();
    let error = config.job("agnets").unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    assert_eq!(error.hint_text(), Some("did you mean `agents`?"));
}

/// Places in a folder of their own.
fn places(folder: &Path) -> Places {
    let home = folder.to_str().unwrap();
    Places::find(&PlaceOptions::default(), &Environment::given([("HOME", home)])).unwrap()
}

fn write(places: &Places, bytes: &[u8]) {
    std::fs::create_dir_all(&places.config).unwrap();
    std::fs::write(places.config_file(), bytes).unwrap();
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_and_a_missing_one_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let places = places(folder.path());
    assert!(!Config::load(&places).unwrap().exists);
    let why = || {
        let error = Config::load(&places).unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.to_string().contains("config.toml"), "{error}");
        error.to_string()
    };
    write(&places, b"a = 1\nb = \"\xff\"");
    assert!(why().contains("line 2 is not valid UTF-8"));
    std::fs::remove_file(places.config_file()).unwrap();
    std::os::unix::fs::symlink("nowhere", places.config_file()).unwrap();
    assert!(why().contains("leads nowhere"));
    std::fs::remove_file(places.config_file()).unwrap();
    std::fs::create_dir(places.config_file()).unwrap();
    assert!(why().contains("it is a folder"));
    std::fs::remove_dir(places.config_file()).unwrap();
    // 100 MB, of which nothing lies on the disk.
    let file = std::fs::File::create(places.config_file()).unwrap();
    file.set_len(100_000_000).unwrap();
    assert!(why().contains("longer than 1048576 bytes"));
    std::fs::remove_file(places.config_file()).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        places.config_file(),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    assert!(why().contains("it is no file"));
}

#[test]
fn a_change_keeps_comments_and_order_and_closes_the_file_to_others() {
    let folder = tempfile::tempdir().unwrap();
    let places = places(folder.path());
    write(&places, WHOLE.as_bytes());
    let config = change_config(&places, |draft, config| {
        assert_eq!(config.repositories.len(), 2);
        draft.set(&["repositories", "usb", "location"], "/mnt/usb");
        draft.set(&["repositories", "nas", "location"], "s3://bucket/x");
        draft.set_list(&["jobs", "agents", "repositories"], ["usb", "nas"]);
        assert!(draft.remove(&["repositories", "local"]));
        assert!(!draft.remove(&["repositories", "local"]));
        Ok(())
    })
    .unwrap();
    assert_eq!(config.repositories.len(), 2);
    let text = std::fs::read_to_string(places.config_file()).unwrap();
    assert!(text.contains("[repositories.nas] # in the cellar\nlocation = \"s3://bucket/x\"\n"));
    assert!(text.contains("[repositories.usb]\nlocation = \"/mnt/usb\"\n"), "{text}");
    assert!(text.contains("repositories = [\"usb\", \"nas\"]\n"), "{text}");
    assert!(!text.contains("~/backups"));
    let mode = places.config_file().metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(Config::load(&places).unwrap(), config);
}

#[test]
fn a_new_file_begins_with_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let places = places(folder.path());
    change_config(&places, |draft, config| {
        assert!(!config.exists);
        draft.set(&["repository"], "a");
        draft.set(&["repositories", "a", "location"], "/a");
        Ok(())
    })
    .unwrap();
    let text = std::fs::read_to_string(places.config_file()).unwrap();
    assert!(text.starts_with("# The configuration of stash."), "{text}");
    assert!(
        text.ends_with("secret.\n\nrepository = \"a\"\n\n[repositories.a]\nlocation = \"/a\"\n"),
        "{text}"
    );
}

#[test]
fn a_policy_is_written_as_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let places = places(folder.path());
    let within = [(Period::Last, "2mo"), (Period::Weekly, "1y")];
    let within = within.map(|(period, text)| (period, Within::parse(text).unwrap()));
    let policies = [
        Policy::for_agents(),
        Policy {
            counts: vec![(Period::Yearly, Count::Unlimited)],
            within: within.to_vec(),
            tags: vec![vec!["a".to_owned(), "b".to_owned()], vec!["c".to_owned()]],
        },
    ];
    for policy in policies {
        let config = change_config(&places, |draft, _| {
            draft.set_policy("agents", &policy);
            Ok(())
        })
        .unwrap();
        assert_eq!(config.job("agents").unwrap().keep.as_ref().unwrap().value, policy);
    }
    change_config(&places, |draft, _| {
        draft.set_policy("agents", &Policy::for_agents());
        Ok(())
    })
    .unwrap();
    let text = std::fs::read_to_string(places.config_file()).unwrap();
    let line = "keep = { last = 7, daily = 30, weekly = 12, monthly = 6 }\n";
    assert!(text.contains(&format!("[jobs.agents]\n{line}")), "{text}");
}

#[test]
fn a_change_that_would_break_it_or_comes_too_late_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let places = places(folder.path());
    write(&places, WHOLE.as_bytes());
    let error = change_config(&places, |draft, _| {
        draft.set(&["repository"], "none");
        Ok(())
    });
    assert_eq!(error.unwrap_err().kind(), Kind::Config);
    let (text, old) = edit_config(&places).unwrap();
    write(&places, b"# changed meanwhile\n");
    let error = replace_config(&places, old.as_deref(), &text).unwrap_err();
    assert_eq!(error.kind(), Kind::Busy);
    let text = std::fs::read_to_string(places.config_file()).unwrap();
    assert_eq!(text, "# changed meanwhile\n");
}

#[test]
fn a_link_stays_and_what_it_leads_to_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let places = places(folder.path());
    std::fs::create_dir_all(&places.config).unwrap();
    let dotfiles = folder.path().join("dotfiles");
    std::fs::create_dir(&dotfiles).unwrap();
    std::fs::write(dotfiles.join("stash.toml"), "# mine\n").unwrap();
    std::os::unix::fs::symlink("../../dotfiles/stash.toml", places.config_file()).unwrap();
    change_config(&places, |draft, _| {
        draft.set(&["sync", "enabled"], true);
        Ok(())
    })
    .unwrap();
    assert!(places.config_file().symlink_metadata().unwrap().is_symlink());
    let text = std::fs::read_to_string(dotfiles.join("stash.toml")).unwrap();
    assert_eq!(text, "# mine\n\n[sync]\nenabled = true\n");
    assert_eq!(std::fs::read_dir(&dotfiles).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn the_repository_is_the_flags_the_variables_or_the_configurations() {
    let config = parse(WHOLE).unwrap();
    let folder = Path::new("/h");
    let choose = |option: Option<&str>, variable: Option<&str>, config: &Config| {
        let pairs = [Some(("HOME", "/h")), variable.map(|it| ("STASH_REPOSITORY", it))];
        let environment = Environment::given(pairs.into_iter().flatten());
        let options =
            LocationOptions { location: option.map(Into::into), ..LocationOptions::default() };
        let settings = config.settings(&options, &environment, &places(folder)).unwrap();
        let first = settings.into_iter().next().unwrap();
        (first.value.as_str().unwrap().to_owned(), first.source)
    };
    let said = |value: &str, source: &str| (value.to_owned(), source.to_owned());
    assert_eq!(choose(Some("/a"), Some("/b"), &config), said("/a", "--repo"));
    assert_eq!(choose(None, Some("/b"), &config), said("/b", "STASH_REPOSITORY"));
    assert_eq!(choose(Some("local"), None, &config), said("/h/backups", "--repo"));
    let (_, source) = choose(None, None, &config);
    assert_eq!(source, "config.toml:9");
    let first = parse(&WHOLE.replace("repository = \"nas\"\n", "")).unwrap();
    assert_eq!(choose(None, None, &first), said("/h/backups", "config.toml:4"));
    let none = said("/h/.local/share/stash/repository", "default");
    assert_eq!(choose(None, None, &Config::default()), none);
}

#[test]
fn what_holds_is_told_with_who_said_so() {
    let config = parse(WHOLE).unwrap();
    let environment = Environment::given([("HOME", "/h"), ("STASH_SECRETS", "encrypt")]);
    let settings = config
        .settings(&LocationOptions::default(), &environment, &places(Path::new("/h")))
        .unwrap();
    let find = |key: &str| {
        let found = settings.iter().find(|it| it.key == key);
        found.map(|it| (it.value.to_string(), it.source.clone()))
    };
    let said = |value: &str, source: &str| Some((value.to_owned(), source.to_owned()));
    assert_eq!(find("jobs.agents.secrets"), said("\"encrypt\"", "STASH_SECRETS"));
    assert_eq!(find("jobs.rest.repositories"), said("[\"nas\"]", "default"));
    assert_eq!(find("jobs.agents.paths"), said("[\"~/notes\",\"/etc/hosts\"]", "config.toml:22"));
    assert_eq!(find("sync.enabled"), said("true", "config.toml:44"));
    assert_eq!(find("search.index"), said("false", "config.toml:50"));
}
