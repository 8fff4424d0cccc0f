use super::super::super::words::SessionShape::OpencodeJson;
use super::{Files, at, one, told};

const PATH: &str = "storage/session/p1/ses_1.json";

const FILES: &[(&str, &str)] = &[
    (
        PATH,
        r#"{"id":"ses_1","projectID":"p1","directory":"/home/user/code/shop","title":"Importer retry","version":"1.0","time":{"created":1793610000000,"updated":1793610500000}}"#,
    ),
    (
        "storage/message/ses_1/msg_1.json",
        r#"{"id":"msg_1","sessionID":"ses_1","role":"user","time":{"created":1793610000000}}"#,
    ),
    (
        "storage/message/ses_1/msg_2.json",
        r#"{"id":"msg_2","sessionID":"ses_1","role":"assistant","modelID":"example","time":{"created":1793610001000}}"#,
    ),
    (
        "storage/message/ses_1/msg_3.json",
        r#"{"id":"msg_3","sessionID":"ses_1","role":"assistant","summary":true,"time":{"created":1793610002000}}"#,
    ),
    ("storage/message/ses_2/msg_9.json", r#"{"id":"msg_9","role":"user"}"#),
    (
        "storage/part/msg_1/prt_1.json",
        r#"{"id":"prt_1","messageID":"msg_1","sessionID":"ses_1","type":"text","text":"Read the file","synthetic":true}"#,
    ),
    ("storage/part/msg_1/prt_2.json", r#"{"id":"prt_2","type":"text","text":"Add a retry"}"#),
    (
        "storage/part/msg_1/prt_3.json",
        r#"{"id":"prt_3","type":"file","mime":"image/png","url":"data:image/png;base64,AAAA"}"#,
    ),
    ("storage/part/msg_2/prt_4.json", r#"{"id":"prt_4","type":"step-start"}"#),
    ("storage/part/msg_2/prt_5.json", r#"{"id":"prt_5","type":"reasoning","text":"hm"}"#),
    (
        "storage/part/msg_2/prt_6.json",
        r#"{"id":"prt_6","type":"tool","callID":"c","tool":"bash","state":{"status":"completed","input":{"command":"ls"},"output":"a.py"}}"#,
    ),
    ("storage/part/msg_3/prt_7.json", r#"{"id":"prt_7","type":"text","text":"So far"}"#),
];

#[test]
fn the_tree_of_files_makes_a_session() {
    let (session, turns) = one(OpencodeJson, PATH, FILES);
    assert_eq!(
        told(&turns),
        [
            "User: Read the file | Add a retry | <image/png 4>",
            "Assistant: (hm) | bash[c] {\"command\":\"ls\"}",
            "Tool: [c] a.py",
            "System: == So far",
        ]
    );
    assert_eq!((&*session.id, session.title.as_deref()), ("ses_1", Some("Importer retry")));
    assert_eq!(session.project.as_deref(), Some("/home/user/code/shop"));
    assert_eq!((session.turns, session.model.as_deref()), (2, Some("example")));
    assert_eq!(
        (at(session.started), at(session.last)),
        ("2026-11-02T09:00:00Z".into(), "2026-11-02T09:08:20Z".into())
    );
}

#[test]
fn an_unnamed_session_takes_the_first_words_and_its_projects_folder() {
    let mut files = Files::of(FILES);
    let text = r#"{"id":"ses_1","projectID":"p1","parentID":"ses_0","title":"New session - 2026-11-02T09:00:00.000Z"}"#;
    files.0.insert(PATH.into(), text.into());
    files.0.insert(
        "storage/project/p1.json".into(),
        br#"{"id":"p1","worktree":"/home/user/tree"}"#.to_vec(),
    );
    files.0.insert("storage/message/ses_1/msg_4.json".into(), b"{torn".to_vec());
    let heard = super::hear(OpencodeJson, PATH, &files);
    let (session, _) = &heard.sessions[0];
    assert_eq!(session.title.as_deref(), Some("Add a retry"));
    assert_eq!(
        (session.project.as_deref(), session.parent.as_deref()),
        (Some("/home/user/tree"), Some("ses_0"))
    );
    assert_eq!(session.gaps.bad_records, 1);
}
