//! The folders of this machine: config, state, cache, data, runtime.
//!
//! XDG on Linux, the native `Library` folders on macOS. Precedence: option, then `STASH_…_DIR`,
//! then `XDG_…_HOME` (only if absolute, as its rules ask), then the place below the home. Nothing
//! is created here but by [`make_private_folder`].

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::environment::Environment;
use crate::error::{Error, IoContext as _, Kind, Result};

/// What was said on the command line about folders.
#[derive(Debug, Clone, Default)]
pub struct PlaceOptions {
    /// `--config-dir`.
    pub config: Option<PathBuf>,
    /// `--state-dir`.
    pub state: Option<PathBuf>,
    /// `--cache-dir`.
    pub cache: Option<PathBuf>,
    /// `--data-dir`.
    pub data: Option<PathBuf>,
}

/// The folders, absolute; they need not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The configuration file's folder.
    pub config: PathBuf,
    /// What this machine remembers: its lane, heads, locks.
    pub state: PathBuf,
    /// What can be deleted at any moment.
    pub cache: PathBuf,
    /// The default repository and the keys.
    pub data: PathBuf,
    /// Sockets; gone after a reboot.
    pub runtime: PathBuf,
}

/// One kind of folder: its variables, and where it lies below the home.
struct Place {
    what: &'static str,
    stash: &'static str,
    xdg: &'static str,
    below_home: &'static str,
}

#[cfg(not(target_os = "macos"))]
const CONFIG: Place = Place {
    what: "config",
    stash: "STASH_CONFIG_DIR",
    xdg: "XDG_CONFIG_HOME",
    below_home: ".config/stash",
};
#[cfg(not(target_os = "macos"))]
const STATE: Place = Place {
    what: "state",
    stash: "STASH_STATE_DIR",
    xdg: "XDG_STATE_HOME",
    below_home: ".local/state/stash",
};
#[cfg(not(target_os = "macos"))]
const CACHE: Place = Place {
    what: "cache",
    stash: "STASH_CACHE_DIR",
    xdg: "XDG_CACHE_HOME",
    below_home: ".cache/stash",
};
#[cfg(not(target_os = "macos"))]
const DATA: Place = Place {
    what: "data",
    stash: "STASH_DATA_DIR",
    xdg: "XDG_DATA_HOME",
    below_home: ".local/share/stash",
};

// macOS has one folder for config, state and data; sub-folders keep them apart.
#[cfg(target_os = "macos")]
const CONFIG: Place = Place {
    what: "config",
    stash: "STASH_CONFIG_DIR",
    xdg: "XDG_CONFIG_HOME",
    below_home: "Library/Application Support/stash/config",
};
#[cfg(target_os = "macos")]
const STATE: Place = Place {
    what: "state",
    stash: "STASH_STATE_DIR",
    xdg: "XDG_STATE_HOME",
    below_home: "Library/Application Support/stash/state",
};
#[cfg(target_os = "macos")]
const CACHE: Place = Place {
    what: "cache",
    stash: "STASH_CACHE_DIR",
    xdg: "XDG_CACHE_HOME",
    below_home: "Library/Caches/stash",
};
#[cfg(target_os = "macos")]
const DATA: Place = Place {
    what: "data",
    stash: "STASH_DATA_DIR",
    xdg: "XDG_DATA_HOME",
    below_home: "Library/Application Support/stash",
};

impl Place {
    fn find(&self, option: Option<&Path>, environment: &Environment) -> Result<PathBuf> {
        let named = option.map(Path::to_owned);
        if let Some(path) = named.or_else(|| environment.get(self.stash).map(PathBuf::from)) {
            return std::path::absolute(&path).at("cannot use the folder", &path);
        }
        if let Some(path) = environment.absolute_path(self.xdg) {
            return Ok(path.join("stash"));
        }
        let home = environment.home().filter(|home| home.is_absolute());
        home.map(|home| home.join(self.below_home)).ok_or_else(|| {
            Error::new(Kind::Config, format!("no place for the {} folder", self.what))
                .hint(format!("set `HOME`, or `{}`", self.stash))
        })
    }
}

