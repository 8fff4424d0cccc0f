//! What a store's failure means: one error of ours.

use super::Store;
use crate::error::{Error, Kind};

impl Store {
    pub(super) fn error(&self, doing: &str, object: &str, error: object_store::Error) -> Error {
        let kind = classify(&error);
        let full = find_io(&error).is_some_and(|io| {
            matches!(io.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
        });
        let result = Error::new(kind, format!("{doing} `{object}` in")).object(&*self.description);
        if full {
            result
                .source(std::io::Error::from(std::io::ErrorKind::StorageFull))
                .hint("nothing saved is lost; free some space and run the same command again")
        } else if let Some(io) = find_io(&error) {
            result.source(std::io::Error::new(io.kind(), io.to_string()))
        } else {
            result.source(error)
        }
    }
}

fn find_io(error: &object_store::Error) -> Option<&std::io::Error> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return Some(io);
        }
        cause = error.source();
    }
    None
}

/// A disk that is full is an ordinary failure; anything else is the store's.
fn classify(error: &object_store::Error) -> Kind {
    match find_io(error).map(std::io::Error::kind) {
        Some(std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded) => Kind::Failed,
        _ => Kind::Store,
    }
}
