//! An image and the files that it names.

use std::cell::RefCell;
use std::fs::{self, OpenOptions};
use std::io;
use std::ops::Deref;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use imago::file::File;
use imago::format::gate::ImplicitOpenGate;
use imago::qcow2::Qcow2;
use imago::raw::Raw;
use imago::vmdk::Vmdk;
use imago::{FormatAccess, FormatDriverBuilder, StorageOpenOptions};

use super::super::file::lock::{self, ImageLock};
use super::disk::guarded;
use super::{ImageError, ImageFormat, ImageOptions, header};
use crate::wire::SECTOR;

/// An image and all that it is made of.
pub(super) type Image = FormatAccess<File>;

/// What came of opening one.
pub(super) struct Opened {
    pub(super) image: Image,
    /// Whether ranges can be discarded and zeroed.
    pub(super) ranges: bool,
}

/// The most images in a row.
const DEPTH: usize = 16;

/// Opens the image at `path`.
pub(super) fn open(options: &ImageOptions, path: &Path) -> Result<(Opened, Vec<ImageLock>), ImageError> {
    let options = &Opening { options, locks: RefCell::default() };
    let opened = match options.format {
        ImageFormat::Qcow2 => qcow2(options, path, !options.read_only, 1)?,
        ImageFormat::Vmdk if !options.read_only => {
            return Err(ImageError::ReadOnlyFormat { path: path.to_owned(), format: options.format });
        }
        ImageFormat::Vmdk => vmdk(options, path)?,
    };
    let size = opened.image.size();
    if !size.is_multiple_of(SECTOR) {
        return Err(ImageError::Size { path: path.to_owned(), size });
    }
    Ok((opened, options.locks.take()))
}

/// What opening an image goes by, and the locks that it has taken.
struct Opening<'a> {
    options: &'a ImageOptions,
    locks: RefCell<Vec<ImageLock>>,
}

impl Deref for Opening<'_> {
    type Target = ImageOptions;

    fn deref(&self) -> &ImageOptions {
        self.options
    }
}

fn qcow2(options: &Opening<'_>, path: &Path, write: bool, depth: usize) -> Result<Opened, ImageError> {
    let failed = |source| ImageError::Format { path: path.to_owned(), format: ImageFormat::Qcow2, source };
    let file = file(options, path, write)?;
    let version = guarded(header::check(&file, write)).map_err(failed)?;
    let mut image = guarded(Qcow2::<File>::open_image(file, write)).map_err(failed)?;

    let data = match image.requires_external_data_file() {
        true => {
            let name = image.implicit_external_data_file().cloned().unwrap_or_default();
            Some(self::file(options, &named(options, path, &name)?, write)?)
        }
        false => None,
    };
    image.set_data_file(data);

    let backing = match image.implicit_backing_file().cloned() {
        Some(name) => Some(backing(options, path, &name, image.implicit_backing_format(), depth)?),
        None => None,
    };
    image.set_backing(backing);
    Ok(Opened { image: FormatAccess::new(image), ranges: write && version >= header::HAS_ZEROES })
}

/// The backing image `name` of the image at `path`.
fn backing(
    options: &Opening<'_>,
    path: &Path,
    name: &str,
    format: Option<&String>,
    depth: usize,
) -> Result<Image, ImageError> {
    let at = named(options, path, name)?;
    let path = path.to_owned();
    if depth >= DEPTH {
        return Err(ImageError::TooDeep { path, most: DEPTH });
    }
    match format.map(String::as_str) {
        Some("qcow2") => Ok(qcow2(options, &at, false, depth + 1)?.image),
        Some("raw") => {
            let file = file(options, &at, false)?;
            let raw = guarded(Raw::open_image(file, false));
            Ok(FormatAccess::new(raw.map_err(|source| ImageError::File { path: at, write: false, source })?))
        }
        Some(format) => Err(ImageError::UnknownBacking { path, format: format.to_owned() }),
        None => Err(ImageError::BackingFormat { path, other: name.to_owned() }),
    }
}

/// Where the file is that the image at `path` names; refused unless it was allowed. A name is a path beside the image, and
/// nothing else: no protocol and no options.
fn named(options: &Opening<'_>, path: &Path, name: &str) -> Result<PathBuf, ImageError> {
    if !options.other_files {
        return Err(ImageError::OtherFile { path: path.to_owned(), other: name.to_owned() });
    }
    Ok(path.parent().unwrap_or(Path::new("")).join(name))
}

/// Opens a file of an image.
fn file(options: &Opening<'_>, path: &Path, write: bool) -> Result<File, ImageError> {
    let failed = |source| ImageError::File { path: path.to_owned(), write, source };
    // Looked at before it is opened: opening a pipe waits for its other end.
    is_file(&fs::metadata(path).map_err(failed)?, path)?;
    let mut open = OpenOptions::new();
    open.read(true).write(write);
    #[cfg(target_os = "linux")]
    if options.direct {
        open.custom_flags(libc::O_DIRECT);
    }
    let file = open.open(path).map_err(failed)?;
    is_file(&file.metadata().map_err(failed)?, path)?;
    if options.lock {
        options.locks.borrow_mut().push(lock::take(&file, write, path)?);
    }
    File::from_open_file(file, storage(options, path, write)).map_err(failed)
}

fn is_file(metadata: &fs::Metadata, path: &Path) -> Result<(), ImageError> {
    if metadata.is_file() || metadata.file_type().is_block_device() {
        return Ok(());
    }
    Err(ImageError::NotAFile { path: path.to_owned() })
}

fn storage(options: &Opening<'_>, path: &Path, write: bool) -> StorageOpenOptions {
    StorageOpenOptions::new().filename(path).write(write).direct(options.direct)
}

fn vmdk(options: &Opening<'_>, path: &Path) -> Result<Opened, ImageError> {
    let file = file(options, path, false)?;
    let mut gate = Extents { options, path, refused: None };
    let opened = guarded(
        Vmdk::<File>::builder(file)
            .storage_open_options(StorageOpenOptions::new().direct(options.direct))
            .open(&mut gate),
    );
    match (opened, gate.refused) {
        (_, Some(refused)) => Err(refused),
        (Ok(image), None) => Ok(Opened { image: FormatAccess::new(image), ranges: false }),
        (Err(source), None) => Err(ImageError::Format { path: path.to_owned(), format: ImageFormat::Vmdk, source }),
    }
}

/// Opens the files that a vmdk descriptor names, if that is allowed.
struct Extents<'a> {
    options: &'a Opening<'a>,
    path: &'a Path,
    /// Why one was not.
    refused: Option<ImageError>,
}

impl ImplicitOpenGate<File> for &mut Extents<'_> {
    async fn open_format<F: FormatDriverBuilder<File>>(&mut self, _: F) -> io::Result<Image> {
        // Differential images, which the library does not know either.
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn open_storage(&mut self, wanted: StorageOpenOptions) -> io::Result<File> {
        let name = wanted.get_filename().unwrap_or(Path::new(""));
        let opened =
            named(self.options, self.path, &name.to_string_lossy()).and_then(|at| file(self.options, &at, false));
        opened.map_err(|refused| {
            let error = io::Error::other(refused.to_string());
            self.refused = Some(refused);
            error
        })
    }
}
