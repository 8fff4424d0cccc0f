use super::super::super::words::SessionShape::PiJsonl;
use super::Role::{Assistant, Tool, User};
use super::{at, one, told};

pub(super) const OPENCLAW: &str = r#"{"type":"session","version":3,"id":"b2f0","timestamp":"2026-11-05T07:00:00.000Z","cwd":"/home/user/.openclaw/workspace"}
{"type":"message","id":"e1","parentId":null,"timestamp":"2026-11-05T07:00:02.000Z","message":{"role":"user","content":[{"type":"text","text":"Remind me at noon"}]}}
{"type":"message","id":"e2","parentId":"e1","timestamp":"2026-11-05T07:00:05.000Z","message":{"role":"assistant","model":"example","content":[{"type":"thinking","thinking":"when?"},{"type":"text","text":"Scheduled."},{"type":"toolCall","id":"t1","name":"cron","arguments":{"at":"12:00"}}]}}
{"type":"message","id":"e3","parentId":"e2","timestamp":"2026-11-05T07:00:06.000Z","message":{"role":"toolResult","toolCallId":"t1","toolName":"cron","content":[{"type":"text","text":"no such time"},{"type":"image","data":"AAAA","mimeType":"image/png"}],"isError":true}}
{"type":"compaction","id":"e4","parentId":"e3","timestamp":"2026-11-05T09:00:00.000Z","summary":"Reminder set"}
"#;

#[test]
fn a_header_and_messages_make_a_session() {
    let path = "agents/main/sessions/b2f0.jsonl";
    let (session, turns) = one(PiJsonl, path, &[(path, OPENCLAW)]);
    assert_eq!(
        told(&turns),
        [
            "User: Remind me at noon",
            "Assistant: (when?) | Scheduled. | cron[t1] {\"at\":\"12:00\"}",
            "Tool: [t1]! no such time | <image/png 4>",
            "System: == Reminder set",
        ]
    );
    assert_eq!((&*session.id, session.turns), ("b2f0", 2));
    assert_eq!(session.title.as_deref(), Some("Remind me at noon"));
    assert_eq!(session.project.as_deref(), Some("/home/user/.openclaw/workspace"));
    assert_eq!(session.model.as_deref(), Some("example"));
    assert_eq!(
        (at(session.started), at(session.last)),
        ("2026-11-05T07:00:00Z".into(), "2026-11-05T09:00:00Z".into())
    );
}

#[test]
fn every_kind_of_entry_is_known() {
    let path = "sessions/--home-user--/2026-11-05T07-00-00_0f6d.jsonl";
    let text = r#"{"type":"model_change","provider":"p","modelId":"m-2"}
{"type":"thinking_level_change","thinkingLevel":"high"}
{"type":"branch_summary","summary":"the other branch"}
{"type":"custom","customType":"x","data":{}}
{"type":"custom_message","content":"from an extension"}
{"type":"label","label":"x"}
{"type":"message","message":{"role":"bashExecution","command":"ls","output":"a"}}
{"type":"session_info","name":"named"}
{"type":"of_tomorrow"}
{"type":"message","message":{"role":"of_tomorrow"}}
{"type":"message"}"#;
    let (session, turns) = one(PiJsonl, path, &[(path, text)]);
    assert_eq!(
        told(&turns),
        ["System: the other branch", "System: from an extension", "Tool: $ ls\na"]
    );
    // Without a header the id is that in the file's name.
    assert_eq!((&*session.id, session.title.as_deref()), ("0f6d", Some("named")));
    assert_eq!(session.model.as_deref(), Some("m-2"));
    assert_eq!((session.gaps.unknown_records, session.gaps.bad_records), (2, 1));
}

#[test]
fn droids_header_has_the_title() {
    let path = "sessions/-code/d-1.jsonl";
    let text = r#"{"type":"session_start","id":"d-1","title":"New Session","sessionTitle":"Importer retry","cwd":"/code","owner":"o","version":2}
{"type":"message","id":"1","parentId":null,"timestamp":"2026-11-05T07:00:02.000Z","message":{"role":"user","content":[{"type":"text","text":"<system-reminder>x</system-reminder>"},{"type":"text","text":"Add it"}]}}
{"type":"message","id":"2","message":{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"Read","input":{}}]}}
{"type":"message","id":"3","message":{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"x"}]}}"#;
    let (session, turns) = one(PiJsonl, path, &[(path, text)]);
    assert_eq!((&*session.id, session.title.as_deref()), ("d-1", Some("Importer retry")));
    assert_eq!((session.turns, turns.len()), (2, 3));
    assert_eq!(super::roles(&turns), [User, Assistant, Tool]);
}
