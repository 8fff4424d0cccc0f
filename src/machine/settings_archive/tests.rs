//! What is refused, and what comes back.

use super::*;

fn file(below: &str, content: SettingsContent) -> SettingsFile {
    SettingsFile {
        agent: "claude-code".to_owned(),
        label: "main".to_owned(),
        below: below.as_bytes().to_vec(),
        content,
        mode: 0o640,
        mtime: 5,
    }
}

fn bytes(text: &str) -> SettingsContent {
    SettingsContent::Bytes(text.as_bytes().to_vec())
}

#[test]
fn what_is_written_is_read() {
    let long = format!("skills/{}/SKILL.md", "x".repeat(180));
    let files = vec![
        file("settings.json", bytes("{}")),
        file(&long, bytes("y")),
        file("skills/link", SettingsContent::Link(b"../CLAUDE.md".to_vec())),
        SettingsFile { label: "state".to_owned(), ..file("", bytes("{}")) },
    ];
    let manifest = SettingsManifest::new("h", "t".to_owned(), vec!["claude-code".to_owned()]);
    let archive = write_settings(&manifest, &files).unwrap();
    let (read, found) = read_settings(&archive).unwrap();
    assert_eq!(read, Some(manifest));
    assert_eq!(found, files);
}

/// Name, kind, and content or target of an entry.
type Made<'a> = (&'a str, tar::EntryType, &'a str);

/// Makes an archive by hand, as an attacker would.
fn archive(entries: &[Made<'_>]) -> Vec<u8> {
    let packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let mut archive = tar::Builder::new(packer);
    let manifest = serde_json::to_string(&SettingsManifest::new("h", String::new(), Vec::new()));
    let whole = [("stash-config.json", tar::EntryType::Regular, manifest.unwrap())];
    let others = entries.iter().map(|(name, kind, text)| (*name, *kind, (*text).to_owned()));
    for (name, kind, text) in whole.into_iter().chain(others) {
        let mut header = tar::Header::new_old();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o644);
        let is_file = kind == tar::EntryType::Regular;
        header.set_size(if is_file { text.len() as u64 } else { 0 });
        if !is_file {
            header.as_old_mut().linkname[..text.len()].copy_from_slice(text.as_bytes());
        }
        header.set_cksum();
        archive.append(&header, if is_file { text.as_bytes() } else { &[] }).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

#[test]
fn hostile_archives_are_refused() {
    use tar::EntryType::{Link, Regular, Symlink};
    let table: &[(&str, &[Made<'_>])] = &[
        ("leads out", &[("claude-code/main/../../../x", Regular, "x")]),
        ("absolute", &[("/etc/x", Regular, "x")]),
        ("link leads out", &[("claude-code/main/skills/x", Symlink, "/etc")]),
        ("link leads out", &[("claude-code/main/skills/x", Symlink, "../../x")]),
        ("neither file", &[("claude-code/main/x", Link, "y")]),
        ("credentials", &[("claude-code/main/.credentials.json", Regular, "{}")]),
        ("credentials", &[("claude-code/main/skills/a/.encryption_key", Regular, "{}")]),
        ("twice", &[("claude-code/main/x", Regular, "1"), ("claude-code/./main/x", Regular, "2")]),
        (
            "below a link",
            &[("claude-code/main/s", Symlink, "t"), ("claude-code/main/s/x", Regular, "")],
        ),
        ("not below", &[("claude-code", Regular, "x")]),
    ];
    for (why, entries) in table {
        let error = read_settings(&archive(entries)).unwrap_err().to_string();
        assert!(error.contains(why), "{why}: {error}");
    }
    assert!(read_settings(b"no archive").is_err());
    assert!(read_settings(&[]).is_err());
}

#[test]
fn an_archive_that_unpacks_without_end_is_refused() {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let zeros = vec![0_u8; 1 << 20];
    for _ in 0..=(LONGEST_ALL >> 20) {
        std::io::Write::write_all(&mut packer, &zeros).unwrap();
    }
    let error = read_settings(&packer.finish().unwrap()).unwrap_err().to_string();
    assert!(error.contains("longer than any"), "{error}");
}
