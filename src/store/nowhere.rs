//! A store that is not asked: stands for one behind a network where only what is remembered counts.

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::Store;

#[derive(Debug)]
struct Nowhere;

impl std::fmt::Display for Nowhere {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a store that is not asked")
    }
}

fn not_asked<T>() -> Result<T> {
    Err(Error::Generic { store: "remembered", source: "the store is not asked now".into() })
}

#[async_trait]
impl ObjectStore for Nowhere {
    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        not_asked()
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        not_asked()
    }

    async fn get_opts(&self, _: &Path, _: GetOptions) -> Result<GetResult> {
        not_asked()
    }

    fn delete_stream(
        &self,
        _: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        stream::iter([not_asked()]).boxed()
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        stream::iter([not_asked()]).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        not_asked()
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        not_asked()
    }
}

impl Store {
    /// Returns a store of which only this machine's memory and copies count: whatever else is asked of
    /// it fails, and nothing is sent anywhere.
    pub fn not_asked(description: &str) -> Store {
        Store::from_object_store(std::sync::Arc::new(Nowhere), description).remote()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::store::Prefix;

    #[test]
    fn whatever_is_asked_fails_at_once() {
        let store = Store::not_asked("s3://bucket");
        assert!(store.is_remote());
        assert_eq!(store.list(Prefix::Packs).unwrap_err().kind(), Kind::Store);
        assert!(store.now().is_err());
    }
}
