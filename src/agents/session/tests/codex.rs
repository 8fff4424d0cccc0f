use super::super::super::words::SessionShape::CodexRollout;
use super::{Files, at, hear, one, told};

const PATH: &str =
    "sessions/2026/11/03/rollout-2026-11-03T10-00-00-019a5c00-0000-7000-8000-0000000000c1.jsonl";
const ID: &str = "019a5c00-0000-7000-8000-0000000000c1";

pub(super) const EXAMPLE: &str = r#"{"timestamp":"2026-11-03T10:00:00.000Z","type":"session_meta","payload":{"id":"019a5c00-0000-7000-8000-0000000000c1","timestamp":"2026-11-03T10:00:00.000Z","cwd":"/home/user/code/shop","originator":"codex_cli_rs","cli_version":"0.150.0","source":"cli","model_provider":"openai","git":{"branch":"main","commit_hash":"deadbeef","repository_url":"https://example.com/shop.git"}}}
{"timestamp":"2026-11-03T10:00:00.050Z","type":"response_item","payload":{"type":"message","role":"user","content":[{"type":"input_text","text":"<environment_context>\n  <cwd>/home/user/code/shop</cwd>\n</environment_context>"}]}}
{"timestamp":"2026-11-03T10:00:00.100Z","type":"turn_context","payload":{"turn_id":"t1","cwd":"/home/user/code/shop","approval_policy":"on-request","model":"example-1"}}
{"timestamp":"2026-11-03T10:00:01.000Z","type":"event_msg","payload":{"type":"user_message","message":"Add a retry to the importer","images":[]}}
{"timestamp":"2026-11-03T10:00:01.010Z","type":"response_item","payload":{"type":"message","role":"user","content":[{"type":"input_text","text":"Add a retry to the importer"}]}}
{"timestamp":"2026-11-03T10:00:03.000Z","type":"response_item","payload":{"type":"reasoning","summary":[{"type":"summary_text","text":"look first"}],"encrypted_content":"gAAA"}}
{"timestamp":"2026-11-03T10:00:04.000Z","type":"response_item","payload":{"type":"function_call","name":"shell","arguments":"{\"command\":[\"ls\"]}","call_id":"c1"}}
{"timestamp":"2026-11-03T10:00:05.000Z","type":"response_item","payload":{"type":"function_call_output","call_id":"c1","output":"importer.py"}}
{"timestamp":"2026-11-03T10:00:08.990Z","type":"event_msg","payload":{"type":"agent_message","message":"Retry added with backoff."}}
{"timestamp":"2026-11-03T10:00:09.000Z","type":"response_item","payload":{"type":"message","role":"assistant","content":[{"type":"output_text","text":"Retry added with backoff."}]}}
{"timestamp":"2026-11-03T10:00:09.100Z","type":"event_msg","payload":{"type":"token_count","info":null}}
{"timestamp":"2026-11-03T10:05:00.000Z","ordinal":12,"type":"event_msg","payload":{"type":"item_completed","thread_id":"019a5c00-0000-7000-8000-0000000000c1","turn_id":"t2","item":{"type":"UserMessage","id":"i1","content":[{"type":"text","text":"Now add a test"}]}}}
"#;

fn lines(text: &str) -> (super::Session, Vec<super::Turn>) {
    one(CodexRollout, PATH, &[(PATH, text)])
}

#[test]
fn a_message_of_both_generations_is_told_once() {
    let (session, turns) = lines(EXAMPLE);
    assert_eq!(
        told(&turns)[1..],
        [
            "User: Add a retry to the importer",
            "Assistant: (look first) | shell[c1] {\"command\":[\"ls\"]}",
            "Tool: [c1] importer.py",
            "Assistant: Retry added with backoff.",
            "User: Now add a test",
        ]
    );
    assert_eq!(turns[0].role, super::Role::System);
    assert_eq!((&*session.id, session.turns), (ID, 4));
    assert_eq!(session.title.as_deref(), Some("Add a retry to the importer"));
    assert_eq!(session.project.as_deref(), Some("/home/user/code/shop"));
    assert_eq!(
        (session.branch.as_deref(), session.model.as_deref()),
        (Some("main"), Some("example-1"))
    );
    assert_eq!(
        (at(session.started), at(session.last)),
        ("2026-11-03T10:00:00Z".into(), "2026-11-03T10:05:00Z".into())
    );
    assert_eq!(session.gaps, super::super::Gaps::default());
}

#[test]
fn words_said_twice_are_told_twice() {
    let both = r#"{"type":"event_msg","payload":{"type":"user_message","message":"go on"}}
{"type":"response_item","payload":{"type":"message","role":"user","content":[{"type":"input_text","text":"go on"}]}}
{"type":"event_msg","payload":{"type":"item_completed","item":{"type":"UserMessage","content":[{"type":"text","text":"go on"}]}}}
"#;
    assert_eq!(told(&lines(&both.repeat(2)).1), ["User: go on", "User: go on"]);
}

#[test]
fn the_words_behind_an_editors_context_are_the_title() {
    let text = r##"{"type":"response_item","payload":{"type":"message","role":"user","content":[{"type":"input_text","text":"# AGENTS.md instructions for /x\n\n<INSTRUCTIONS>"}]}}
{"type":"response_item","payload":{"type":"message","role":"developer","content":[{"type":"input_text","text":"<permissions instructions>"}]}}
{"type":"event_msg","payload":{"type":"user_message","message":"# Context from my IDE setup:\n\n## Open tabs:\n- a.rs\n\n## My request for Codex:\nFix the tabs\n"}}"##;
    let (session, turns) = lines(text);
    assert_eq!((session.title.as_deref(), session.turns), (Some("Fix the tabs"), 1));
    assert_eq!(turns.len(), 3);
}

