//! Names of users and groups, from `/etc/passwd` and `/etc/group` alone.
//!
//! Read once and then only looked up, so it can be shared between threads. Accounts that only a
//! directory service knows have no name here; their numbers are kept all the same.
#![expect(clippy::disallowed_methods, reason = "files/ reads the local disk")]

use std::collections::HashMap;

/// Numbers to names and back, for users and groups.
#[derive(Debug, Default)]
pub struct Owners {
    users: Table,
    groups: Table,
}

#[derive(Debug, Default)]
struct Table {
    names: HashMap<u32, Box<str>>,
    numbers: HashMap<Box<str>, u32>,
}

impl Owners {
    /// Reads the system's two files; one that can't be read counts as empty.
    pub fn of_system() -> Owners {
        let read = |path| std::fs::read(path).unwrap_or_default();
        Owners::parse(&read("/etc/passwd"), &read("/etc/group"))
    }

    /// Reads the content of the two files. Lines of another shape are passed over.
    pub fn parse(passwd: &[u8], group: &[u8]) -> Owners {
        Owners { users: Table::parse(passwd), groups: Table::parse(group) }
    }

    /// Returns the user's name.
    pub fn user_name(&self, uid: u32) -> Option<&str> {
        self.users.names.get(&uid).map(AsRef::as_ref)
    }

    /// Returns the group's name.
    pub fn group_name(&self, gid: u32) -> Option<&str> {
        self.groups.names.get(&gid).map(AsRef::as_ref)
    }

    /// Returns the user's number.
    pub fn find_user(&self, name: &str) -> Option<u32> {
        self.users.numbers.get(name).copied()
    }

    /// Returns the group's number.
    pub fn find_group(&self, name: &str) -> Option<u32> {
        self.groups.numbers.get(name).copied()
    }
}

impl Table {
    /// Both files have the name first and the number third; of doubles the first counts.
    fn parse(content: &[u8]) -> Table {
        let mut table = Table::default();
        for line in content.split(|&byte| byte == b'\n') {
            let Ok(line) = std::str::from_utf8(line) else { continue };
            let mut fields = line.split(':');
            let (Some(name), Some(number)) = (fields.next(), fields.nth(1)) else { continue };
            let Ok(number) = number.parse() else { continue };
            if name.is_empty() || name.starts_with(['#', '+', '-']) {
                continue;
            }
            table.names.entry(number).or_insert_with(|| name.into());
            table.numbers.entry(name.into()).or_insert(number);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_found_and_odd_lines_passed_over() {
        let passwd = b"root:x:0:0::/root:/bin/sh\n# c\nalias:x:0:0\nbad\n:x:5:\nu:x:no:\n\xff:x:7:";
        let owners = Owners::parse(passwd, b"wheel:x:10:root,u\n");
        assert_eq!(owners.user_name(0), Some("root"));
        assert_eq!(owners.find_user("alias"), Some(0));
        assert_eq!((owners.user_name(5), owners.user_name(7)), (None, None));
        assert_eq!((owners.group_name(10), owners.find_group("wheel")), (Some("wheel"), Some(10)));
        assert_eq!(owners.find_group("root"), None);
    }
}
