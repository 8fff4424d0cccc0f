//! Definitions that are refused: each error names file and line, and the nearest known name.

use std::path::PathBuf;

use stash::agents::{Agent, Catalog, Evidence, Origin};
use stash::error::{Error, Kind};

const GOOD: &str = r#"id = "mine"
name = "Mine"
programs = ["mine"]

[[roots]]
label = "main"
kind = "folder"
places = ["{home}/.mine"]
detects = true

[[files]]
root = "main"
globs = ["talks/*.jsonl"]
category = "sessions"
"#;

fn load(text: &str) -> Result<Catalog, Error> {
    Catalog::with_user_files(vec![(PathBuf::from("/c/mine.toml"), text.to_owned())])
}

/// Checks that `text` is refused at a line, with words of the reason and of the hint.
#[track_caller]
fn refused(text: &str, line: usize, reason: &str, hint: &str) {
    let error = load(text).map(|_| ()).unwrap_err();
    let said = error.to_string();
    assert_eq!(error.kind(), Kind::Config, "{said}");
    let place = format!("cannot use the agent definition `/c/mine.toml:{line}`: ");
    assert!(said.starts_with(&place), "{said}\nnot at line {line}");
    assert!(said.contains(reason), "{said}\ndoes not say {reason}");
    let told = error.hint_text().unwrap_or_default();
    assert!(told.contains(hint), "{said}\nhint: {told}\ndoes not say {hint}");
    assert!(!said.contains('\n') && !said.ends_with('.'), "{said}");
}

/// The good definition with one piece replaced.
fn with(piece: &str, other: &str) -> String {
    assert!(GOOD.contains(piece), "{piece}");
    GOOD.replacen(piece, other, 1)
}

/// The good definition with something appended: it begins at line 15.
fn and(more: &str) -> String {
    format!("{GOOD}{more}\n")
}

fn mine(catalog: &Catalog) -> &Agent {
    catalog.find("mine").unwrap()
}

#[test]
fn a_good_definition_is_taken_and_lacks_nothing() {
    let catalog = load(GOOD).unwrap();
    assert_eq!(catalog.agents().len(), Catalog::builtin().unwrap().agents().len() + 1);
    assert_eq!(mine(&catalog).origin, Origin::File("/c/mine.toml".into()));
    assert_eq!(mine(&catalog).rules[0].basis.evidence, Evidence::Unverified);
}

#[test]
fn a_definition_of_a_known_id_takes_its_place() {
    let text = with("id = \"mine\"", "id = \"aider\"");
    let catalog = load(&text).unwrap();
    assert_eq!(catalog.find("aider").unwrap().name, "Mine");
    assert_eq!(catalog.agents().len(), Catalog::builtin().unwrap().agents().len());
    let place = |catalog: &Catalog| catalog.agents().iter().position(|it| it.id == "aider");
    assert_eq!(place(&catalog), place(&Catalog::builtin().unwrap()));
}

#[test]
fn two_files_of_the_user_may_not_define_one_agent_nor_take_a_name() {
    let file = |name: &str, text: &str| (PathBuf::from(name), text.to_owned());
    let error = Catalog::with_user_files(vec![file("/c/a.toml", GOOD), file("/c/b.toml", GOOD)]);
    let said = error.unwrap_err().to_string();
    assert!(said.contains("/c/b.toml:1") && said.contains("`mine`"), "{said}");
    let text = with("programs", "aliases = [\"claude\"]\nprograms");
    refused(&text, 3, "`claude` belongs to the agent `claude-code`", "a name of its own");
}

