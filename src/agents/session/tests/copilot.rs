use super::super::super::words::SessionShape::CopilotEvents;
use super::{Files, at, hear, one, told};

const PATH: &str = "session-state/a995/events.jsonl";

pub(super) const EXAMPLE: &str = r#"{"type":"session.start","data":{"sessionId":"a995","version":1,"producer":"copilot-agent","copilotVersion":"1.0.78","startTime":"2026-11-07T12:00:00.000Z","context":{"cwd":"/home/user/code/shop","gitRoot":"/home/user/code/shop","branch":"main"}},"id":"e1","timestamp":"2026-11-07T12:00:00.010Z","parentId":null}
{"type":"user.message","data":{"content":"List flaky tests","attachments":[{"type":"file","path":"a"}]},"id":"e2","timestamp":"2026-11-07T12:00:02.000Z","parentId":"e1"}
{"type":"assistant.turn_start","data":{"turnId":"0"},"id":"e2b","timestamp":"2026-11-07T12:00:03.000Z"}
{"type":"assistant.message","data":{"messageId":"m1","content":"Two tests are flaky.","toolRequests":[{"toolCallId":"c","name":"bash","arguments":{"command":"t"}}]},"id":"e3","timestamp":"2026-11-07T12:00:05.000Z","parentId":"e2"}
{"type":"tool.execution_start","data":{"toolCallId":"c"},"id":"e4","timestamp":"2026-11-07T12:00:05.100Z"}
{"type":"tool.execution_complete","data":{"toolCallId":"c","success":false,"error":{"message":"exit 1"}},"id":"e5","timestamp":"2026-11-07T12:00:06.000Z"}
{"type":"session.model_change","data":{"newModel":"example-2"},"id":"e6","timestamp":"2026-11-07T12:00:07.000Z"}
{"type":"session.compaction_complete","data":{"success":true,"summaryContent":"Flaky tests were listed"},"id":"e7","timestamp":"2026-11-07T12:00:08.000Z"}
{"type":"hook.start","data":{},"id":"e8"}
{"type":"weather.changed","data":{},"id":"e9"}
{"type":"session.shutdown","data":{},"id":"e10","timestamp":"2026-11-07T12:00:09.000Z"}
"#;

#[test]
fn events_make_turns_and_the_rest_describes() {
    let (session, turns) = one(CopilotEvents, PATH, &[(PATH, EXAMPLE)]);
    assert_eq!(
        told(&turns),
        [
            "User: List flaky tests | <file 0>",
            "Assistant: Two tests are flaky. | bash[c] {\"command\":\"t\"}",
            "Tool: [c]! exit 1",
            "System: == Flaky tests were listed",
        ]
    );
    assert_eq!((&*session.id, session.turns), ("a995", 2));
    assert_eq!(session.title.as_deref(), Some("List flaky tests"));
    assert_eq!(session.project.as_deref(), Some("/home/user/code/shop"));
    assert_eq!(
        (session.branch.as_deref(), session.model.as_deref()),
        (Some("main"), Some("example-2"))
    );
    assert_eq!(
        (at(session.started), at(session.last)),
        ("2026-11-07T12:00:00Z".into(), "2026-11-07T12:00:09Z".into())
    );
    assert_eq!(session.gaps.unknown_records, 1);
}

#[test]
fn the_workspaces_plain_lines_name_a_session() {
    for (yaml, title) in [
        ("id: a995\ncwd: /home/user/else\nname: Flaky tests\nuser_named: true\n", "Flaky tests"),
        ("name: \"a: \\\"b\\\"\" \n", "a: \"b\""),
        ("name: 'it''s'\n", "it's"),
        ("name: |\n  folded\n", "List flaky tests"),
        ("name:\n", "List flaky tests"),
        ("\0\u{1}name\n: x", "List flaky tests"),
    ] {
        let files = [(PATH, EXAMPLE), ("session-state/a995/workspace.yaml", yaml)];
        let (session, _) = one(CopilotEvents, PATH, &files);
        assert_eq!(session.title.as_deref(), Some(title));
    }
}

#[test]
fn a_folder_without_words_is_no_session() {
    let lines: Vec<_> = EXAMPLE.lines().collect();
    let text = [lines[0], r#"{"type":"system.message","data":{"content":"You are"}}"#, lines[10]]
        .join("\n");
    assert!(hear(CopilotEvents, PATH, &Files::of(&[(PATH, &text)])).sessions.is_empty());
}

#[test]
fn an_old_file_of_its_own_is_named_by_itself() {
    let path = "session-state/b1.jsonl";
    let text = r#"{"type":"user.message","data":{"content":"Hi"}}"#;
    assert_eq!(one(CopilotEvents, path, &[(path, text)]).0.id, "b1");
}
