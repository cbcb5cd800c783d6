//! Writing what is derived, and everything beside the log.

use mongodb::bson::{Document, RawDocumentBuf};
use mongodb::options::UpdateModifications;

use super::Base;
use super::error::duplicate_index;
use super::read::{Rows, bounded};
use crate::store::Result;

impl Base {
    /// Changes the one document that `filter` finds; whether it found one.
    pub(super) async fn update(
        &self,
        rows: &Rows,
        filter: Document,
        change: impl Into<UpdateModifications>,
    ) -> Result<bool> {
        let update = rows.update_one(filter, change);
        Ok(bounded(self.times.call, update).await?.matched_count > 0)
    }

    /// Changes all documents that `filter` finds.
    pub(super) async fn update_all(
        &self,
        rows: &Rows,
        filter: Document,
        change: impl Into<UpdateModifications>,
        hint: &str,
    ) -> Result<u64> {
        let hint = mongodb::options::Hint::Name(hint.to_owned());
        let update = rows.update_many(filter, change).hint(hint);
        Ok(bounded(self.times.call, update).await?.modified_count)
    }

    /// Changes the document that `filter` finds, or makes it. Nothing if there is one with this `_id` that
    /// `filter` does not find, because it is newer.
    pub(super) async fn upsert(
        &self,
        rows: &Rows,
        filter: Document,
        change: impl Into<UpdateModifications>,
    ) -> Result<()> {
        let update = async { rows.update_one(filter, change).upsert(true).await };
        match tokio::time::timeout(self.times.call, update).await {
            Ok(Ok(_done)) => Ok(()),
            Ok(Err(error)) if duplicate_index(&error) == Some("_id_") => Ok(()),
            Ok(Err(error)) => Err(error.into()),
            Err(elapsed) => Err(crate::store::StoreError::Unavailable(elapsed.into())),
        }
    }

    /// Inserts a document; the name of the unique index that refuses it, if one does.
    pub(super) async fn insert_one(
        &self,
        rows: &Rows,
        document: Document,
    ) -> Result<std::result::Result<(), String>> {
        let document = RawDocumentBuf::try_from(&document)
            .map_err(|error| crate::store::StoreError::Malformed(error.into()))?;
        let insert = async { rows.insert_one(document).await };
        match tokio::time::timeout(self.times.call, insert).await {
            Ok(Ok(_done)) => Ok(Ok(())),
            Ok(Err(error)) => match duplicate_index(&error) {
                Some(index) => Ok(Err(index.to_owned())),
                None => Err(error.into()),
            },
            Err(elapsed) => Err(crate::store::StoreError::Unavailable(elapsed.into())),
        }
    }

    /// Deletes all documents that `filter` finds; how many there were.
    pub(super) async fn delete_all(&self, rows: &Rows, filter: Document) -> Result<u64> {
        Ok(bounded(self.times.call, rows.delete_many(filter)).await?.deleted_count)
    }
}
