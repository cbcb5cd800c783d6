//! Reading: always what a majority has, each query by the index that is its own, and never without an end.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use mongodb::bson::{Document, RawDocumentBuf};
use mongodb::options::{FindOptions, Hint};
use mongodb::{ClientSession, Collection};
use tokio::time::timeout;

use crate::store::{Result, StoreError};

/// A collection, whose documents are read field by field.
pub(super) type Rows = Collection<RawDocumentBuf>;

/// Documents in one answer of the server, unless fewer are asked for.
const BATCH: u32 = 5_000;

/// Waits for `work`, no longer than `limit`.
///
/// # Errors
///
/// What the driver says, and [`StoreError::Unavailable`] when the time is over.
pub(super) async fn bounded<T>(
    limit: Duration,
    work: impl IntoFuture<Output = mongodb::error::Result<T>>,
) -> Result<T> {
    match timeout(limit, work.into_future()).await {
        Ok(done) => Ok(done?),
        Err(elapsed) => Err(StoreError::Unavailable(elapsed.into())),
    }
}

/// Queries at the same time for one list.
const AT_ONCE: usize = 16;

/// Waits for all of `work`, a few at a time, in its order.
///
/// # Errors
///
/// The first one that comes.
pub(super) async fn all_of<T>(work: Vec<impl Future<Output = Result<T>>>) -> Result<Vec<T>> {
    stream::iter(work).buffered(AT_ONCE).try_collect().await
}

/// A query that is put together.
pub(super) struct Query<'a> {
    rows: &'a Rows,
    filter: Document,
    options: FindOptions,
    within: Duration,
}

impl<'a> Query<'a> {
    /// What `filter` says, by the index `hint`.
    pub(super) fn new(rows: &'a Rows, within: Duration, filter: Document, hint: &str) -> Self {
        let mut options = FindOptions::default();
        options.hint = Some(Hint::Name(hint.to_owned()));
        options.batch_size = Some(BATCH);
        // A server that is left alone with a query gives it up as well.
        options.max_time = Some(within);
        Self { rows, filter, options, within }
    }

    pub(super) fn sort(mut self, order: Document) -> Self {
        self.options.sort = Some(order);
        self
    }

    /// At most `limit` documents, which come in one answer.
    pub(super) fn limit(mut self, limit: u32) -> Self {
        self.options.limit = Some(i64::from(limit));
        self.options.batch_size = Some(limit);
        self
    }

    pub(super) fn skip(mut self, skip: u32) -> Self {
        self.options.skip = Some(u64::from(skip));
        self
    }

    /// Only these fields.
    pub(super) fn only(mut self, fields: Document) -> Self {
        self.options.projection = Some(fields);
        self
    }

    pub(super) async fn list(self) -> Result<Vec<RawDocumentBuf>> {
        if self.options.limit == Some(0) {
            return Ok(Vec::new()); // To the server 0 means without a limit.
        }
        let found = async {
            self.rows.find(self.filter).with_options(self.options).await?.try_collect().await
        };
        bounded(self.within, found).await
    }

    /// As [`Query::list`], seeing at least what the earlier reads of `session` have seen.
    pub(super) async fn list_in(self, session: &mut ClientSession) -> Result<Vec<RawDocumentBuf>> {
        let found = async {
            let query = self.rows.find(self.filter).with_options(self.options);
            let mut cursor = query.session(&mut *session).await?;
            cursor.stream(session).try_collect().await
        };
        bounded(self.within, found).await
    }

    /// The first one, as [`Query::list_in`].
    pub(super) async fn first_in(
        self,
        session: &mut ClientSession,
    ) -> Result<Option<RawDocumentBuf>> {
        Ok(self.limit(1).list_in(session).await?.pop())
    }

    /// The first one, if there is any.
    pub(super) async fn first(self) -> Result<Option<RawDocumentBuf>> {
        Ok(self.limit(1).list().await?.pop())
    }

    /// Whether there is any.
    pub(super) async fn exists(self) -> Result<bool> {
        Ok(self.only(mongodb::bson::doc! { "_id": 1 }).first().await?.is_some())
    }
}
