//! The same commands over an S3 server on this computer, as it is and 50 ms slower: stash beside
//! restic and rustic, where they are installed, and beside stash on a local folder.

use std::fmt::Write as _;
use std::time::Duration;

use crate::Bench;
use crate::common_s3::{Behaviour, KEY, Request, Server, round_trips};
use crate::data::Writer;
use crate::measure::{Measured, run};

/// A tool's commands. `HERE` stands for a name of the round's own.
struct Tool {
    name: &'static str,
    init: String,
    backup: String,
    restore: String,
}

/// What one command came to.
struct Figures {
    measured: Measured,
    requests: Vec<Request>,
}

const STEPS: [&str; 4] =
    ["first backup", "nothing changed", "one line appended", "restore of everything"];

/// Returns the section's text.
pub fn remote(bench: &Bench, writer: &mut Writer) -> String {
    let folder = bench.folder.as_path();
    let source = folder.join("source");
    std::fs::create_dir_all(&source).expect("a folder");
    let files = ((5000.0 * bench.scale) as usize).max(10);
    let bytes = (200e6 * bench.scale) as u64;
    writer.tree(&source.join("tree"), files, bytes).expect("the tree can be written");
    writer.database(&source.join("small.db"), bytes).expect("the database can be written");
    let mut text = format!(
        "A tree of {files} files and {:.0} MB, and a database of as much. An S3 server on this \
         computer, written for tests: it keeps what it gets in memory, and takes processor time \
         from the tools. Each round in a new repository; round trips are requests that came one \
         after the other.",
        bytes as f64 / 1e6
    );
    for latency in [0, 50] {
        let _ = write!(text, "\n\nLatency added to each answer: {latency} ms.\n\n");
        text += &table(bench, Duration::from_millis(latency));
    }
    let _gone = std::fs::remove_dir_all(source);
    text
}

fn table(bench: &Bench, latency: Duration) -> String {
    let mut results: Vec<Vec<Vec<Figures>>> = Vec::new();
    let mut names = Vec::new();
    for round in 0..bench.rounds {
        for (place, tool) in tools(bench).enumerate() {
            let server = Server::start(Behaviour { page: 1000, latency, ..Behaviour::default() });
            if round == 0 {
                names.push(tool.name);
                results.push(STEPS.iter().map(|_| Vec::new()).collect());
            }
            for (step, figures) in one_round(bench, &tool, &server).into_iter().enumerate() {
                results[place][step].push(figures);
            }
        }
    }
    let mut text = String::from(
        "| what | tool | seconds | to the local one | round trips | PUT | GET | LIST | other | \
         sent MB | got MB | peak MiB |\n|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for (step, what) in STEPS.iter().enumerate() {
        let best = |place: usize| {
            let runs = &results[place][step];
            runs.iter().min_by(|a, b| a.measured.wall.total_cmp(&b.measured.wall)).expect("a run")
        };
        let local = best(0).measured.wall;
        for (place, name) in names.iter().enumerate() {
            let what = if place == 0 { what } else { "" };
            text += &row(what, name, best(place), local);
        }
    }
    text
}

fn row(what: &str, name: &str, figures: &Figures, local: f64) -> String {
    let Figures { measured, requests } = figures;
    let is =
        |method: &str| requests.iter().filter(|it| it.method == method && !it.is_list()).count();
    let (put, get) = (is("PUT"), is("GET"));
    let list = requests.iter().filter(|request| request.is_list()).count();
    let sent: usize = requests.iter().map(|request| request.length).sum();
    let got: usize = requests.iter().filter_map(|it| it.answer.get()).map(|answer| answer.1).sum();
    format!(
        "| {what} | {name} | {:.2} | {:.2} | {} | {put} | {get} | {list} | {} | {:.1} | {:.1} | {:.0} |\n",
        measured.wall,
        measured.wall / local,
        round_trips(requests),
        requests.len() - put - get - list,
        sent as f64 / 1e6,
        got as f64 / 1e6,
        measured.memory,
    )
}

fn one_round(bench: &Bench, tool: &Tool, server: &Server) -> Vec<Figures> {
    let folder = bench.folder.as_path();
    let environment = format!(
        "export AWS_ACCESS_KEY_ID={KEY} AWS_SECRET_ACCESS_KEY=x AWS_REGION=us-east-1 \
         AWS_DEFAULT_REGION=us-east-1 RESTIC_PASSWORD=x RUSTIC_PASSWORD=x HOME={0}/r-home \
         XDG_CACHE_HOME={0}/r-home/cache END={1}; ",
        folder.display(),
        server.endpoint()
    );
    run(folder, "rm -rf r-home r-local && mkdir r-home");
    run(folder, &format!("{environment}{}", tool.init));
    let mut figures = Vec::new();
    for step in 0..STEPS.len() {
        let mut command = tool.backup.clone();
        match step {
            2 => run(
                folder,
                "echo '{\"one\":\"line\"}' >> $(find source/tree -name '*.jsonl' | sort | tail -1)",
            ),
            3 => {
                command.clone_from(&tool.restore);
                run(folder, "rm -rf r-out && mkdir r-out")
            }
            _ => run(folder, "true"),
        };
        let _before = server.take();
        let measured = run(folder, &format!("{environment}exec {command}"));
        figures.push(Figures { measured, requests: server.take() });
    }
    run(folder, "rm -rf r-out");
    figures
}

fn tools(bench: &Bench) -> impl Iterator<Item = Tool> + '_ {
    let binary = env!("CARGO_BIN_EXE_stash");
    let stash = |name: &'static str, place: &str| Tool {
        name,
        init: format!("{binary} -q -r {place} init"),
        backup: format!("{binary} -q -r {place} backup source"),
        restore: format!("{binary} -q -r {place} restore latest --target r-out"),
    };
    let restic = Tool {
        name: "restic",
        init: "restic -q -r s3:$END/bucket/restic init".into(),
        backup: "restic -q -r s3:$END/bucket/restic backup source".into(),
        restore: "restic -q -r s3:$END/bucket/restic restore latest --target r-out".into(),
    };
    let options =
        "-r opendal:s3 -o bucket=bucket -o root=/rustic -o region=us-east-1 -o endpoint=$END";
    let rustic = Tool {
        name: "rustic",
        init: format!("rustic {options} init"),
        backup: format!("rustic {options} backup source"),
        restore: format!("rustic {options} restore latest r-out"),
    };
    let all = [
        (true, stash("stash, local folder", "r-local")),
        (true, stash("stash", "minio:$END/bucket/stash")),
        (bench.tools.restic, restic),
        (bench.tools.rustic, rustic),
    ];
    all.into_iter().filter(|(is_there, _)| *is_there).map(|(_, tool)| tool)
}
