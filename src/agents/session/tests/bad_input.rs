//! Whatever a file holds, reading it ends, fails not, and gives a session wherever the shape is one of one
//! session for each file.

use std::path::Path;

use std::io::Read;
use std::ops::ControlFlow;

use proptest::prelude::*;

use super::super::super::words::SessionShape;
use super::{Files, Heard, ROOT, Session, Sink, Source, Turn, Wanted, hear, one, read_file};

/// Each shape with a path and a file that is as it should be.
const SAMPLES: &[(SessionShape, &str, &str)] = &[
    (SessionShape::ClaudeJsonl, "projects/-x/s.jsonl", super::claude::EXAMPLE),
    (SessionShape::CodexRollout, "sessions/2026/11/03/rollout-x.jsonl", super::codex::EXAMPLE),
    (SessionShape::PiJsonl, "agents/main/sessions/s.jsonl", super::pi::OPENCLAW),
    (SessionShape::GeminiChat, "tmp/shop/chats/session-s.jsonl", super::gemini::EXAMPLE),
    (SessionShape::GeminiChat, "tmp/shop/chats/session-s.json", super::gemini::DOCUMENT),
    (SessionShape::CopilotEvents, "session-state/s/events.jsonl", super::copilot::EXAMPLE),
    (SessionShape::RoleJsonl, "projects/p/agent-transcripts/s/s.jsonl", super::role::CURSOR),
    (SessionShape::AnthropicJson, "tasks/s/api_conversation_history.json", super::documents::TASK),
    (SessionShape::ContinueJson, "sessions/s.json", super::documents::CONTINUE),
    (SessionShape::AmpJson, "threads/T-1.json", super::documents::AMP),
    (SessionShape::OpencodeJson, "storage/session/p/s.json", r#"{"id":"s","title":"t","time":{}}"#),
    (SessionShape::AiderMd, ".aider.chat.history.md", super::aider::EXAMPLE),
];

fn hear_bytes(shape: SessionShape, path: &str, bytes: &[u8]) -> Heard {
    hear(shape, path, &Files([(path.into(), bytes.to_vec())].into()))
}

/// Whether each file of the shape is a session, whatever it holds.
fn is_always_one(shape: SessionShape) -> bool {
    !matches!(shape, SessionShape::AiderMd | SessionShape::CopilotEvents)
}

#[test]
fn empty_binary_and_strange_files_are_sessions_without_turns() {
    let deep = "[".repeat(200_000);
    for (shape, path, _) in SAMPLES {
        for bytes in [
            &b""[..],
            b"\n\n",
            b"\0\0\0\0",
            b"\xff\xfe\xfd\n\x80",
            b"\xef\xbb\xbf",
            b"[]",
            b"null",
            b"{}",
            b"7",
            b"{\"type\":7,\"message\":[],\"payload\":null}",
            deep.as_bytes(),
        ] {
            let heard = hear_bytes(*shape, path, bytes);
            if is_always_one(*shape) {
                assert_eq!(heard.sessions.len(), 1, "{shape:?} {bytes:?}");
                assert_eq!(heard.sessions[0].0.turns, 0, "{shape:?} {bytes:?}");
            }
        }
    }
}

#[test]
fn line_ends_of_another_system_and_a_byte_order_mark_change_nothing() {
    for (shape, path, text) in SAMPLES {
        let mut bytes = b"\xef\xbb\xbf".to_vec();
        bytes.extend(text.replace('\n', "\r\n").bytes());
        let [mut plain, mut other] =
            [text.as_bytes(), &bytes].map(|it| hear_bytes(*shape, path, it));
        for (session, _) in plain.sessions.iter_mut().chain(&mut other.sessions) {
            (session.bytes, session.revision) = (0, 0);
            if *shape == SessionShape::AiderMd {
                session.id.clear();
            }
        }
        assert_eq!(plain, other, "{shape:?}");
    }
}

#[test]
fn a_torn_last_line_costs_that_line_alone() {
    for (shape, path, text) in SAMPLES.iter().filter(|(_, path, _)| is_lines(path)) {
        let whole = hear_bytes(*shape, path, text.as_bytes());
        let torn = hear_bytes(*shape, path, format!("{text}{{\"type\":\"user\",\"mess").as_bytes());
        let (session, turns) = &torn.sessions[0];
        assert!(session.gaps.is_torn && !whole.sessions[0].0.gaps.is_torn, "{shape:?}");
        assert_eq!(*turns, whole.sessions[0].1, "{shape:?}");
    }
}

#[test]
fn text_that_is_no_utf_8_is_counted_and_read() {
    let text = b"{\"type\":\"user\",\"message\":{\"content\":\"caf\xe9 au lait\"}}\n";
    let heard = hear_bytes(SessionShape::ClaudeJsonl, "projects/-x/s.jsonl", text);
    let (session, turns) = &heard.sessions[0];
    assert_eq!((session.gaps.bad_records, turns.len()), (1, 1));
    assert_eq!(session.title.as_deref(), Some("caf\u{fffd} au lait"));
}

#[test]
fn an_enormous_image_costs_itself_and_not_its_record() {
    let path = "projects/-x/s.jsonl";
    let image = "A".repeat(30 << 20);
    let text = format!(
        "{{\"type\":\"user\",\"message\":{{\"content\":[{{\"type\":\"image\",\"source\":{{\"media_type\":\"image/png\",\"data\":\"{image}\"}}}},{{\"type\":\"text\",\"text\":\"see\"}}]}}}}\n{{\"type\":\"user\",\"message\":{{\"content\":\"next\"}}}}\n"
    );
    let (session, turns) = one(SessionShape::ClaudeJsonl, path, &[(path, &text)]);
    assert_eq!(super::told(&turns), ["User: <image/png 0> | see", "User: next"]);
    assert_eq!((session.gaps.cut_values, session.gaps.bad_records), (1, 0));
}

#[test]
fn future_dates_and_halves_of_characters_are_taken_as_they_are() {
    let path = "projects/-x/s.jsonl";
    let text = r#"{"type":"user","timestamp":"2199-01-01T00:00:00Z","message":{"content":"a\ud83d b\u00e4\ud83d\ude00"}}
{"type":"user","timestamp":"99999-01-01T00:00:00Z","message":{"content":"x"}}
{"type":"user","timestamp":1e300,"message":{"content":"y"}}"#;
    let (session, turns) = one(SessionShape::ClaudeJsonl, path, &[(path, text)]);
    assert_eq!(super::at(session.last), "2199-01-01T00:00:00Z");
    assert_eq!(super::told(&turns)[0], "User: a\u{fffd} bä😀");
}

#[test]
fn a_sink_that_has_enough_ends_the_reading() {
    struct Few(usize);
    impl Sink for Few {
        fn begin(&mut self, _: &str) -> ControlFlow<()> {
            ControlFlow::Continue(())
        }
        fn turn(&mut self, _: Turn) -> ControlFlow<()> {
            self.0 += 1;
            ControlFlow::Break(())
        }
        fn end(&mut self, _: Session) -> ControlFlow<()> {
            panic!("the reading went on");
        }
    }
    for (shape, path, text) in SAMPLES.iter().filter(|it| it.0 != SessionShape::OpencodeJson) {
        let files = Files::of(&[(path, text)]);
        let (relative, shape) = (path.as_bytes(), *shape);
        let source = Source { shape, root: ROOT, relative, size: 0, files: &files };
        let mut few = Few(0);
        read_file(&source, &mut text.as_bytes(), Wanted::Turns, &mut few).unwrap();
        assert_eq!(few.0, 1, "{shape:?}");
    }
}

#[test]
fn an_input_that_fails_is_an_error() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the disk is gone"))
        }
    }
    for (shape, path, _) in SAMPLES {
        let files = Files::default();
        let (relative, shape) = (path.as_bytes(), *shape);
        let source = Source { shape, root: ROOT, relative, size: 0, files: &files };
        let mut heard = Heard::default();
        assert!(read_file(&source, &mut Failing, Wanted::Turns, &mut heard).is_err());
        let mut zst = (&[0x28, 0xb5, 0x2f, 0xfd][..]).chain(Failing);
        assert!(read_file(&source, &mut zst, Wanted::Turns, &mut heard).is_err(), "{shape:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_bytes_give_a_session(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        for (shape, path, _) in SAMPLES {
            let heard = hear_bytes(*shape, path, &bytes);
            prop_assert!(heard.sessions.len() == 1 || !is_always_one(*shape));
        }
    }

    #[test]
    fn arbitrary_json_gives_a_session(seed in any::<u64>()) {
        for (shape, path, _) in SAMPLES {
            let bytes = json(seed);
            let heard = hear_bytes(*shape, path, bytes.as_bytes());
            prop_assert!(heard.sessions.len() == 1 || !is_always_one(*shape));
        }
    }

    #[test]
    fn real_files_cut_and_changed_anywhere_give_a_session(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        end in any::<prop::sample::Index>(),
    ) {
        for (shape, path, text) in SAMPLES {
            let mut bytes = text.as_bytes().to_vec();
            for (place, byte) in &changes {
                let place = place.index(bytes.len());
                bytes[place] = *byte;
            }
            bytes.truncate(end.index(bytes.len()) + 1);
            let heard = hear_bytes(*shape, path, &bytes);
            prop_assert!(heard.sessions.len() == 1 || !is_always_one(*shape));
        }
    }
}