#[test]
fn what_is_no_toml_is_refused_at_its_line() {
    refused(&with("name = \"Mine\"", "name = \"Mine"), 2, "", "");
    refused(&and("[[files"), 15, "", "");
    refused(&with("name = \"Mine\"", "name = \"Mine\"\nname = \"Yours\""), 3, "duplicate", "");
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest() {
    refused(&with("name =", "naem ="), 2, "unknown key `naem`", "did you mean `name`?");
    refused(&with("places =", "place ="), 8, "`place` in `[[roots]]`", "did you mean `places`?");
    refused(&with("category", "catgory"), 14, "`[[files]]`", "did you mean `category`?");
    refused(&and("[session]\nshape = \"x\""), 15, "`session`", "did you mean `sessions`?");
    refused(&and("[retention]\ndelets = true"), 16, "`[retention]`", "did you mean `deletes`?");
    refused(&with("programs", "banana = 1\nprograms"), 3, "`banana`", "known are id, name");
    let variables = "variables = [{ nam = \"X\" }]\ndetects";
    refused(&with("detects", variables), 9, "`nam`", "did you mean `name`?");
}

#[test]
fn an_unknown_word_is_refused_with_the_nearest() {
    let category = with("\"sessions\"", "\"sesions\"");
    refused(&category, 14, "unknown category `sesions`", "did you mean `sessions`?");
    let kind = with("\"folder\"", "\"foldr\"");
    refused(&kind, 7, "unknown kind `foldr`", "did you mean `folder`?");
    let evidence = and("evidence = \"secondhand\"");
    refused(&evidence, 15, "unknown evidence", "did you mean `second-hand`?");
    let shape = and("[[sessions]]\nshape = \"claude-json\"\nroot = \"main\"\nglobs = [\"x\"]");
    refused(&shape, 16, "unknown session shape", "did you mean `claude-jsonl`?");
    let running = and("[[running]]\nkind = \"pidfile\"");
    refused(&running, 16, "unknown running check", "did you mean `pid-file`?");
    let merge = and("merge = \"jsn\"");
    refused(&merge, 15, "unknown merge format", "did you mean `json`?");
}

#[test]
fn a_root_that_is_not_declared_is_refused_with_the_nearest() {
    let root = with("root = \"main\"", "root = \"mian\"");
    refused(&root, 12, "unknown root `mian`", "did you mean `main`?");
    let store = and("[[sessions]]\nshape = \"opaque\"\nroot = \"data\"\nglobs = [\"x\"]");
    refused(&store, 17, "unknown root `data`", "known are main, project");
    let hook = "[[hooks]]\nroot = \"min\"\nfile = \"x\"\nformat = \"claude-settings\"\npayload = \"stdin\"";
    refused(&and(hook), 16, "unknown root `min`", "did you mean `main`?");
}

#[test]
fn a_label_that_is_there_twice_or_could_be_taken_for_another_is_refused() {
    let root = |label: &str| {
        format!("[[roots]]\nlabel = \"{label}\"\nkind = \"folder\"\nplaces = [\"{{home}}/x\"]")
    };
    refused(&and(&root("main")), 16, "the label `main` is there twice", "");
    refused(&and(&root("main-2")), 16, "begin alike", "`main-2`");
    refused(&and(&root("project")), 16, "projects", "another label");
    refused(&and(&root("Main")), 16, "`Main` is no name for `label`", "lower case");
}

#[test]
fn a_bad_pattern_is_refused() {
    for (glob, reason) in [
        ("/etc/passwd", "absolute"),
        ("C:/x", "absolute"),
        ("../x", "`..`"),
        ("a/../../b", "`..`"),
        ("{a", "can't be read"),
        ("a[", "can't be read"),
        ("a/", "ends with `/`"),
        ("~/x", "home"),
        ("a**", "alone"),
        ("", "empty"),
    ] {
        refused(&with("talks/*.jsonl", glob), 13, reason, "");
    }
    refused(&with("talks/*.jsonl", "a\\\\b"), 13, "`/`", "");
    let two = "[[files]]\nroot = \"main\"\nglobs = [\"talks/*.jsonl\"]\ncategory = \"other\"";
    refused(&and(two), 15, "is there twice for `main`", "no effect");
}

#[test]
fn a_bad_place_is_refused() {
    let place = |text: &str| with("{home}/.mine", text);
    refused(&place("{hme}/.mine"), 8, "unknown placeholder `{hme}`", "did you mean `{home}`?");
    refused(&place("~/.mine"), 8, "must begin with a placeholder", "");
    refused(&place("{home}/../other"), 8, "`..`", "");
    refused(&with("places = [\"{home}/.mine\"]", ""), 5, "a root needs a place", "places");
    refused(&with("places = [\"{home}/.mine\"]", "places = 5"), 8, "a list of texts", "");
}

#[test]
fn what_is_missing_or_of_another_type_is_refused() {
    refused(&with("id = \"mine\"", ""), 1, "the key `id` is missing", "");
    refused(&with("id = \"mine\"", "id = \"\""), 1, "the key `id` is missing", "");
    refused(&with("id = \"mine\"", "id = \"My Agent\""), 1, "`My Agent` is no name", "lower case");
    refused(&with("category = \"sessions\"", ""), 11, "`category` is missing in `[[files]]`", "");
    refused(&with("root = \"main\"\n", ""), 11, "`root` is missing", "");
    refused(
        &with("globs = [\"talks/*.jsonl\"]", ""),
        11,
        "there are no `globs`",
        "`globs = [\"**\"]`",
    );
    refused(&with("detects = true", "detects = \"yes\""), 9, "true or false", "");
    refused(&with("programs = [\"mine\"]", "programs = [1]"), 3, "a list of texts", "");
    refused(&and("mixed_secrets = 1"), 15, "true or false", "");
    refused(&and("merge_key = \"id\""), 15, "without `merge`", "");
    refused(&and("[files2]"), 15, "unknown key", "did you mean `files`?");
    refused("id = \"a\"\nname = \"A\"\n", 1, "no root", "`[[roots]]`");
    let file = with("\"folder\"", "\"file\"");
    refused(&file, 13, "is a file and takes no `globs`", "");
}

#[test]
fn what_is_said_beside_the_files_is_checked_too() {
    let port =
        |address: &str| and(&format!("[[running]]\nkind = \"port\"\naddress = \"{address}\""));
    assert!(load(&port("127.0.0.1:80")).is_ok());
    refused(&port("example.com:80"), 17, "no address of this machine", "127.0.0.1");
    refused(&port("10.0.0.1:80"), 17, "no address of this machine", "127.0.0.1");
    refused(&and("[[running]]\nkind = \"port\""), 15, "`address` is missing", "");
    let pid = "[[running]]\nkind = \"pid-file\"\nroot = \"main\"\nglobs = [\"run/*\"]";
    refused(&and(pid), 15, "`pid` is missing", "");
    refused(&and("[retention]\ndays = 3"), 15, "`deletes` is missing", "");
    refused(&and("[retention]\ndeletes = true\ndays = \"3\""), 17, "a whole number", "");
    refused(&and("[restore]\nalso = \"x\""), 15, "`placement` is missing", "");
    let project = with("root = \"main\"\n", "root = \"project\"\n");
    refused(&project, 12, "need to be found", "`[projects]`");
    let relative = "variables = [{ name = \"X\", relative = \"mai\" }]\ndetects";
    refused(&with("detects", relative), 9, "unknown root `mai`", "project");
    let separator = "variables = [{ name = \"X\", separator = \"\" }]\ndetects";
    refused(&with("detects", separator), 9, "can't be empty", "");
}

#[test]
fn a_misspelt_agent_is_an_error_of_use_with_the_nearest() {
    let catalog = Catalog::builtin().unwrap();
    let error = catalog.find("claud-code").unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    assert_eq!(error.to_string(), "unknown agent `claud-code`");
    assert_eq!(error.hint_text(), Some("did you mean `claude-code`?"));
    let far = catalog.find("banana").unwrap_err();
    assert!(far.hint_text().unwrap().starts_with("known are claude-code, opencode"));
}

#[test]
fn whatever_a_file_holds_nothing_panics() {
    let mut random = fastrand::Rng::with_seed(5);
    let text = include_str!("../../src/agents/catalog/opencode.toml");
    for _ in 0..300 {
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..random.usize(1..4) {
            let place = random.usize(0..bytes.len());
            match random.u8(0..3) {
                0 => bytes[place] = random.u8(..),
                1 => drop(bytes.drain(place..(place + 20).min(bytes.len()))),
                _ => bytes.insert(place, *random.choice(b"[]{}\"=.\n*").unwrap()),
            }
        }
        if let Err(error) = load(&String::from_utf8_lossy(&bytes)) {
            assert!(error.to_string().contains("/c/mine.toml"), "{error}");
        }
    }
}
