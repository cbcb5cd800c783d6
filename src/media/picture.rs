//! Pictures: their size, and a smaller one of each.
//!
//! A picture is hostile until decoded: its claimed size is checked before anything is allocated for
//! it, decoding runs on threads made for blocking, no more at once than the machine has cores, and
//! whatever fails to decode is just a file.

use std::io::{BufRead, BufReader, Cursor, Seek};
use std::num::NonZero;
use std::sync::Arc;

use bytes::Bytes;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use object_store::GetResult;
use object_store::GetResultPayload;
use tokio::sync::Semaphore;

/// The most pixels that are decoded: 50 megapixels, 200 MB of memory at four bytes each.
const MAX_PIXELS: u64 = 50_000_000;

/// The most memory that decoding one picture may take. Enough for [`MAX_PIXELS`] of four bytes.
const MAX_DECODED_BYTES: u64 = 256 << 20;

/// The largest file that is decoded: what stands between a store without files and its memory.
pub(super) const MAX_FILE_BYTES: u64 = 64 << 20;

/// The longest side of a thumbnail.
const THUMBNAIL_SIDE: u32 = 640;

/// The largest file that serves as its own thumbnail, if it is small enough in pixels too.
const LIGHT_BYTES: u64 = 64 << 10;

/// Of 100; above it files grow much and look alike.
const JPEG_QUALITY: u8 = 80;

/// A picture that was decoded.
pub(super) struct Picture {
    /// Pixels across, as it is shown (turned as its camera noted).
    pub(super) width: u32,
    /// Pixels down, likewise.
    pub(super) height: u32,
    /// A smaller still of it, if one is worth having.
    pub(super) thumbnail: Option<Bytes>,
}

/// Where pictures are decoded. Clones share the bound.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    permits: Arc<Semaphore>,
}

impl Pool {
    /// A pool of as many threads as there are cores.
    pub(super) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self { permits: Arc::new(Semaphore::new(cores)) }
    }

    /// Decodes what `open` answers with; `None` if that is no picture of `format`, or too large a one.
    ///
    /// Waits its turn before it opens, so that a picture in memory is there only while it is decoded.
    ///
    /// # Errors
    ///
    /// Only if the store fails to answer with the bytes.
    pub(super) async fn decode(
        &self,
        format: ImageFormat,
        open: impl Future<Output = object_store::Result<GetResult>>,
    ) -> object_store::Result<Option<Picture>> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let found = open.await?;
        let size = found.meta.size;
        let decoded = match found.payload {
            GetResultPayload::File(file, _) => tokio::task::spawn_blocking(move || {
                let _permit = permit;
                read(BufReader::new(file), format, size)
            }),
            GetResultPayload::Stream(_) => {
                let bytes = found.bytes().await?;
                tokio::task::spawn_blocking(move || {
                    let _permit = permit;
                    read(Cursor::new(bytes), format, size)
                })
            }
        };
        Ok(match decoded.await {
            Ok(Ok(picture)) => Some(picture),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a picture is kept as a file, for it cannot be decoded");
                None
            }
            Err(panic) => {
                tracing::warn!(error = %panic, "a decoder of pictures panicked");
                None
            }
        })
    }
}

fn read(
    source: impl BufRead + Seek,
    format: ImageFormat,
    size: u64,
) -> Result<Picture, image::ImageError> {
    let mut reader = ImageReader::with_format(source, format);
    reader.limits(limits());
    let mut decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 || pixels > MAX_PIXELS || decoder.total_bytes() > MAX_DECODED_BYTES {
        return Err(too_large());
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let whole = DynamicImage::from_decoder(decoder)?;
    let still = small(whole, orientation);
    let turned = is_turned(orientation);
    let (width, height) = if turned { (height, width) } else { (width, height) };
    let light = size <= LIGHT_BYTES && width.max(height) <= THUMBNAIL_SIDE;
    // A GIF may move, and a list of messages should not.
    let thumbnail = if light && format != ImageFormat::Gif { None } else { Some(encode(still)?) };
    Ok(Picture { width, height, thumbnail })
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    limits
}

fn too_large() -> image::ImageError {
    let kind = image::error::LimitErrorKind::DimensionError;
    image::ImageError::Limits(image::error::LimitError::from_kind(kind))
}

/// Whether showing the picture swaps its sides.
fn is_turned(orientation: Orientation) -> bool {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH)
}