/// Returns lines of objects with the names that readers look for and values of any type.
fn json(seed: u64) -> String {
    const NAMES: &[&str] = &[
        "type",
        "message",
        "content",
        "payload",
        "id",
        "role",
        "data",
        "$set",
        "$rewindTo",
        "messages",
        "history",
        "text",
        "timestamp",
        "toolCalls",
        "item",
        "parts",
    ];
    const VALUES: &[&str] = &[
        "user",
        "assistant",
        "gemini",
        "message",
        "response_item",
        "event_msg",
        "tool_result",
        "user.message",
        "2026-11-02T09:00:00Z",
        "session",
        "",
        "item_completed",
    ];
    fn value(random: &mut fastrand::Rng, depth: u32) -> String {
        match random.u32(..if depth > 4 { 4 } else { 7 }) {
            0 => "null".to_owned(),
            1 => random.i64(..).to_string(),
            2 | 3 => format!("\"{}\"", VALUES[random.usize(..VALUES.len())]),
            4 => {
                let parts: Vec<_> =
                    (0..random.usize(..4)).map(|_| value(random, depth + 1)).collect();
                format!("[{}]", parts.join(","))
            }
            _ => object(random, depth + 1),
        }
    }
    fn object(random: &mut fastrand::Rng, depth: u32) -> String {
        let fields: Vec<_> = (0..random.usize(1..7))
            .map(|_| format!("\"{}\":{}", NAMES[random.usize(..NAMES.len())], value(random, depth)))
            .collect();
        format!("{{{}}}", fields.join(","))
    }
    let random = &mut fastrand::Rng::with_seed(seed);
    (0..20).map(|_| object(random, 0) + "\n").collect()
}

/// Returns whether a sample's records are lines.
fn is_lines(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|end| end == "jsonl")
}
