//! Measures an object store: how long it takes to answer, and which operations fail.

use std::fmt;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use object_store::path::Path as Key;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

use crate::metrics::{MediaOperation, Metrics};

/// `objects`, with everything that is asked of them counted in `metrics`.
#[derive(Debug)]
pub(super) struct Measured {
    objects: Arc<dyn ObjectStore>,
    metrics: Metrics,
}

impl Measured {
    pub(super) fn new(objects: Arc<dyn ObjectStore>, metrics: Metrics) -> Self {
        Self { objects, metrics }
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.objects.fmt(f)
    }
}

async fn timed<T>(
    metrics: &Metrics,
    operation: MediaOperation,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let began = Instant::now();
    let answer = work.await;
    metrics.media.done(operation, began.elapsed(), is_failure(answer.as_ref().err()));
    answer
}

/// Whether the store has failed: that something is not there is an answer like any other.
fn is_failure(error: Option<&Error>) -> bool {
    error.is_some_and(|error| !matches!(error, Error::NotFound { .. }))
}

/// The same stream; its first answer, or its end, is counted.
fn first_timed<T: 'static>(
    metrics: Metrics,
    operation: MediaOperation,
    mut answers: BoxStream<'static, Result<T>>,
) -> BoxStream<'static, Result<T>> {
    let mut began = Some(Instant::now());
    stream::poll_fn(move |context| {
        let polled = answers.poll_next_unpin(context);
        if let Poll::Ready(answer) = &polled {
            let error = answer.as_ref().and_then(|answer| answer.as_ref().err());
            if let Some(began) = began.take() {
                metrics.media.done(operation, began.elapsed(), is_failure(error));
            }
        }
        polled
    })
    .boxed()
}

#[async_trait]
impl ObjectStore for Measured {
    async fn put_opts(
        &self,
        key: &Key,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let put = self.objects.put_opts(key, payload, options);
        timed(&self.metrics, MediaOperation::Put, put).await
    }

    async fn put_multipart_opts(
        &self,
        key: &Key,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let begun = self.objects.put_multipart_opts(key, options);
        let upload = timed(&self.metrics, MediaOperation::BeginUpload, begun).await?;
        Ok(Box::new(MeasuredUpload { upload, metrics: self.metrics.clone() }))
    }

    async fn get_opts(&self, key: &Key, options: GetOptions) -> Result<GetResult> {
        timed(&self.metrics, MediaOperation::Get, self.objects.get_opts(key, options)).await
    }

    fn delete_stream(
        &self,
        keys: BoxStream<'static, Result<Key>>,
    ) -> BoxStream<'static, Result<Key>> {
        let deleted = self.objects.delete_stream(keys);
        first_timed(self.metrics.clone(), MediaOperation::Delete, deleted)
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        first_timed(self.metrics.clone(), MediaOperation::List, self.objects.list(prefix))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> Result<ListResult> {
        let listed = self.objects.list_with_delimiter(prefix);
        timed(&self.metrics, MediaOperation::List, listed).await
    }

    async fn copy_opts(&self, from: &Key, to: &Key, options: CopyOptions) -> Result<()> {
        timed(&self.metrics, MediaOperation::Copy, self.objects.copy_opts(from, to, options)).await
    }
}

/// An upload in parts.
#[derive(Debug)]
struct MeasuredUpload {
    upload: Box<dyn MultipartUpload>,
    metrics: Metrics,
}

#[async_trait]
impl MultipartUpload for MeasuredUpload {
    fn put_part(&mut self, payload: PutPayload) -> UploadPart {
        let (metrics, part) = (self.metrics.clone(), self.upload.put_part(payload));
        async move { timed(&metrics, MediaOperation::PutPart, part).await }.boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        timed(&self.metrics, MediaOperation::CompleteUpload, self.upload.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        timed(&self.metrics, MediaOperation::AbortUpload, self.upload.abort()).await
    }
}
