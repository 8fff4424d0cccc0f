//! Places as definitions write them: a placeholder, then a path, perhaps with wildcards.

use std::path::PathBuf;

use super::words::{Word, nearest};

/// What stands for a folder that differs between machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Placeholder {
    /// The user's home.
    Home,
    /// `XDG_CONFIG_HOME`, or `~/.config`.
    XdgConfig,
    /// `XDG_DATA_HOME`, or `~/.local/share`.
    XdgData,
    /// `XDG_STATE_HOME`, or `~/.local/state`.
    XdgState,
    /// `XDG_CACHE_HOME`, or `~/.cache`.
    XdgCache,
    /// `~/Library/Application Support`.
    ApplicationSupport,
    /// `APPDATA`, or `~/AppData/Roaming`.
    AppData,
    /// `LOCALAPPDATA`, or `~/AppData/Local`.
    LocalAppData,
}

impl Placeholder {
    const ALL: [Placeholder; 8] = [
        Placeholder::Home,
        Placeholder::XdgConfig,
        Placeholder::XdgData,
        Placeholder::XdgState,
        Placeholder::XdgCache,
        Placeholder::ApplicationSupport,
        Placeholder::AppData,
        Placeholder::LocalAppData,
    ];

    /// Returns the word for it, the variable that moves it, and where it lies below the home.
    pub(super) fn about(self) -> (&'static str, Option<&'static str>, &'static str) {
        match self {
            Placeholder::Home => ("home", None, ""),
            Placeholder::XdgConfig => ("xdg-config", Some("XDG_CONFIG_HOME"), ".config"),
            Placeholder::XdgData => ("xdg-data", Some("XDG_DATA_HOME"), ".local/share"),
            Placeholder::XdgState => ("xdg-state", Some("XDG_STATE_HOME"), ".local/state"),
            Placeholder::XdgCache => ("xdg-cache", Some("XDG_CACHE_HOME"), ".cache"),
            Placeholder::ApplicationSupport => {
                ("application-support", None, "Library/Application Support")
            }
            Placeholder::AppData => ("appdata", Some("APPDATA"), "AppData/Roaming"),
            Placeholder::LocalAppData => ("localappdata", Some("LOCALAPPDATA"), "AppData/Local"),
        }
    }

    /// Returns the variables that move placeholders.
    pub(super) fn variables() -> impl Iterator<Item = &'static str> {
        Placeholder::ALL.into_iter().filter_map(|it| it.about().1)
    }
}

impl Word for Placeholder {
    const WHAT: &'static str = "placeholder";

    fn all() -> &'static [Self] {
        &Placeholder::ALL
    }

    fn word(self) -> &'static str {
        self.about().0
    }
}

/// A place: a placeholder (none: the file system's root), and what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceTemplate {
    pub(super) placeholder: Option<Placeholder>,
    pub(super) rest: String,
}

/// Why a text is no place.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadPlace {
    #[error("unknown placeholder `{{{word}}}` in the place `{place}`")]
    Placeholder { word: String, place: String },
    #[error("the place `{0}` must begin with a placeholder such as `{{home}}`, or with `/`")]
    Relative(String),
    #[error("the place `{0}` may not hold `..`, `.`, `\\` or an empty part")]
    Parts(String),
}

impl BadPlace {
    /// Returns what to do about it.
    pub(super) fn hint(&self) -> Option<String> {
        let BadPlace::Placeholder { word, .. } = self else { return None };
        let known = || Placeholder::ALL.into_iter().map(Placeholder::word);
        Some(match nearest(word, known()) {
            Some(near) => format!("did you mean `{{{near}}}`?"),
            None => format!("known are {}", known().collect::<Vec<_>>().join(", ")),
        })
    }
}

impl PlaceTemplate {
    /// Reads a place.
    pub(super) fn parse(text: &str) -> Result<PlaceTemplate, BadPlace> {
        let (placeholder, rest) = match text.strip_prefix('{').and_then(|text| text.split_once('}'))
        {
            Some((word, rest)) => {
                let known = Placeholder::ALL.into_iter().find(|it| it.word() == word);
                let place = || text.to_owned();
                let known = known.ok_or_else(|| BadPlace::Placeholder {
                    word: word.to_owned(),
                    place: place(),
                })?;
                if !rest.is_empty() && !rest.starts_with('/') {
                    return Err(BadPlace::Parts(place()));
                }
                (Some(known), rest.strip_prefix('/').unwrap_or(rest))
            }
            None if is_absolute(text) => (None, text),
            None => return Err(BadPlace::Relative(text.to_owned())),
        };
        let parts =
            if placeholder.is_none() { rest.strip_prefix('/').unwrap_or(rest) } else { rest };
        let is_bad = |part: &str| matches!(part, "" | "." | "..") || part.contains(['\\', '\0']);
        if !parts.is_empty() && parts.split('/').any(is_bad) {
            return Err(BadPlace::Parts(text.to_owned()));
        }
        Ok(PlaceTemplate { placeholder, rest: rest.to_owned() })
    }

    /// Returns the place as it was written.
    pub fn text(&self) -> String {
        match self.placeholder {
            Some(it) if self.rest.is_empty() => format!("{{{}}}", it.word()),
            Some(it) => format!("{{{}}}/{}", it.word(), self.rest),
            None => self.rest.clone(),
        }
    }
}

/// Returns whether a text is an absolute path on some system.
pub(super) fn is_absolute(text: &str) -> bool {
    let is_drive = |text: &str| {
        let mut letters = text.chars();
        letters.next().is_some_and(|letter| letter.is_ascii_alphabetic())
            && letters.next() == Some(':')
            && letters.next().is_some_and(|letter| matches!(letter, '/' | '\\'))
    };
    text.starts_with('/') || is_drive(text)
}

/// Appends a path of a definition, whose parts `/` separates, to a place.
pub(super) fn append(mut place: PathBuf, path: &str) -> PathBuf {
    for part in path.split('/').filter(|part| !part.is_empty()) {
        place.push(part);
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_and_come_back_as_they_were_written() {
        for text in ["{home}/.claude", "{xdg-config}/*/User/x y", "/etc/x", "C:/Data/x", "{home}"] {
            assert_eq!(PlaceTemplate::parse(text).unwrap().text(), text);
        }
    }

    #[test]
    fn what_is_no_place_is_refused_with_its_reason() {
        let bad = PlaceTemplate::parse("{hom}/x").unwrap_err();
        assert!(bad.to_string().contains("`{hom}`"), "{bad}");
        assert_eq!(bad.hint().as_deref(), Some("did you mean `{home}`?"));
        for text in ["x/y", "~/.claude", "", "./x"] {
            assert_eq!(PlaceTemplate::parse(text), Err(BadPlace::Relative(text.into())), "{text}");
        }
        for text in ["{home}/../x", "{home}/a//b", "{home}x", "/a/./b", "{home}\\x", "{home}/x/"] {
            assert_eq!(PlaceTemplate::parse(text), Err(BadPlace::Parts(text.into())), "{text}");
        }
    }
}
