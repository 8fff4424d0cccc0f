use super::super::super::words::SessionShape::RoleJsonl;
use super::{at, one, told};

pub(super) const CURSOR: &str = r#"{"role":"user","message":{"content":[{"type":"text","text":"<user_query>\nWhy is this stale?\n</user_query>"}]}}
{"role":"assistant","message":{"content":[{"type":"text","text":"The key omits the locale."},{"type":"tool_use","name":"Read","input":{"path":"cache.ts"}}]}}
{"type":"turn_ended","status":"success"}
{"type":"of_tomorrow"}
"#;

#[test]
fn cursors_transcripts_have_roles_and_no_times() {
    let path = "projects/home-user-code/agent-transcripts/c-1/c-1.jsonl";
    let (session, turns) = one(RoleJsonl, path, &[(path, CURSOR)]);
    assert_eq!(
        told(&turns),
        [
            "User: Why is this stale?",
            "Assistant: The key omits the locale. | Read[] {\"path\":\"cache.ts\"}"
        ]
    );
    assert_eq!((&*session.id, session.title.as_deref()), ("c-1", Some("Why is this stale?")));
    assert_eq!((session.started, session.last, session.project), (None, None, None));
    assert_eq!((session.turns, session.gaps.unknown_records), (2, 1));
}

#[test]
fn cursors_subagents_lie_below_their_parent() {
    let path = "projects/p/agent-transcripts/c-1/subagents/s-1.jsonl";
    let (session, turns) = one(RoleJsonl, path, &[(path, CURSOR)]);
    assert_eq!((&*session.id, session.parent.as_deref()), ("s-1", Some("c-1")));
    assert!(turns.iter().all(|turn| turn.is_side));
}

#[test]
fn gooses_old_files_begin_with_a_description() {
    let path = "sessions/20261108_101500.jsonl";
    let text = r#"{"description":"Importer retry","id":"20261108_1","working_dir":"/home/user/code/shop","created_at":"2026-11-08T10:00:00Z","updated_at":"2026-11-08T10:05:00Z"}
{"role":"user","created":1794132000,"content":[{"type":"text","text":"Add a retry"}]}
{"role":"assistant","created":1794132005,"content":[{"type":"toolRequest","id":"t","toolCall":{"status":"success","value":{"name":"shell","arguments":{"command":"ls"}}}}]}
{"role":"user","created":1794132006,"content":[{"type":"toolResponse","id":"t","toolResult":{"status":"success","value":[{"type":"text","text":"a.py"}]}}]}"#;
    let (session, turns) = one(RoleJsonl, path, &[(path, text)]);
    assert_eq!(
        told(&turns),
        ["User: Add a retry", "Assistant: shell[t] {\"command\":\"ls\"}", "Tool: [t] a.py"]
    );
    assert_eq!((&*session.id, session.title.as_deref()), ("20261108_1", Some("Importer retry")));
    assert_eq!(session.project.as_deref(), Some("/home/user/code/shop"));
    assert_eq!((session.turns, at(session.last)), (2, "2026-11-08T10:00:06Z".into()));
}