impl Places {
    /// Finds the folders.
    pub fn find(options: &PlaceOptions, environment: &Environment) -> Result<Self> {
        let state = STATE.find(options.state.as_deref(), environment)?;
        let runtime = environment
            .absolute_path("XDG_RUNTIME_DIR")
            .map_or_else(|| state.join("run"), |folder| folder.join("stash"));
        Ok(Places {
            config: CONFIG.find(options.config.as_deref(), environment)?,
            cache: CACHE.find(options.cache.as_deref(), environment)?,
            data: DATA.find(options.data.as_deref(), environment)?,
            state,
            runtime,
        })
    }

    /// Returns where the default local repository lies, or would.
    pub fn default_repository(&self) -> PathBuf {
        self.data.join("repository")
    }

    /// Returns the folder of device keys.
    pub fn keys(&self) -> PathBuf {
        self.data.join("keys")
    }
}

/// Makes a folder and what is missing above it, for this user alone (0700). One that is there
/// already is left as it is.
pub fn make_private_folder(path: &Path) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .at("cannot make the folder", path)
}

/// Removes what lies in a folder of our own and was last touched longer ago than `age`. What can't
/// be removed stays for the next time.
#[expect(clippy::disallowed_methods, reason = "machine/ owns this machine's folders")]
pub fn remove_older(folder: &Path, age: std::time::Duration) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let touched = entry.metadata().and_then(|metadata| metadata.modified());
        let is_old = touched.is_ok_and(|touched| touched.elapsed().is_ok_and(|past| past > age));
        if !is_old {
            continue;
        }
        let path = entry.path();
        let _removed = match entry.file_type() {
            Ok(kind) if kind.is_dir() => std::fs::remove_dir_all(&path),
            _ => std::fs::remove_file(&path),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(not(target_os = "macos"))]
    #[test]
    fn an_option_beats_a_variable_beats_xdg_beats_the_home() {
        let home = Environment::given([("HOME", "/h")]);
        let places = Places::find(&PlaceOptions::default(), &home).unwrap();
        assert_eq!(places.data, Path::new("/h/.local/share/stash"));
        assert_eq!(places.default_repository(), Path::new("/h/.local/share/stash/repository"));
        assert_eq!(places.state, Path::new("/h/.local/state/stash"));
        assert_eq!(places.runtime, Path::new("/h/.local/state/stash/run"));

        let xdg = Environment::given([
            ("HOME", "/h"),
            ("XDG_DATA_HOME", "/x"),
            ("XDG_CACHE_HOME", "relative"),
            ("XDG_RUNTIME_DIR", "/run/user/7"),
        ]);
        let places = Places::find(&PlaceOptions::default(), &xdg).unwrap();
        assert_eq!(places.data, Path::new("/x/stash"));
        assert_eq!(places.cache, Path::new("/h/.cache/stash"));
        assert_eq!(places.runtime, Path::new("/run/user/7/stash"));

        let own =
            Environment::given([("HOME", "/h"), ("XDG_DATA_HOME", "/x"), ("STASH_DATA_DIR", "/s")]);
        assert_eq!(Places::find(&PlaceOptions::default(), &own).unwrap().data, Path::new("/s"));
        let option = PlaceOptions { data: Some("/o".into()), ..PlaceOptions::default() };
        assert_eq!(Places::find(&option, &own).unwrap().data, Path::new("/o"));
    }

    #[test]
    fn without_a_home_the_error_names_the_variable() {
        let error = Places::find(&PlaceOptions::default(), &Environment::given([])).unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.hint_text().unwrap().contains("STASH_STATE_DIR"));
    }

    #[expect(clippy::disallowed_methods, reason = "a test looks at the disk")]
    #[test]
    fn only_what_is_old_enough_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("copy/deep")).unwrap();
        std::fs::write(folder.path().join("file"), "x").unwrap();
        remove_older(folder.path(), std::time::Duration::from_mins(1));
        assert!(folder.path().join("file").exists() && folder.path().join("copy").exists());
        std::thread::sleep(std::time::Duration::from_millis(20));
        remove_older(folder.path(), std::time::Duration::from_millis(10));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_private_folder_is_closed_to_others() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        make_private_folder(&path).unwrap();
        make_private_folder(&path).unwrap();
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
