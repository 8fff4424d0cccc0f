//! The shapes that are one JSON document for each session.

use super::super::super::words::SessionShape::{AmpJson, AnthropicJson, ContinueJson};
use super::{Files, at, hear, one, told};

pub(super) const CONTINUE: &str = r#"{"sessionId":"0f6d","title":"Importer retry","workspaceDirectory":"file:///home/user/code/shop","history":[{"message":{"role":"user","content":"Add a retry"},"contextItems":[]},{"message":{"role":"thinking","content":"hm"}},{"message":{"role":"assistant","content":[{"type":"text","text":"Done."}],"toolCalls":[{"id":"c","type":"function","function":{"name":"edit","arguments":"{\"a\":1}"}}]}},{"message":{"role":"tool","content":"ok","toolCallId":"c"}}],"mode":"agent","chatModelTitle":"Example"}"#;

#[test]
fn continues_documents_are_read_and_its_index_is_no_session() {
    let path = "sessions/0f6d.json";
    let index = r#"[{"sessionId":"x","title":"else"},{"sessionId":"0f6d","title":"Of the index","dateCreated":"1793610000000","workspaceDirectory":"/else","messageCount":2}]"#;
    let files = [(path, CONTINUE), ("sessions/sessions.json", index)];
    let (session, turns) = one(ContinueJson, path, &files);
    assert_eq!(
        told(&turns),
        [
            "User: Add a retry",
            "Assistant: (hm)",
            "Assistant: Done. | edit[c] {\"a\":1}",
            "Tool: [c] ok"
        ]
    );
    assert_eq!((&*session.id, session.title.as_deref()), ("0f6d", Some("Importer retry")));
    assert_eq!(session.project.as_deref(), Some("/home/user/code/shop"));
    assert_eq!((session.turns, session.model.as_deref()), (2, Some("Example")));
    assert_eq!(at(session.started), "2026-11-02T09:00:00Z");
    assert!(hear(ContinueJson, "sessions/sessions.json", &Files::of(&files)).sessions.is_empty());
}

#[test]
fn the_index_gives_what_a_document_lacks_in_the_old_form_too() {
    let path = "sessions/0f6d.json";
    let text = r#"{"history":[{"message":{"role":"user","content":"first words"}}]}"#;
    let index = r#"[{"session_id":"0f6d","title":"Of the index","date_created":"1793610000000","workspace_directory":"/old"}]"#;
    let (session, _) = one(ContinueJson, path, &[(path, text), ("sessions/sessions.json", index)]);
    assert_eq!(
        (session.title.as_deref(), session.project.as_deref()),
        (Some("Of the index"), Some("/old"))
    );
    let (session, _) = one(ContinueJson, path, &[(path, text)]);
    assert_eq!((session.title.as_deref(), session.started), (Some("first words"), None));
}

pub(super) const AMP: &str = r#"{"v":7,"id":"T-1","created":1793610000000,"messages":[{"role":"user","messageId":0,"content":[{"type":"text","text":"Why?"}],"meta":{"sentAt":1793610001000}},{"role":"assistant","content":[{"type":"thinking","thinking":"hm"},{"type":"tool_use","id":"t","name":"Read","input":{}}],"usage":{"model":"example"}},{"role":"user","content":[{"type":"tool_result","toolUseID":"t","run":{"status":"error","error":{"message":"gone"}}}]}],"env":{"initial":{"trees":[{"displayName":"shop","uri":"file:///home/user/code/shop","repository":{"ref":"refs/heads/main"}}]}},"title":"Reasons"}"#;

#[test]
fn amps_threads_are_read() {
    let path = "threads/T-1.json";
    let (session, turns) = one(AmpJson, path, &[(path, AMP)]);
    assert_eq!(
        told(&turns),
        ["User: Why?", "Assistant: (hm) | Read[t] {}", "Tool: [t]! {\"message\":\"gone\"}"]
    );
    assert_eq!((&*session.id, session.title.as_deref()), ("T-1", Some("Reasons")));
    assert_eq!(session.project.as_deref(), Some("/home/user/code/shop"));
    assert_eq!(
        (session.branch.as_deref(), session.model.as_deref()),
        (Some("main"), Some("example"))
    );
    assert_eq!(
        (at(session.started), at(session.last)),
        ("2026-11-02T09:00:00Z".into(), "2026-11-02T09:00:01Z".into())
    );
}

