//! The repository's header, from the copy that a key slot holds.

use crate::codec::crypto::object_hash;
use crate::error::Result;
use crate::repository::Repository;
use crate::store::ObjectName;

/// Puts the header back if it is missing or is not what its name says; returns whether it was.
pub fn put_header_back(repository: &Repository, dry_run: bool) -> Result<bool> {
    let bytes = repository.header_bytes();
    let name = ObjectName::Repository(object_hash(bytes));
    if repository.store().get(&name)?.is_some_and(|stored| stored == bytes) {
        return Ok(false);
    }
    if !dry_run {
        repository.store().put_back(name, bytes.to_vec().into())?;
    }
    Ok(true)
}
