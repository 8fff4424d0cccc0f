use super::super::super::words::SessionShape::AiderMd;
use super::{Files, at, hear, told};

const PATH: &str = ".aider.chat.history.md";

pub(super) const EXAMPLE: &str = "
# aider chat started at 2026-11-06 14:20:11

> /usr/bin/aider --model example
> Main model: example with diff edit format

#### make the importer idempotent
#### and fast

Sure, here is the change.

```python
# aider chat started at 2020-01-01 00:00:00
#### no words of a person's
> no notice
```

> Applied edit to importer.py

# aider chat started at 2026-11-07 09:00:00

#### hello
Hi.
";

#[test]
fn a_header_begins_a_session_and_marks_tell_who_speaks() {
    let heard = hear(AiderMd, PATH, &Files::of(&[(PATH, EXAMPLE)]));
    let [(first, turns), (second, more)] = &heard.sessions[..] else { panic!("{heard:?}") };
    assert_eq!(
        told(turns),
        [
            "System: /usr/bin/aider --model example\nMain model: example with diff edit format",
            "User: make the importer idempotent\nand fast",
            "Assistant: Sure, here is the change.\n\n```python\n\
             # aider chat started at 2020-01-01 00:00:00\n#### no words of a person's\n> no notice\n```",
            "System: Applied edit to importer.py",
        ]
    );
    assert_eq!(told(more), ["User: hello", "Assistant: Hi."]);
    assert_eq!(first.title.as_deref(), Some("make the importer idempotent"));
    assert_eq!((first.turns, first.model.as_deref()), (2, Some("example")));
    assert_eq!(first.project.as_deref(), Some("/home/user/root"));
    assert_eq!(at(first.started), "2026-11-06T14:20:11Z");
    assert!(first.id.ends_with("-1-20261106142011") && second.id.ends_with("-2-20261107090000"));
    assert_eq!(first.bytes + second.bytes, EXAMPLE.len() as u64 - 1);
}

#[test]
fn ids_stay_and_the_revision_changes_where_a_session_goes_on() {
    let sessions = |text: &str| {
        let heard = hear(AiderMd, PATH, &Files::of(&[(PATH, text)]));
        heard.sessions.into_iter().map(|(it, _)| (it.id, it.revision)).collect::<Vec<_>>()
    };
    let before = sessions(EXAMPLE);
    let after = sessions(&format!("{EXAMPLE}\n#### more\n"));
    assert_eq!(before[0], after[0]);
    assert_eq!(before[1].0, after[1].0);
    assert!(before[1].1 != after[1].1 && before[0].1 != 0);
    let altered = sessions(&EXAMPLE.replace("Hi.", "Ho."));
    assert!(before[1].0 == altered[1].0 && before[1].1 != altered[1].1);
}

#[test]
fn two_projects_have_no_id_in_common() {
    let files = Files::of(&[(PATH, EXAMPLE), ("a/.aider.chat.history.md", EXAMPLE)]);
    let [one, other] = [PATH, "a/.aider.chat.history.md"].map(|path| hear(AiderMd, path, &files));
    assert_ne!(one.sessions[0].0.id, other.sessions[0].0.id);
    assert_eq!(other.sessions[0].0.project.as_deref(), Some("/home/user/root/a"));
}

#[test]
fn a_text_without_a_header_is_a_session_without_a_time() {
    let heard = hear(AiderMd, PATH, &Files::of(&[(PATH, "#### hi\nyes\n")]));
    assert_eq!((heard.sessions.len(), heard.sessions[0].0.started), (1, None));
    assert!(hear(AiderMd, PATH, &Files::of(&[(PATH, "\n\n")])).sessions.is_empty());
}

#[test]
fn a_fence_that_was_never_closed_does_not_hide_all_that_follows() {
    let text = format!(
        "# aider chat started at 2026-11-06 14:20:11\n#### a\n```\n{}\n# aider chat started at 2026-11-07 14:20:11\n#### b\n",
        "code\n".repeat(5000)
    );
    assert_eq!(hear(AiderMd, PATH, &Files::of(&[(PATH, &text)])).sessions.len(), 2);
}