/// The picture at the size of a thumbnail (never larger than it is), turned as it is shown.
fn small(whole: DynamicImage, orientation: Orientation) -> DynamicImage {
    let longest = whole.width().max(whole.height());
    let mut small = if longest > THUMBNAIL_SIDE {
        whole.thumbnail(THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    } else {
        whole
    };
    small.apply_orientation(orientation);
    small
}

/// JPEG, or PNG if something shows through.
fn encode(picture: DynamicImage) -> Result<Bytes, image::ImageError> {
    let mut encoded = Vec::new();
    let colours = picture.to_rgba8();
    if colours.pixels().any(|pixel| pixel.0[3] != u8::MAX) {
        let compression = CompressionType::Default;
        let encoder = PngEncoder::new_with_quality(&mut encoded, compression, FilterType::Adaptive);
        colours.write_with_encoder(encoder)?;
    } else {
        let encoder = JpegEncoder::new_with_quality(&mut encoded, JPEG_QUALITY);
        DynamicImage::from(colours).into_rgb8().write_with_encoder(encoder)?;
    }
    Ok(encoded.into())
}

#[cfg(test)]
mod tests {
    use image::{Rgba, RgbaImage};

    use super::*;

    fn drawn(width: u32, height: u32, alpha: u8) -> DynamicImage {
        // Red on the left, blue on the right: which way is up shows.
        let colour =
            |x, _| Rgba(if x < width / 2 { [255, 0, 0, alpha] } else { [0, 0, 255, alpha] });
        RgbaImage::from_fn(width, height, colour).into()
    }

    fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        match format {
            ImageFormat::Jpeg => picture.to_rgb8().write_to(&mut bytes, format).unwrap(),
            _ => picture.write_to(&mut bytes, format).unwrap(),
        }
        bytes.into_inner()
    }

    fn examined(bytes: &[u8], format: ImageFormat) -> Result<Picture, image::ImageError> {
        read(Cursor::new(bytes), format, bytes.len() as u64)
    }

    #[test]
    fn every_format_gives_its_size_and_a_smaller_picture() {
        use ImageFormat::{Gif, Jpeg, Png, WebP};
        for (format, alpha, expected) in [
            (Png, 255, Jpeg),
            (Png, 100, Png),
            (Jpeg, 255, Jpeg),
            (WebP, 255, Jpeg),
            (WebP, 9, Png),
            (Gif, 255, Jpeg),
        ] {
            let picture = examined(&encoded(&drawn(1000, 500, alpha), format), format).unwrap();
            assert_eq!((picture.width, picture.height), (1000, 500), "{format:?}");
            let thumbnail = picture.thumbnail.unwrap();
            assert_eq!(image::guess_format(&thumbnail).unwrap(), expected, "{format:?}");
            let small = image::load_from_memory(&thumbnail).unwrap();
            assert_eq!((small.width(), small.height()), (640, 320), "{format:?}");
        }
    }

    #[test]
    fn a_light_picture_is_its_own_thumbnail_but_one_that_may_move_is_not() {
        let small = drawn(100, 50, 255);
        assert!(
            examined(&encoded(&small, ImageFormat::Png), ImageFormat::Png)
                .unwrap()
                .thumbnail
                .is_none()
        );
        let still = examined(&encoded(&small, ImageFormat::Gif), ImageFormat::Gif).unwrap();
        let still = image::load_from_memory(&still.thumbnail.unwrap()).unwrap();
        assert_eq!((still.width(), still.height()), (100, 50));
    }

    #[test]
    fn a_turned_photograph_is_shown_upright() {
        let mut jpeg = encoded(&drawn(1000, 500, 255), ImageFormat::Jpeg);
        // APP1 with the one tag: orientation 6, to be turned by 90 degrees clockwise.
        let exif = b"\xff\xe1\0\x22Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        jpeg.splice(2..2, exif.iter().copied());
        let picture = examined(&jpeg, ImageFormat::Jpeg).unwrap();
        assert_eq!((picture.width, picture.height), (500, 1000));
        let small = image::load_from_memory(&picture.thumbnail.unwrap()).unwrap().to_rgb8();
        assert_eq!(small.dimensions(), (320, 640));
        let (top, bottom) = (small.get_pixel(160, 10), small.get_pixel(160, 630));
        assert!(
            top.0[0] > 200 && bottom.0[2] > 200,
            "red, the left, is on top: {top:?} {bottom:?}"
        );
    }

    #[test]
    fn what_claims_to_be_huge_is_refused_before_it_is_decoded() {
        // A PNG whose header says 50,000 x 50,000, with a right checksum and nothing behind it.
        let mut header = b"IHDR\0\0\xc3\x50\0\0\xc3\x50\x08\x06\0\0\0".to_vec();
        header.extend(crc32(&header).to_be_bytes());
        let png =
            [b"\x89PNG\r\n\x1a\n\0\0\0\x0d".as_slice(), &header, b"\0\0\0\0IDAT\x35\xaf\x06\x1e"]
                .concat();
        assert!(matches!(examined(&png, ImageFormat::Png), Err(image::ImageError::Limits(_))));
        let strip = encoded(&drawn(60_000, 1, 255), ImageFormat::Png);
        assert!(examined(&strip, ImageFormat::Png).is_ok(), "long, but few pixels");
    }

    #[test]
    fn what_is_broken_is_no_picture() {
        let png = encoded(&drawn(300, 300, 255), ImageFormat::Png);
        assert!(examined(&png[..png.len() / 2], ImageFormat::Png).is_err());
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::WebP] {
            assert!(examined(b"GIF89a/*<script>*/=1", format).is_err(), "{format:?}");
        }
    }

    fn crc32(bytes: &[u8]) -> u32 {
        let step = |crc: u32, byte: &u8| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
            })
        };
        !bytes.iter().fold(u32::MAX, step)
    }
}
