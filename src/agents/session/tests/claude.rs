use super::super::super::words::SessionShape::ClaudeJsonl;
use super::Role::{System, Tool, User};
use super::{at, one, said, told};

const PATH: &str = "projects/-home-user-code-shop/5c0d2b7e-1111-4a6b-9a10-aaaaaaaaaaaa.jsonl";

pub(super) const EXAMPLE: &str = r#"{"type":"permission-mode","permissionMode":"default","sessionId":"5c0d2b7e-1111-4a6b-9a10-aaaaaaaaaaaa"}
{"parentUuid":null,"isSidechain":false,"userType":"external","cwd":"/home/user/code/shop","sessionId":"5c0d2b7e-1111-4a6b-9a10-aaaaaaaaaaaa","version":"2.1.240","gitBranch":"main","type":"user","message":{"role":"user","content":"Why does the cart total drift by one cent?"},"uuid":"u-1","timestamp":"2026-11-02T09:14:03.120Z"}
{"parentUuid":"u-1","isSidechain":false,"cwd":"/home/user/code/shop","sessionId":"5c0d2b7e-1111-4a6b-9a10-aaaaaaaaaaaa","version":"2.1.240","type":"assistant","requestId":"req_1","message":{"id":"msg_1","role":"assistant","model":"example-model","content":[{"type":"text","text":"Rounding happens per line; let me look."}],"usage":{"input_tokens":900,"output_tokens":40}},"uuid":"a-1","timestamp":"2026-11-02T09:14:06.500Z"}
{"parentUuid":"a-1","isSidechain":false,"cwd":"/home/user/code/shop","sessionId":"5c0d2b7e-1111-4a6b-9a10-aaaaaaaaaaaa","type":"assistant","message":{"id":"msg_1","role":"assistant","content":[{"type":"tool_use","id":"toolu_1","name":"Read","input":{"file_path":"/home/user/code/shop/cart.ts"}}]},"uuid":"a-2","timestamp":"2026-11-02T09:14:06.900Z"}
{"parentUuid":"a-2","type":"user","sessionId":"5c0d2b7e-1111-4a6b-9a10-aaaaaaaaaaaa","cwd":"/home/user/code/shop","message":{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":"export const total = ..."}]},"toolUseResult":{"type":"text"},"uuid":"u-2","timestamp":"2026-11-02T09:14:07.010Z"}
{"type":"ai-title","aiTitle":"Cart total rounding bug","sessionId":"5c0d2b7e-1111-4a6b-9a10-aaaaaaaaaaaa"}
{"type":"custom-title","customTitle":"cart-rounding","sessionId":"5c0d2b7e-1111-4a6b-9a10-aaaaaaaaaaaa"}
"#;

fn lines(text: &str) -> (super::Session, Vec<super::Turn>) {
    one(ClaudeJsonl, PATH, &[(PATH, text)])
}

#[test]
fn records_of_one_message_are_one_turn_and_a_tools_answer_is_its_own() {
    let (session, turns) = lines(EXAMPLE);
    assert_eq!(
        told(&turns),
        [
            "User: Why does the cart total drift by one cent?",
            "Assistant: Rounding happens per line; let me look. | \
             Read[toolu_1] {\"file_path\":\"/home/user/code/shop/cart.ts\"}",
            "Tool: [toolu_1] export const total = ...",
        ]
    );
    assert_eq!(turns[1].id.as_deref(), Some("msg_1"));
    assert_eq!(turns[1].model.as_deref(), Some("example-model"));
    assert_eq!(session.id, "5c0d2b7e-1111-4a6b-9a10-aaaaaaaaaaaa");
    assert_eq!(session.title.as_deref(), Some("cart-rounding"));
    assert_eq!(session.project.as_deref(), Some("/home/user/code/shop"));
    assert_eq!(session.branch.as_deref(), Some("main"));
    assert_eq!(session.model.as_deref(), Some("example-model"));
    assert_eq!((session.turns, session.bytes), (2, EXAMPLE.len() as u64));
    assert_eq!(at(session.started), "2026-11-02T09:14:03Z");
    assert_eq!(at(session.last), "2026-11-02T09:14:07Z");
    assert_eq!((session.gaps, session.parent), (super::super::Gaps::default(), None));
}

#[test]
fn titles_come_by_strength_and_then_the_last_counts() {
    let user = r#"{"type":"user","message":{"content":"first words"}}"#;
    let summary = r#"{"type":"summary","summary":"a summary"}"#;
    let made = r#"{"type":"ai-title","aiTitle":"made"}"#;
    let made_later = r#"{"type":"ai-title","aiTitle":"made later"}"#;
    let given = r#"{"type":"custom-title","customTitle":"given"}"#;
    for (records, title) in [
        (&[user][..], "first words"),
        (&[user, summary], "a summary"),
        (&[made, summary, user], "made"),
        (&[made, user, made_later], "made later"),
        (&[given, made, summary], "given"),
        (&[user, r#"{"type":"ai-title","aiTitle":" \n "}"#], "first words"),
    ] {
        assert_eq!(lines(&records.join("\n")).0.title.as_deref(), Some(title));
    }
}

#[test]
fn what_the_person_did_not_write_is_no_title_and_no_turn_of_theirs() {
    let text = r#"{"type":"user","isMeta":true,"message":{"content":"Caveat: meta"}}
{"type":"user","message":{"content":"<command-name>/review</command-name>"}}
{"type":"user","isSidechain":true,"message":{"content":"side work"}}
{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"out"}],"is_error":true}]}}
{"type":"user","message":{"content":[{"type":"text","text":"<system-reminder>x</system-reminder>"},{"type":"text","text":"real question"}]}}
{"type":"user","message":{"content":"<b>bold</b> start"}}"#;
    let (session, turns) = lines(text);
    assert_eq!(session.title.as_deref(), Some("real question"));
    assert_eq!(session.turns, 3);
    let sides: Vec<_> = turns.iter().map(|turn| turn.is_side).collect();
    assert_eq!(sides, [false, false, true, false, false, false]);
    assert_eq!(super::roles(&turns), [System, System, User, Tool, User, User]);
    assert_eq!(said(&turns[3].parts), "[t]! out");
}

