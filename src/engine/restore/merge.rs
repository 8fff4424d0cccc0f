//! Joining a file of a snapshot with the one that is there. Pure.
//!
//! Some files hold what an agent must not lose by a restore: its sign-in, its machine's registers.
//! They are joined: what is there stays, what only the snapshot has comes back.

use serde_json::Value;

/// Nothing is followed deeper than this.
const DEEPEST: usize = 64;

/// Joins two JSON documents: objects key by key; lists of objects by the value of `key`, if it is
/// given. Whatever else both have stays as it is in `there`.
pub fn join_json(there: Value, saved: Value, key: Option<&str>) -> Value {
    join(there, saved, key, 0)
}

fn join(there: Value, saved: Value, key: Option<&str>, depth: usize) -> Value {
    match (there, saved) {
        (Value::Object(mut there), Value::Object(saved)) if depth < DEEPEST => {
            for (name, value) in saved {
                let joined = match there.remove(&name) {
                    Some(own) => join(own, value, key, depth.saturating_add(1)),
                    None => value,
                };
                there.insert(name, joined);
            }
            Value::Object(there)
        }
        (Value::Array(mut there), Value::Array(saved)) => {
            let Some(key) = key else { return Value::Array(there) };
            for item in saved {
                let id = item.get(key);
                if id.is_some() && !there.iter().any(|own| own.get(key) == id) {
                    there.push(item);
                }
            }
            Value::Array(there)
        }
        (there, _) => there,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_there_stays_and_what_is_missing_comes_back() {
        let there = json!({"token": "new", "projects": {"/a": {"x": 1}}, "n": [1]});
        let saved =
            json!({"token": "old", "projects": {"/a": {"x": 2, "y": 3}, "/b": {}}, "n": [2]});
        let joined = join_json(there, saved, None);
        let expected =
            json!({"token": "new", "projects": {"/a": {"x": 1, "y": 3}, "/b": {}}, "n": [1]});
        assert_eq!(joined, expected);
    }

    #[test]
    fn lists_of_objects_are_joined_by_their_key() {
        let there = json!([{"id": 1, "title": "mine"}]);
        let saved = json!([{"id": 1, "title": "old"}, {"id": 2}, {"other": 3}, 4]);
        assert_eq!(
            join_json(there, saved, Some("id")),
            json!([{"id": 1, "title": "mine"}, {"id": 2}])
        );
    }

    #[test]
    fn documents_of_two_kinds_leave_what_is_there() {
        assert_eq!(join_json(json!([1]), json!({"a": 1}), None), json!([1]));
    }
}
