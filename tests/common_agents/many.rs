//! Many sessions of five agents, with words drawn by lot.

use std::fmt::Write as _;
use std::io::Write as _;

use super::Home;

/// How many sessions, and how long.
#[derive(Debug, Clone, Copy)]
pub struct Many {
    /// Sessions.
    pub sessions: usize,
    /// Turns of each.
    pub turns: usize,
    /// Words of each turn.
    pub words: usize,
    /// Another seed, other sessions.
    pub seed: u64,
}

/// The first moment of the first session, in seconds.
const START: u64 = 1_793_600_000;
/// Words that there are; low ones are frequent.
const VOCABULARY: usize = 40_000;

/// Returns words in sentences. The word `common` is in about half of all texts, `w0` in nearly all.
pub fn words(lot: &mut fastrand::Rng, count: usize) -> String {
    let mut text = String::with_capacity(count * 7);
    if lot.bool() {
        text.push_str("common ");
    }
    for place in 0..count {
        let share = lot.f64();
        let number = (share * share * share * VOCABULARY as f64) as usize;
        let end = if place % 12 == 11 { ".\n" } else { " " };
        let _ = write!(text, "w{number}{end}");
    }
    text
}

impl Home {
    /// Sessions of Claude Code, Codex, Gemini CLI, Copilot and `OpenCode` in turn, an hour apart. The
    /// number of each is the word `session17`.
    pub fn many(self, many: Many) -> Home {
        let mut lot = fastrand::Rng::with_seed(many.seed);
        let cwd = self.project().to_str().unwrap().to_owned();
        let slug = self.slug();
        let mut opencode = None;
        for number in 0..many.sessions {
            let begun = START + number as u64 * 3600;
            let id = format!("{:08x}-0000-4000-8000-{number:012x}", lot.u32(..));
            let mut turns = Vec::new();
            for turn in 0..many.turns {
                let first = if turn == 0 { format!("session{number} ") } else { String::new() };
                turns.push((
                    begun + turn as u64 * 10,
                    format!("{first}{}", words(&mut lot, many.words)),
                ));
            }
            match number % 5 {
                0 => self.claude_lines(&slug, &cwd, &id, &turns),
                1 => self.codex_lines(&cwd, &id, &turns),
                2 => self.gemini_lines(&id, &turns),
                3 => self.copilot_lines(&cwd, &id, &turns),
                _ => {
                    let database = opencode.get_or_insert_with(|| self.opencode_database(&cwd));
                    opencode_rows(database, &cwd, &id, &turns);
                }
            }
        }
        if let Some(database) = opencode {
            database.execute_batch("COMMIT").unwrap();
        }
        self
    }

    fn lines(&self, relative: &str, lines: impl Iterator<Item = serde_json::Value>) {
        let path = self.folder().join(relative);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
        for line in lines {
            writeln!(file, "{line}").unwrap();
        }
    }

    fn claude_lines(&self, slug: &str, cwd: &str, id: &str, turns: &[(u64, String)]) {
        let lines = turns.iter().enumerate().map(|(place, (at, text))| {
            let kind = who(place);
            let message = if place % 2 == 0 {
                serde_json::json!({"role": kind, "content": text})
            } else {
                serde_json::json!({"id": format!("msg_{place}"), "role": kind, "model": "example",
                    "content": [{"type": "text", "text": text}]})
            };
            serde_json::json!({"type": kind, "uuid": format!("{id}-{place}"), "sessionId": id, "cwd": cwd,
                "isSidechain": false, "timestamp": time(*at), "message": message})
        });
        self.lines(&format!(".claude/projects/{slug}/{id}.jsonl"), lines);
    }

    fn codex_lines(&self, cwd: &str, id: &str, turns: &[(u64, String)]) {
        let head = serde_json::json!({"timestamp": time(turns[0].0), "type": "session_meta",
            "payload": {"id": id, "timestamp": time(turns[0].0), "cwd": cwd}});
        let lines = turns.iter().enumerate().map(|(place, (at, text))| {
            let kind = if place % 2 == 0 { "input_text" } else { "output_text" };
            serde_json::json!({"timestamp": time(*at), "type": "response_item", "payload":
                {"type": "message", "role": who(place), "content": [{"type": kind, "text": text}]}})
        });
        let name = format!(".codex/sessions/2026/11/03/rollout-2026-11-03T10-00-00-{id}.jsonl");
        self.lines(&name, std::iter::once(head).chain(lines));
    }

