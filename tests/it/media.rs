//! Where the bytes of attachments are kept: what every kind of object store has to give.

use std::fmt;
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::TryStreamExt;
use futures::stream::BoxStream;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use natter::api::Variant;
use natter::config::MediaConfig;
use natter::domain::{AttachmentId, Timestamp};
use natter::media::{Media, MediaError, SHARDS, Stored, UNKNOWN};
use object_store::memory::InMemory;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, UploadPart,
};
use sha2::{Digest, Sha256};

use crate::support::Shelf;

/// Expands each contract once for a folder, once for a bucket, and once for objects in memory.
macro_rules! contract {
    ($($name:ident),+ $(,)?) => {
        mod folder {$(
            #[tokio::test]
            async fn $name() {
                let shelf = super::Shelf::folder();
                super::$name(&super::media_on(&shelf)).await;
                shelf.comes_to_hold_nothing_half_written().await;
            }
        )+}
        mod s3 {$(
            #[tokio::test]
            async fn $name() {
                let Some(shelf) = super::Shelf::bucket() else { return };
                super::$name(&super::media_on(&shelf)).await;
                shelf.comes_to_hold_nothing_half_written().await;
            }
        )+}
        mod memory {$(
            #[tokio::test]
            async fn $name() {
                super::$name(&natter::media::Media::new(std::sync::Arc::new(super::InMemory::new()))).await;
            }
        )+}
    };
}

contract![
    what_was_written_is_read_back_whole_and_in_parts,
    a_large_file_arrives_in_pieces_of_any_size,
    a_file_of_many_parts_is_read_across_them,
    nothing_is_there_before_the_end_nor_after_a_drop,
    one_byte_too_many_leaves_nothing,
    an_empty_file_is_a_file,
    a_picture_has_a_size_and_a_smaller_one,
    what_only_claims_to_be_a_picture_is_a_file,
    what_is_removed_is_gone_and_may_be_removed_again,
    a_sweep_lists_what_is_old,
];

pub(crate) fn media_on(shelf: &Shelf) -> Media {
    Media::connect(&shelf.config(), Path::new("/")).unwrap()
}

pub(crate) fn id(number: u64) -> AttachmentId {
    AttachmentId::new(1_700_000_000_000, number)
}

/// Bytes without a pattern that any type begins with.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8 | 0x80).collect()
}

fn picture(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let drawn = RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, 99]));
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::from(drawn).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

pub(crate) async fn store(media: &Media, id: AttachmentId, bytes: &[u8]) -> Stored {
    let mut writer = media.writer(id, bytes.len() as u64);
    writer.write(bytes).await.unwrap();
    writer.finish().await.unwrap()
}

pub(crate) async fn read(
    media: &Media,
    id: AttachmentId,
    size: u64,
    range: std::ops::Range<u64>,
) -> Vec<u8> {
    let object = media.open(id, size, Variant::Original).await.unwrap();
    collect(object.read(range).await.unwrap()).await
}

async fn collect(bytes: natter::media::Bytes) -> Vec<u8> {
    bytes.try_fold(Vec::new(), async |all, next| Ok([all, next.to_vec()].concat())).await.unwrap()
}

async fn is_missing(media: &Media, id: AttachmentId) -> bool {
    let object = media.open(id, 1, Variant::Original).await.unwrap();
    matches!(object.read(0..1).await, Err(MediaError::NotFound))
}

async fn what_was_written_is_read_back_whole_and_in_parts(media: &Media) {
    let bytes = noise(3000);
    let stored = store(media, id(1), &bytes).await;
    assert_eq!((stored.size, stored.content_type, stored.image), (3000, UNKNOWN, None));
    assert_eq!(stored.sha256, <[u8; 32]>::from(Sha256::digest(&bytes)));
    for (range, expected) in [
        (0..3000, &bytes[..]),
        (0..1, &bytes[..1]),
        (10..20, &bytes[10..20]),
        (2999..3000, &bytes[2999..]),
        (5..5, &[]),
    ] {
        assert_eq!(read(media, id(1), 3000, range.clone()).await, expected, "{range:?}");
    }
}