#[test]
fn names_come_from_the_index_and_then_from_the_newest_state() {
    let index = format!(
        "{{\"id\":\"{ID}\",\"thread_name\":\"old\"}}\n{{\"id\":\"other\",\"thread_name\":\"{ID}\"}}\n{{\"id\":\"{ID}\",\"thread_name\":\"Importer\"}}\n"
    );
    let state = |title: &str| {
        format!(
            "CREATE TABLE threads(id TEXT, title TEXT); INSERT INTO threads VALUES('{ID}','{title}');"
        )
    };
    let (old, new) = (state("of 4"), state("of 12"));
    let databases = [(PATH, EXAMPLE), ("state_4.sqlite", &old), ("state_12.sqlite", &new)];
    let title = |files: &[(&str, &str)]| one(CodexRollout, PATH, files).0.title;
    assert_eq!(title(&databases).as_deref(), Some("of 12"));
    let all = [&databases[..], &[("session_index.jsonl", &index)]].concat();
    assert_eq!(title(&all).as_deref(), Some("Importer"));
    // A database without the table is as good as none.
    let files = [(PATH, EXAMPLE), ("state_4.sqlite", "CREATE TABLE other(id TEXT);")];
    assert_eq!(title(&files).as_deref(), Some("Add a retry to the importer"));
}

#[test]
fn a_subagent_has_the_id_of_its_first_line_and_names_its_parent() {
    let text = r#"{"type":"session_meta","payload":{"id":"child","source":{"subagent":{"thread_spawn":{"parent_thread_id":"parent","depth":1}}}}}
{"type":"session_meta","payload":{"id":"parent","cwd":"/home/user"}}"#;
    let (session, _) = lines(text);
    assert_eq!((&*session.id, session.parent.as_deref()), ("child", Some("parent")));
}

#[test]
fn tools_compactions_and_unknown_records_are_told_as_such() {
    let text = r#"{"type":"response_item","payload":{"type":"custom_tool_call","name":"apply_patch","input":"*** Begin","call_id":"c2"}}
{"type":"response_item","payload":{"type":"local_shell_call","call_id":"c3","action":{"command":["ls"]}}}
{"type":"response_item","payload":{"type":"custom_tool_call_output","call_id":"c2","output":{"content":"failed","success":false}}}
{"type":"response_item","payload":{"type":"function_call_output","call_id":"c4","output":[{"type":"input_text","text":"seen"},{"type":"input_image","image_url":"data:image/png;base64,AAAA"}]}}
{"type":"compacted","payload":{"message":"So far","replacement_history":[{"type":"message"}]}}
{"type":"world_state","payload":{}}
{"type":"response_item","payload":{"type":"of_tomorrow"}}
{"type":"tomorrow","payload":{}}"#;
    let (session, turns) = lines(text);
    assert_eq!(
        told(&turns),
        [
            "Assistant: apply_patch[c2] *** Begin | local_shell[c3] {\"command\":[\"ls\"]}",
            "Tool: [c2]! failed",
            "Tool: [c4] seen | <image/png 4>",
            "System: == So far",
        ]
    );
    assert_eq!((session.turns, session.gaps.unknown_records), (1, 2));
}

#[test]
fn a_compressed_rollout_is_read_unless_its_plain_file_is_there() {
    let packed = zstd::encode_all(EXAMPLE.as_bytes(), 3).unwrap();
    let path = format!("{PATH}.zst");
    let mut files = Files::default();
    files.0.insert(path.clone().into_bytes(), packed.clone());
    let (session, turns) = hear(CodexRollout, &path, &files).sessions.remove(0);
    assert_eq!((&*session.id, turns.len()), (ID, 6));
    assert_eq!(session.bytes, packed.len() as u64);
    // Torn anywhere, it gives what can be unpacked.
    files.0.insert(path.clone().into_bytes(), packed[..packed.len() - 5].to_vec());
    assert!(hear(CodexRollout, &path, &files).sessions[0].0.gaps.is_torn);
    files.0.insert(PATH.as_bytes().to_vec(), EXAMPLE.as_bytes().to_vec());
    assert!(hear(CodexRollout, &path, &files).sessions.is_empty());
}

#[test]
fn a_window_beyond_the_bound_is_refused() {
    let mut packer = zstd::Encoder::new(Vec::new(), 1).unwrap();
    packer.window_log(27).unwrap();
    std::io::Write::write_all(&mut packer, EXAMPLE.as_bytes()).unwrap();
    let path = format!("{PATH}.zst");
    let files = Files([(path.clone().into_bytes(), packer.finish().unwrap())].into());
    let (session, turns) = hear(CodexRollout, &path, &files).sessions.remove(0);
    assert!(session.gaps.is_torn && turns.is_empty() && session.id == ID);
}

#[test]
fn the_oldest_rollouts_have_bare_records() {
    let text = r#"{"id":"old-1","timestamp":"2025-05-01T10:00:00Z","instructions":null,"git":{"branch":"main"}}
{"record_type":"state"}
{"type":"message","role":"user","content":[{"type":"input_text","text":"Hello"}]}
{"type":"message","role":"assistant","content":[{"type":"output_text","text":"Hi"}]}"#;
    let (session, turns) = lines(text);
    assert_eq!(
        (&*session.id, told(&turns)),
        ("old-1", vec!["User: Hello".to_owned(), "Assistant: Hi".to_owned()])
    );
    assert_eq!(session.gaps, super::super::Gaps::default());
}
