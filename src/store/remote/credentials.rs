//! What opens a remote store: settings that were found by whoever may look for them.

use zeroize::Zeroizing;

/// Names and values, as the services' own variables call them, in lower case
/// (`aws_access_key_id`). Has no `Debug`: most of it is secret.
#[derive(Clone, Default)]
pub struct Credentials(Vec<(String, Zeroizing<String>)>);

impl Credentials {
    /// Adds a setting; one of the same name that is there already counts.
    pub fn add(&mut self, name: &str, value: Zeroizing<String>) {
        let name = name.to_ascii_lowercase();
        if self.get(&name).is_none() {
            self.0.push((name, value));
        }
    }

    /// Returns a setting.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns those whose names `read` understands.
    pub(super) fn known<K>(
        &self,
        read: impl Fn(&str) -> Option<K>,
    ) -> impl Iterator<Item = (K, &str)> {
        self.0.iter().filter_map(move |(name, value)| Some((read(name)?, value.as_str())))
    }
}
