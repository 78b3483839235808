//! What the library does not look at in a qcow2 header, and has to be right.

use std::io;

use imago::StorageExt;
use imago::file::File;

/// Fields, all big-endian.
mod field {
    pub(super) const MAGIC: u64 = 0;
    pub(super) const VERSION: u64 = 4;
    pub(super) const ENCRYPTION: u64 = 32;
    pub(super) const COUNTS_AT: u64 = 48;
    pub(super) const COUNTS_CLUSTERS: u64 = 56;
}

const MAGIC: u32 = u32::from_be_bytes(*b"QFI\xfb");
/// The bits of an entry in the table of reference counts that say where a block of them is.
const BLOCK_AT: u64 = !511;

/// The first version whose tables can say that a cluster is zero.
pub(super) const HAS_ZEROES: u32 = 3;

/// Refuses what the library would take. Everything else is the library's to refuse. Returns the format's version.
pub(super) async fn check(file: &File, write: bool) -> io::Result<u32> {
    // What is behind the end of the file is zero.
    if u32_at(file, field::MAGIC).await? != MAGIC {
        return Err(refused("it does not start as one does"));
    }
    if u32_at(file, field::ENCRYPTION).await? != 0 {
        return Err(refused("it is encrypted, which is not supported"));
    }
    // The header's own cluster is counted in the first block. If there is none, the library would make one where the header
    // is, take its place for none, and make one again, without end.
    let counts = u64_at(file, field::COUNTS_AT).await?;
    if write && (u32_at(file, field::COUNTS_CLUSTERS).await? == 0 || u64_at(file, counts).await? & BLOCK_AT == 0) {
        return Err(refused("its header is not counted as in use: repair it by `qemu-img check -r all`"));
    }
    u32_at(file, field::VERSION).await
}

async fn u32_at(file: &File, offset: u64) -> io::Result<u32> {
    let mut bytes = [0; 4];
    file.read(&mut bytes[..], offset).await?;
    Ok(u32::from_be_bytes(bytes))
}

async fn u64_at(file: &File, offset: u64) -> io::Result<u64> {
    let mut bytes = [0; 8];
    file.read(&mut bytes[..], offset).await?;
    Ok(u64::from_be_bytes(bytes))
}

fn refused(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
