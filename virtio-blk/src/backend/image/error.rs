//! Why an image cannot be a disk.

use std::io;
use std::path::PathBuf;

use super::super::OpenError;
use super::ImageFormat;

/// An image cannot be a disk. The messages say what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The file, or one that it is made of, cannot be opened.
    #[error("the image file {} cannot be opened for {}: {source}", path.display(), if *write { "writing" } else { "reading" })]
    File {
        /// The file.
        path: PathBuf,
        /// Whether it was to be written.
        write: bool,
        /// What the system said.
        source: io::Error,
    },
    /// It is neither a regular file nor a block device.
    #[error("{} is neither a regular file nor a block device, so it cannot be an image", path.display())]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// Somebody else has the image, or one that it is made of.
    #[error(transparent)]
    Locked(#[from] OpenError),
    /// It is not of this format, or damaged, or uses what is not supported.
    #[error("{} cannot be used as a {format} image: {source}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What it should be.
        format: ImageFormat,
        /// What is wrong with it.
        source: io::Error,
    },
    /// Images of this format can only be read.
    #[error("{format} images can only be read here: open {} read-only, or convert it to qcow2", path.display())]
    ReadOnlyFormat {
        /// The file.
        path: PathBuf,
        /// The format.
        format: ImageFormat,
    },
    /// It names another file, and that was not allowed.
    #[error(
        "the image {} is made of another file as well, {other:?}: allow backing files if you trust it, or make one file \
         of them (such as by `qemu-img convert`)", path.display()
    )]
    OtherFile {
        /// The image.
        path: PathBuf,
        /// What it names.
        other: String,
    },
    /// It does not say of what format its backing image is.
    #[error(
        "the image {} does not say what format its backing image {other:?} has, and none is guessed: say it by \
         `qemu-img rebase -u -F FORMAT`", path.display()
    )]
    BackingFormat {
        /// The image.
        path: PathBuf,
        /// The backing image.
        other: String,
    },
    /// The backing image is of a format that is not supported.
    #[error("the image {} has a backing image of the format {format:?}: qcow2 and raw ones are supported", path.display())]
    UnknownBacking {
        /// The image.
        path: PathBuf,
        /// What it says.
        format: String,
    },
    /// Backing images have backing images, without end or nearly so.
    #[error("the image {} is the {most}th in a row of backing images: there is no end to them, or too many", path.display())]
    TooDeep {
        /// The last that was looked at.
        path: PathBuf,
        /// The most there can be.
        most: usize,
    },
    /// Its size is no number of sectors.
    #[error("the disk in the image {} has {size} bytes, which is not a multiple of 512: resize it", path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// Bytes of the disk.
        size: u64,
    },
}