#[test]
fn a_compaction_stands_between_what_came_before_and_after() {
    let text = r#"{"type":"user","message":{"content":"before"}}
{"type":"system","subtype":"compact_boundary","content":"Conversation compacted","timestamp":"2026-11-02T09:00:00Z"}
{"type":"user","isCompactSummary":true,"message":{"content":"What happened so far"}}
{"type":"user","message":{"content":"after"}}
{"type":"system","subtype":"compact_boundary"}
{"type":"system","subtype":"turn_duration","durationMs":12}
{"type":"system","subtype":"api_error","content":"overloaded"}"#;
    let (session, turns) = lines(text);
    assert_eq!(
        told(&turns),
        [
            "User: before",
            "System: == What happened so far",
            "User: after",
            "System: overloaded",
            "System: == "
        ]
    );
    assert_eq!((session.turns, session.title.as_deref()), (2, Some("before")));
}

#[test]
fn thoughts_images_and_unknown_records_are_told_as_such() {
    let text = r#"{"type":"attachment","attachment":{}}
{"type":"user","message":{"content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}},{"type":"text","text":"see"}]}}
{"type":"assistant","message":{"id":"m","model":"<synthetic>","content":[{"type":"thinking","thinking":"hm","signature":"x"},{"type":"redacted_thinking","data":"x"}]}}
{"type":"of-tomorrow","text":"?"}
{"type":"queue-operation"}"#;
    let (session, turns) = lines(text);
    assert_eq!(told(&turns), ["User: <image/png 4> | see", "Assistant: (hm)"]);
    assert_eq!((session.gaps.unknown_records, session.model), (1, None));
}

#[test]
fn answers_between_records_of_a_message_follow_its_whole_turn() {
    let text = r#"{"type":"assistant","message":{"id":"m1","content":[{"type":"tool_use","id":"a","name":"A","input":{}}]}}
{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"a","content":"1"}]}}
{"type":"assistant","message":{"id":"m1","content":[{"type":"tool_use","id":"b","name":"B","input":{}}]}}
{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"b","content":"2"}]}}
{"type":"assistant","message":{"id":"m2","content":"done"}}"#;
    let (session, turns) = lines(text);
    assert_eq!(
        told(&turns),
        ["Assistant: A[a] {} | B[b] {}", "Tool: [a] 1", "Tool: [b] 2", "Assistant: done"]
    );
    assert_eq!(session.turns, 2);
}

#[test]
fn the_first_folder_and_the_last_branch_count() {
    let text = r#"{"type":"user","cwd":"/a","gitBranch":"main","message":{"content":"x"}}
{"type":"user","cwd":"/b","gitBranch":"topic","message":{"content":"y"}}"#;
    let (session, _) = lines(text);
    assert_eq!(
        (session.project.as_deref(), session.branch.as_deref()),
        (Some("/a"), Some("topic"))
    );
}

#[test]
fn a_subagents_file_is_a_session_of_its_own_with_a_parent() {
    let path = "projects/-x/5c0d/subagents/agent-a0b1.jsonl";
    let about = "projects/-x/5c0d/subagents/agent-a0b1.meta.json";
    let text = r#"{"type":"user","isSidechain":true,"sessionId":"5c0d","agentId":"a0b1","message":{"content":"look for rounding"}}
{"type":"assistant","isSidechain":true,"sessionId":"5c0d","message":{"id":"m","content":"found"}}"#;
    let (session, turns) = one(ClaudeJsonl, path, &[(path, text)]);
    assert_eq!((&*session.id, session.parent.as_deref()), ("agent-a0b1", Some("5c0d")));
    assert_eq!(session.title.as_deref(), Some("look for rounding"));
    assert!(turns.len() == 2 && turns.iter().all(|turn| turn.is_side));
    let description = r#"{"agentType":"Explore","description":"find rounding","spawnDepth":1}"#;
    let (session, _) = one(ClaudeJsonl, path, &[(path, text), (about, description)]);
    assert_eq!(session.title.as_deref(), Some("find rounding"));
}

#[test]
fn qwens_parts_are_read_alike() {
    let path = "projects/-home-user-code-shop/chats/q-1.jsonl";
    let text = r#"{"uuid":"1","parentUuid":null,"sessionId":"q-1","timestamp":"2026-11-04T08:00:05Z","type":"user","cwd":"/home/user/code/shop","version":"1","message":{"role":"user","parts":[{"text":"Add a retry"}]}}
{"uuid":"2","parentUuid":"1","sessionId":"q-1","timestamp":"2026-11-04T08:00:06Z","type":"assistant","model":"qwen-example","message":{"role":"model","parts":[{"text":"think","thought":true},{"text":"Done."},{"functionCall":{"id":"c","name":"edit","args":{"a":1}}}]}}
{"uuid":"3","type":"tool_result","message":{"role":"user","parts":[{"functionResponse":{"id":"c","name":"edit","response":{"output":"ok"}}}]}}"#;
    let (session, turns) = one(ClaudeJsonl, path, &[(path, text)]);
    assert_eq!(
        told(&turns),
        ["User: Add a retry", "Assistant: (think) | Done. | edit[c] {\"a\":1}", "Tool: [c] ok"]
    );
    assert_eq!((&*session.id, session.model.as_deref()), ("q-1", Some("qwen-example")));
}