pub(super) const TASK: &str = r#"[{"role":"user","content":[{"type":"text","text":"<task>\nMake the importer idempotent\n</task>"},{"type":"text","text":"<environment_details>\n# Files\n</environment_details>"}],"ts":1793610001000},{"role":"assistant","content":[{"type":"text","text":"Sure."},{"type":"tool_use","id":"t","name":"read_file","input":{"path":"a"}}],"ts":1793610005000},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"text"}]}]},{"role":"user","isSummary":true,"content":[{"type":"text","text":"So far"}]}]"#;

#[test]
fn a_task_is_named_by_its_history_item_or_by_the_index() {
    let path = "tasks/r-1/api_conversation_history.json";
    let (session, turns) = one(AnthropicJson, path, &[(path, TASK)]);
    assert_eq!(
        told(&turns),
        [
            "User: Make the importer idempotent | <environment_details>\n# Files\n</environment_details>",
            "Assistant: Sure. | read_file[t] {\"path\":\"a\"}",
            "Tool: [t] text",
            "System: == So far",
        ]
    );
    assert_eq!(
        (&*session.id, session.title.as_deref()),
        ("r-1", Some("Make the importer idempotent"))
    );
    let item = r#"{"id":"r-1","number":1,"ts":1793610009000,"task":"<task>Idempotent importer</task>","workspace":"/home/user/code/shop","mode":"code"}"#;
    let about = r#"{"model_usage":[{"ts":1,"model_id":"old"},{"ts":2,"model_id":"example"}]}"#;
    let files = [
        (path, TASK),
        ("tasks/r-1/history_item.json", item),
        ("tasks/r-1/task_metadata.json", about),
    ];
    let (session, _) = one(AnthropicJson, path, &files);
    assert_eq!(session.title.as_deref(), Some("Idempotent importer"));
    assert_eq!(
        (session.project.as_deref(), session.model.as_deref()),
        (Some("/home/user/code/shop"), Some("example"))
    );
    assert_eq!(
        (at(session.started), at(session.last)),
        ("2026-11-02T09:00:01Z".into(), "2026-11-02T09:00:09Z".into())
    );
}

#[test]
fn clines_tasks_are_named_by_their_millisecond_and_listed_in_the_state() {
    let path = "tasks/1793610000000/api_conversation_history.json";
    let index = r#"[{"id":"1","task":"else"},{"id":"1793610000000","ts":1793610007000,"task":"Of the index","cwdOnTaskInitialization":"/home/user/code/shop"}]"#;
    let (session, _) = one(AnthropicJson, path, &[(path, TASK), ("state/taskHistory.json", index)]);
    assert_eq!((&*session.id, session.title.as_deref()), ("1793610000000", Some("Of the index")));
    assert_eq!(session.project.as_deref(), Some("/home/user/code/shop"));
    assert_eq!(
        (at(session.started), at(session.last)),
        ("2026-11-02T09:00:00Z".into(), "2026-11-02T09:00:07Z".into())
    );
}

#[test]
fn clines_command_line_describes_a_session_beside_its_messages() {
    let path = "data/sessions/c-1/c-1.messages.json";
    let text =
        format!(r#"{{"version":1,"sessionId":"c-1","messages":{TASK},"system_prompt":"x"}}"#);
    let about = r#"{"session_id":"c-1","provider":"p","model":"example","cwd":"/home/user/code/shop","started_at":"2026-11-02T08:00:00Z","ended_at":"2026-11-02T10:00:00Z","metadata":{"title":"Named"}}"#;
    let files = [(path, &*text), ("data/sessions/c-1/c-1.json", about)];
    let (session, turns) = one(AnthropicJson, path, &files);
    assert_eq!((&*session.id, session.title.as_deref(), turns.len()), ("c-1", Some("Named"), 4));
    assert_eq!(
        (session.project.as_deref(), session.model.as_deref()),
        (Some("/home/user/code/shop"), Some("example"))
    );
    assert_eq!(
        (at(session.started), at(session.last)),
        ("2026-11-02T08:00:00Z".into(), "2026-11-02T10:00:00Z".into())
    );
}
