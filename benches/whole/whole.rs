//! Whole runs: first backups, unchanged ones, restores, checks; a database and a tree of transcripts.

use crate::Bench;
use crate::data::Writer;
use crate::measure::{folder_bytes, run};
use crate::race::{Contender, contender, race, table};

/// Returns the section's text.
pub fn whole(bench: &Bench, writer: &mut Writer) -> String {
    let folder = bench.folder.as_path();
    let tools = &bench.tools;
    let (tree, files) = bench.tree(writer);
    let bytes = ((1_u64 << 30) as f64 * bench.scale) as u64;
    writer.database(&folder.join("big.db"), bytes).expect("the database can be written");
    let with_environment = |list: Vec<Contender>| -> Vec<Contender> {
        list.into_iter()
            .map(|mut contender| {
                contender.command = bench.with_environment(&contender.command);
                if !contender.before.is_empty() {
                    contender.before = bench.with_environment(&contender.before);
                }
                contender
            })
            .collect()
    };
    let mut rows = Vec::new();
    let mut add = |name: &str, list: Vec<Contender>| {
        rows.push(race(folder, name, bench.rounds, &with_environment(list)));
    };
    let stash = tools.stash.clone();
    let floor = contender("zstd -3 -T2", "", "exec zstd -3 -T2 -q -f -o floor.zst big.db")
        .storing(folder.join("floor.zst"));
    add("first backup, 1 GiB database", tools.first_backup(folder, "big.db", floor));
    let floor = contender("cat", "", "exec cat big.db");
    add("nothing changed, database", tools.unchanged("big.db", Some(floor)));
    let floor = contender("tar, zstd -3 -T2", "", "tar cf - tree | zstd -3 -T2 -q -f -o floor.zst")
        .storing(folder.join("floor.zst"));
    add("first backup, 23,000 files", tools.first_backup(folder, "tree", floor));
    let floor = contender("find -size", "", "exec find tree -size +1");
    add("nothing changed, 23,000 files", tools.unchanged("tree", Some(floor)));
    run(folder, &bench.with_environment(&format!("{stash} backup big.db tree")));
    for (is_there, command) in [
        (tools.restic, "restic -q backup big.db tree"),
        (tools.borg, "borg create ::all big.db tree"),
        (tools.rustic, "rustic backup big.db tree"),
    ] {
        if is_there {
            run(folder, &bench.with_environment(command));
        }
    }
    let clear = "rm -rf out && mkdir out";
    let mut list = vec![contender("cp -a", clear, "exec cp -a big.db tree out")];
    list.extend(tools.simple([
        ("stash", clear, format!("exec {stash} restore latest --target out")),
        ("restic", clear, "exec restic -q restore latest --target out".to_owned()),
        ("borg", clear, "cd out && exec borg extract ::all".to_owned()),
        ("rustic", clear, "exec rustic restore latest out".to_owned()),
    ]));
    add("restore of everything", list);
    let list = tools.simple([
        ("stash", "", format!("exec {stash} check --read-data")),
        ("restic", "", "exec restic -q check --read-data".to_owned()),
        ("borg", "", "exec borg check --verify-data".to_owned()),
        ("rustic", "", "exec rustic check --read-data".to_owned()),
    ]);
    add("check of all data", list);
    let text = format!(
        "Database {:.0} MB; tree {:.0} MB in {files} files.\n\n{}",
        folder_bytes(&folder.join("big.db")) as f64 / 1e6,
        folder_bytes(&tree) as f64 / 1e6,
        table(&rows),
    );
    for name in ["big.db", "floor.zst", "out", "s-repo", "r-repo", "b-repo", "u-repo"] {
        let path = folder.join(name);
        let _gone = std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir_all(&path));
    }
    text
}