async fn a_large_file_arrives_in_pieces_of_any_size(media: &Media) {
    let bytes = noise(3 << 20);
    for (number, piece) in [(1, 1000), (2, 700_000), (3, 3 << 20)] {
        let mut writer = media.writer(id(number), 3 << 20);
        for piece in bytes.chunks(piece) {
            writer.write(piece).await.unwrap();
        }
        let stored = writer.finish().await.unwrap();
        assert_eq!(stored.size, 3 << 20);
        assert_eq!(stored.sha256, <[u8; 32]>::from(Sha256::digest(&bytes)));
        assert!(read(media, id(number), 3 << 20, 0..3 << 20).await == bytes, "{piece}");
        assert_eq!(
            read(media, id(number), 3 << 20, 2_000_000..2_000_005).await,
            bytes[2_000_000..2_000_005]
        );
    }
}

async fn a_file_of_many_parts_is_read_across_them(media: &Media) {
    let size = 12 << 20;
    let bytes = noise(size);
    let stored = store(media, id(1), &bytes).await;
    assert_eq!(stored.size, size as u64);
    assert_eq!(stored.sha256, <[u8; 32]>::from(Sha256::digest(&bytes)));
    for range in [0..size, (5 << 20) - 3..(5 << 20) + 3, (10 << 20) - 1..size, size - 1..size] {
        let part = range.start as u64..range.end as u64;
        assert!(read(media, id(1), size as u64, part).await == bytes[range.clone()], "{range:?}");
    }
}

async fn nothing_is_there_before_the_end_nor_after_a_drop(media: &Media) {
    let mut writer = media.writer(id(1), 8 << 20);
    writer.write(&noise(6 << 20)).await.unwrap();
    assert!(is_missing(media, id(1)).await);
    drop(writer);
    assert!(is_missing(media, id(1)).await);
}

async fn one_byte_too_many_leaves_nothing(media: &Media) {
    for limit in [10, 6 << 20] {
        let mut writer = media.writer(id(limit), limit);
        let bytes = noise(usize::try_from(limit).unwrap());
        writer.write(&bytes).await.unwrap();
        assert!(
            matches!(writer.write(b"x").await, Err(MediaError::TooLarge { limit: told }) if told == limit)
        );
        drop(writer);
        assert!(is_missing(media, id(limit)).await);
    }
}

async fn an_empty_file_is_a_file(media: &Media) {
    let stored = store(media, id(1), b"").await;
    assert_eq!((stored.size, stored.content_type), (0, UNKNOWN));
    assert_eq!(read(media, id(1), 0, 0..0).await, b"");
}

async fn a_picture_has_a_size_and_a_smaller_one(media: &Media) {
    let bytes = picture(800, 1600, ImageFormat::Png);
    let stored = store(media, id(1), &bytes).await;
    let image = stored.image.unwrap();
    assert_eq!((stored.content_type, image.width, image.height), ("image/png", 800, 1600));
    assert!(image.has_thumbnail);
    let object = media.open(id(1), stored.size, Variant::Thumbnail).await.unwrap();
    assert_eq!(object.thumbnail_type(), Some("image/jpeg"));
    let size = object.size();
    let small = collect(object.read(0..size).await.unwrap()).await;
    let small = image::load_from_memory(&small).unwrap();
    assert_eq!((small.width(), small.height()), (320, 640));
}

async fn what_only_claims_to_be_a_picture_is_a_file(media: &Media) {
    let png = picture(100, 100, ImageFormat::Png);
    for (number, bytes) in [&png[..png.len() / 2], b"GIF89a=1;alert(1)", b"\xff\xd8\xff\xe0nothing"]
        .into_iter()
        .enumerate()
    {
        let stored = store(media, id(number as u64), bytes).await;
        assert_eq!((stored.content_type, stored.image), (UNKNOWN, None));
        let thumbnail = media.open(id(number as u64), stored.size, Variant::Thumbnail).await;
        assert!(matches!(thumbnail, Err(MediaError::NotFound)));
    }
}

