//! Who and where a snapshot was made: host, user, offset of the local zone.

use jiff::tz::TimeZone;

use super::environment::Environment;
use crate::error::Result;
use crate::files::Owners;
use crate::time::Timestamp;

/// The names that this machine writes into its snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The machine's name, or what stands for it.
    pub host: String,
    /// The user's name, or their number where there is none.
    pub user: String,
}

impl Identity {
    /// Finds the names; `STASH_HOST` stands for the machine's own name.
    pub fn find(environment: &Environment) -> Result<Self> {
        let host = environment.text("STASH_HOST")?.unwrap_or_else(host_name);
        let user = match environment.text("USER")? {
            Some(user) => user,
            None => environment.text("LOGNAME")?.unwrap_or_else(own_user),
        };
        Ok(Identity { host, user })
    }
}

fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

fn own_user() -> String {
    let number = rustix::process::getuid().as_raw();
    Owners::of_system().user_name(number).map_or_else(|| number.to_string(), ToOwned::to_owned)
}

/// Returns the offset of `zone` from UTC at `moment`, in minutes, east positive.
pub fn offset_minutes(moment: Timestamp, zone: &TimeZone) -> i16 {
    let offset_seconds = jiff::Timestamp::from_nanosecond(i128::from(moment.0))
        .map_or(0, |moment| zone.to_offset(moment).seconds());
    i16::try_from(offset_seconds.div_euclid(60)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_stands_for_the_machines_name() {
        let environment = Environment::given([("STASH_HOST", "laptop"), ("USER", "ann")]);
        let identity = Identity::find(&environment).unwrap();
        assert_eq!(identity, Identity { host: "laptop".into(), user: "ann".into() });
        let nameless = Identity::find(&Environment::given([])).unwrap();
        assert!(!nameless.host.is_empty() && !nameless.user.is_empty());
    }

    #[test]
    fn the_offset_follows_daylight_saving() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let winter: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let summer: jiff::Timestamp = "2026-07-01T00:00:00Z".parse().unwrap();
        let nanoseconds = |moment: jiff::Timestamp| i64::try_from(moment.as_nanosecond()).unwrap();
        assert_eq!(offset_minutes(Timestamp(nanoseconds(winter)), &berlin), 60);
        assert_eq!(offset_minutes(Timestamp(nanoseconds(summer)), &berlin), 120);
        assert_eq!(offset_minutes(Timestamp(0), &TimeZone::UTC), 0);
    }
}
