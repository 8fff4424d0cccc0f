use super::*;

const OLD: &str = "/home/ann/code/shop";
const NEW: &str = "/Users/bo/code/shop";

fn placing<'a>(agent: &'a str, shape: SessionShape, id: &'a str, relative: &'a str) -> Placing<'a> {
    Placing { agent, shape, id, relative, old_project: OLD, new_project: NEW, registered: None }
}

/// Where the session's file goes, and what goes along.
#[track_caller]
fn files(placing: &Placing<'_>) -> (String, Vec<String>, Also) {
    match placing.placement() {
        Placement::Files(files) => {
            let beside = files.beside.into_iter().map(|(from, to)| format!("{from} > {to}"));
            (files.to, beside.collect(), files.also)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_transcript_moves_into_the_folder_that_its_agent_names_after_the_project() {
    let cases = [
        (
            placing(
                "claude-code",
                SessionShape::ClaudeJsonl,
                "u1",
                "projects/-home-ann-code-shop/u1.jsonl",
            ),
            "projects/-Users-bo-code-shop/u1.jsonl",
            "projects/-home-ann-code-shop/u1 > projects/-Users-bo-code-shop/u1",
        ),
        (
            placing(
                "qwen",
                SessionShape::ClaudeJsonl,
                "u1",
                "projects/-home-ann-code-shop/chats/u1.jsonl",
            ),
            "projects/-Users-bo-code-shop/chats/u1.jsonl",
            "projects/-home-ann-code-shop/chats/u1 > projects/-Users-bo-code-shop/chats/u1",
        ),
        (
            placing(
                "pi",
                SessionShape::PiJsonl,
                "u1",
                "sessions/--home-ann-code-shop--/1_u1.jsonl",
            ),
            "sessions/--Users-bo-code-shop--/1_u1.jsonl",
            "",
        ),
        (
            placing("droid", SessionShape::PiJsonl, "u1", "sessions/-home-ann-code-shop/u1.jsonl"),
            "sessions/-Users-bo-code-shop/u1.jsonl",
            "sessions/-home-ann-code-shop/u1.settings.json > sessions/-Users-bo-code-shop/u1.settings.json",
        ),
        (
            placing(
                "cursor",
                SessionShape::RoleJsonl,
                "u1",
                "projects/home-ann-code-shop/agent-transcripts/u1/u1.jsonl",
            ),
            "projects/Users-bo-code-shop/agent-transcripts/u1/u1.jsonl",
            "projects/home-ann-code-shop/agent-transcripts/u1 > projects/Users-bo-code-shop/agent-transcripts/u1",
        ),
        (
            placing("cursor", SessionShape::CursorStore, "u1", "chats/0123/u1/store.db"),
            "chats/eff9a741bae6a2a832cb4d0fe495ca4d/u1/store.db",
            "chats/0123/u1 > chats/eff9a741bae6a2a832cb4d0fe495ca4d/u1",
        ),
    ];
    for (case, to, beside) in cases {
        let (found, along, also) = files(&case);
        assert_eq!((found.as_str(), along.join("").as_str()), (to, beside));
        assert_eq!(also, Also::Nothing);
    }
}

#[test]
fn what_is_named_by_time_or_id_stays_and_lists_are_brought_up_to_date() {
    let cases = [
        (
            placing(
                "codex",
                SessionShape::CodexRollout,
                "u1",
                "sessions/2026/11/03/rollout-1-u1.jsonl",
            ),
            Also::Nothing,
            0,
        ),
        (
            placing("copilot", SessionShape::CopilotEvents, "u1", "session-state/u1/events.jsonl"),
            Also::Nothing,
            1,
        ),
        (
            placing("continue", SessionShape::ContinueJson, "u1", "sessions/u1.json"),
            Also::ContinueList,
            0,
        ),
        (
            placing(
                "cline",
                SessionShape::AnthropicJson,
                "17",
                "tasks/17/api_conversation_history.json",
            ),
            Also::ClineList,
            1,
        ),
        (
            placing(
                "roo",
                SessionShape::AnthropicJson,
                "u1",
                "tasks/u1/api_conversation_history.json",
            ),
            Also::RooList,
            1,
        ),
        (
            placing(
                "cline",
                SessionShape::AnthropicJson,
                "u1",
                "data/sessions/u1/u1.messages.json",
            ),
            Also::Nothing,
            1,
        ),
    ];
    for (case, also, along) in cases {
        let (to, beside, found) = files(&case);
        assert_eq!(to, case.relative);
        assert_eq!((found, beside.len()), (also, along), "{}", case.relative);
    }
}

#[test]
fn a_registered_name_counts_and_a_sessions_own_place_counts_more() {
    let mut gemini =
        placing("gemini", SessionShape::GeminiChat, "u1", "tmp/shop/chats/session-1-u1.jsonl");
    gemini.registered = Some("shop-1");
    let (to, beside, also) = files(&gemini);
    assert_eq!(to, "tmp/shop-1/chats/session-1-u1.jsonl");
    let along = ["tmp/shop/chats/u1 > tmp/shop-1/chats/u1", "tmp/shop/u1 > tmp/shop-1/u1"];
    assert_eq!((beside, also), (along.map(str::to_owned).to_vec(), Also::GeminiRegister));

    let claude = placing(
        "claude-code",
        SessionShape::ClaudeJsonl,
        "u1",
        "projects/-home-ann-code-shop/u1.jsonl",
    );
    let Placement::Files(there) = claude.at("projects/-elsewhere/u1.jsonl") else { panic!() };
    assert_eq!(there.to, "projects/-elsewhere/u1.jsonl");
    assert_eq!(there.beside[0].1, "projects/-elsewhere/u1");
}

#[test]
fn what_can_not_be_placed_singly_says_why() {
    for (agent, shape) in [
        ("openclaw", SessionShape::OpenclawDb),
        ("openclaw", SessionShape::PiJsonl),
        ("opencode", SessionShape::OpencodeJson),
        ("cursor", SessionShape::CursorKv),
        ("windsurf", SessionShape::Opaque),
        ("goose", SessionShape::RoleJsonl),
        ("qwen", SessionShape::GeminiChat),
    ] {
        let placement = placing(agent, shape, "u1", "a/b/c.jsonl").placement();
        assert!(matches!(placement, Placement::Impossible(_)), "{agent}: {placement:?}");
    }
    let long = format!("/{}", "x".repeat(220));
    let far = Placing {
        new_project: &long,
        ..placing(
            "claude-code",
            SessionShape::ClaudeJsonl,
            "u1",
            "projects/-home-ann-code-shop/u1.jsonl",
        )
    };
    assert_eq!(far.placement(), Placement::Impossible(TOO_LONG));
}