async fn what_is_removed_is_gone_and_may_be_removed_again(media: &Media) {
    let bytes = picture(700, 10, ImageFormat::Jpeg);
    store(media, id(1), &bytes).await;
    media.remove(id(1)).await.unwrap();
    assert!(is_missing(media, id(1)).await);
    assert!(matches!(media.open(id(1), 1, Variant::Thumbnail).await, Err(MediaError::NotFound)));
    media.remove(id(1)).await.unwrap();
}

async fn a_sweep_lists_what_is_old(media: &Media) {
    store(media, id(1), &picture(700, 10, ImageFormat::Jpeg)).await;
    store(media, id(0x0101), b"two").await;
    let later = Timestamp::now().plus(Duration::from_secs(60));
    let mut found = Vec::new();
    for shard in 0..SHARDS {
        found.extend(media.list(shard, later, 100).await.unwrap());
        assert!(media.list(shard, Timestamp(0), 100).await.unwrap().is_empty());
    }
    found.sort();
    assert_eq!(found, [id(1), id(0x0101)]);
}

#[cfg(unix)]
#[tokio::test]
async fn the_folder_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    Media::connect(&MediaConfig::default(), &folder.path().join("data")).unwrap();
    let mode = std::fs::metadata(folder.path().join("data/media")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test]
async fn a_lack_of_room_is_told_from_other_failures() {
    for (failure, full) in [(28, true), (122, true), (5, false)] {
        let media = Media::new(Arc::new(Failing { objects: InMemory::new(), errno: failure }));
        for size in [10, 1 << 20] {
            let mut writer = media.writer(id(1), size as u64);
            let written = writer.write(&noise(size)).await;
            let error = match written {
                Ok(()) => writer.finish().await.unwrap_err(),
                Err(error) => error,
            };
            assert_eq!(matches!(error, MediaError::Full(_)), full, "{failure} {size} {error:?}");
            assert_eq!(
                matches!(error, MediaError::Unavailable(_)),
                !full,
                "{failure} {size} {error:?}"
            );
        }
    }
}

/// Objects in memory of which none can be written: the system answers with `errno`.
#[derive(Debug)]
struct Failing {
    objects: InMemory,
    errno: i32,
}

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Failing")
    }
}

fn failure(errno: i32) -> object_store::Error {
    let source = Box::new(std::io::Error::from_raw_os_error(errno));
    object_store::Error::Generic { store: "failing", source }
}

#[async_trait]
impl ObjectStore for Failing {
    async fn put_opts(
        &self,
        _: &object_store::path::Path,
        _: PutPayload,
        _: PutOptions,
    ) -> object_store::Result<PutResult> {
        Err(failure(self.errno))
    }

    async fn put_multipart_opts(
        &self,
        _: &object_store::path::Path,
        _: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        Ok(Box::new(FailingUpload(self.errno)))
    }

    async fn get_opts(
        &self,
        location: &object_store::path::Path,
        options: GetOptions,
    ) -> object_store::Result<GetResult> {
        self.objects.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<object_store::path::Path>>,
    ) -> BoxStream<'static, object_store::Result<object_store::path::Path>> {
        self.objects.delete_stream(locations)
    }

    fn list(
        &self,
        prefix: Option<&object_store::path::Path>,
    ) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.objects.list(prefix)
    }

    async fn list_with_delimiter(
        &self,
        prefix: Option<&object_store::path::Path>,
    ) -> object_store::Result<ListResult> {
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(
        &self,
        from: &object_store::path::Path,
        to: &object_store::path::Path,
        options: CopyOptions,
    ) -> object_store::Result<()> {
        self.objects.copy_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct FailingUpload(i32);

#[async_trait]
impl MultipartUpload for FailingUpload {
    fn put_part(&mut self, _: PutPayload) -> UploadPart {
        let errno = self.0;
        Box::pin(async move { Err(failure(errno)) })
    }

    async fn complete(&mut self) -> object_store::Result<PutResult> {
        Err(failure(self.0))
    }

    async fn abort(&mut self) -> object_store::Result<()> {
        Ok(())
    }
}