    fn gemini_lines(&self, id: &str, turns: &[(u64, String)]) {
        let head = serde_json::json!({"sessionId": id, "projectHash": "4c1d", "kind": "main",
            "startTime": time(turns[0].0), "lastUpdated": time(turns[0].0)});
        let lines = turns.iter().enumerate().map(|(place, (at, text))| {
            let id = format!("m{place}");
            if place % 2 == 0 {
                serde_json::json!({"id": id, "timestamp": time(*at), "type": "user",
                    "content": [{"text": text}]})
            } else {
                serde_json::json!({"id": id, "timestamp": time(*at), "type": "gemini",
                    "content": text, "thoughts": [], "toolCalls": []})
            }
        });
        let name = format!(".gemini/tmp/shop/chats/session-2026-11-04T08-00-{id}.jsonl");
        self.lines(&name, std::iter::once(head).chain(lines));
    }

    fn copilot_lines(&self, cwd: &str, id: &str, turns: &[(u64, String)]) {
        let head = serde_json::json!({"type": "session.start", "id": "e", "parentId": null,
            "timestamp": time(turns[0].0), "data": {"sessionId": id, "version": 1,
            "startTime": time(turns[0].0), "context": {"cwd": cwd}}});
        let lines = turns.iter().enumerate().map(|(place, (at, text))| {
            let kind = format!("{}.message", who(place));
            serde_json::json!({"type": kind, "data": {"content": text}, "id": format!("e{place}"),
                "timestamp": time(*at), "parentId": null})
        });
        let name = format!(".copilot/session-state/{id}/events.jsonl");
        self.lines(&name, std::iter::once(head).chain(lines));
    }

    fn opencode_database(&self, cwd: &str) -> rusqlite::Connection {
        let folder = self.folder().join(".local/share/opencode");
        std::fs::create_dir_all(&folder).unwrap();
        let database = rusqlite::Connection::open(folder.join("opencode.db")).unwrap();
        database.execute_batch(super::databases::OPENCODE_SCHEMA).unwrap();
        database.execute_batch("BEGIN").unwrap();
        database.execute("INSERT INTO project VALUES('p',?1,'git',NULL,1,1,'[]')", [cwd]).unwrap();
        database
    }
}

fn opencode_rows(database: &rusqlite::Connection, cwd: &str, id: &str, turns: &[(u64, String)]) {
    let (first, last) = (turns[0].0 * 1000, turns[turns.len() - 1].0 * 1000);
    let id = format!("ses_{id}");
    database
        .execute(
            "INSERT INTO session(id,project_id,slug,directory,title,version,time_created,time_updated)
             VALUES(?1,'p','s',?2,'',1,?3,?4)",
            (&id, cwd, first, last),
        )
        .unwrap();
    for (place, (at, text)) in turns.iter().enumerate() {
        let (message, part) = (format!("msg_{id}_{place:06}"), format!("prt_{id}_{place:06}"));
        let data = serde_json::json!({"role": who(place), "time": {"created": at * 1000}});
        database
            .prepare_cached("INSERT INTO message VALUES(?1,?2,?3,?3,?4)")
            .unwrap()
            .execute((&message, &id, at * 1000, data.to_string()))
            .unwrap();
        let data = serde_json::json!({"type": "text", "text": text});
        database
            .prepare_cached("INSERT INTO part VALUES(?1,?2,?3,?4,?4,?5)")
            .unwrap()
            .execute((&part, &message, &id, at * 1000, data.to_string()))
            .unwrap();
    }
}

fn who(place: usize) -> &'static str {
    if place.is_multiple_of(2) { "user" } else { "assistant" }
}

fn time(seconds: u64) -> String {
    let nanoseconds = i64::try_from(seconds).unwrap() * 1_000_000_000;
    stash::time::Timestamp(nanoseconds).to_rfc3339()
}
