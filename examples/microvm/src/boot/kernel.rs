//! Puts the kernel and the initrd into memory and finds the 64-bit entry.

use std::fs::{File, OpenOptions};
use std::io::{Error as IoError, Read, Seek};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use linux_loader::loader::bootparam::setup_header;
use linux_loader::loader::bzimage::BzImage;
use linux_loader::loader::elf::Elf;
use linux_loader::loader::{Error as LoaderError, KernelLoader};
use vm_memory::{Bytes, GuestAddress};

use crate::error::Error;
use crate::layout::{HIGH_MEMORY, LOW_RAM_END};
use crate::memory::GuestMemory;

/// Entry of the 64-bit boot protocol behind the start of a loaded bzImage.
const ENTRY_64: u64 = 0x200;
/// The kernel has that entry (`xloadflags`).
const XLF_KERNEL_64: u16 = 1;
/// `boot_flag` and `header` of a boot header, for a vmlinux, which has none.
const BOOT_FLAG: u16 = 0xaa55;
const HEADER_MAGIC: u32 = 0x5372_6448;
/// Highest initrd address of a kernel that does not say (boot protocol before 2.03).
const INITRD_MAX: u32 = 0x37ff_ffff;
/// Longest command line of a kernel that does not say.
const COMMAND_LINE_MAX: u32 = 255;
const PAGE: u64 = 4096;

/// A kernel in guest memory.
pub(crate) struct Kernel {
    /// Where the first CPU starts, in 64-bit mode.
    pub(crate) entry: u64,
    /// The kernel's own boot header, completed.
    pub(crate) header: setup_header,
    /// First address that the starting kernel does not need for itself.
    end: u64,
}

/// Start and size of an initrd in guest memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Initrd {
    /// Its first address.
    pub(crate) address: u32,
    /// Its bytes.
    pub(crate) size: u32,
}

/// Opens a regular file. Anything else is refused, and without waiting: a pipe's other end may never come.
fn open(option: &'static str, path: &Path) -> Result<File, Error> {
    let failed = |source| Error::File { option, path: path.to_owned(), source };
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(failed(IoError::other("not a regular file")));
    }
    Ok(file)
}

/// Loads a bzImage or a vmlinux, whichever the file is.
pub(crate) fn load(memory: &GuestMemory, path: &Path) -> Result<Kernel, Error> {
    let mut file = open("--kernel", path)?;
    let mut magic = [0; 4];
    let is_elf = file.read_exact(&mut magic).is_ok() && magic == *b"\x7fELF";
    file.rewind().map_err(|source| Error::File { option: "--kernel", path: path.to_owned(), source })?;
    let loaded = if is_elf { load_elf(memory, &mut file) } else { load_bzimage(memory, &mut file) };
    loaded.map_err(|reason| match reason {
        Refusal::TooLarge => Error::DoesNotFit { what: "the kernel" },
        Refusal::Wrong(reason) => Error::NotAKernel { path: path.to_owned(), reason },
    })
}

/// Why a file was not loaded.
enum Refusal {
    TooLarge,
    Wrong(String),
}

impl From<LoaderError> for Refusal {
    fn from(error: LoaderError) -> Self {
        use linux_loader::loader::{bzimage, elf};
        match error {
            LoaderError::Bzimage(bzimage::Error::ReadBzImageCompressedKernel)
            | LoaderError::Elf(elf::Error::ReadKernelImage) => Refusal::TooLarge,
            other => Refusal::Wrong(other.to_string()),
        }
    }
}

fn load_bzimage(memory: &GuestMemory, file: &mut File) -> Result<Kernel, Refusal> {
    let at = GuestAddress(HIGH_MEMORY);
    let loaded = BzImage::load(memory, Some(at), file, Some(at))?;
    let header = loaded.setup_header.ok_or_else(|| Refusal::Wrong("no boot header".to_owned()))?;
    if header.xloadflags & XLF_KERNEL_64 == 0 {
        return Err(Refusal::Wrong("not a 64-bit kernel".to_owned()));
    }
    // The kernel unpacks itself to its preferred address and needs `init_size` bytes there.
    let unpacked = header.pref_address.saturating_add(header.init_size.into());
    Ok(Kernel { entry: HIGH_MEMORY.saturating_add(ENTRY_64), header, end: loaded.kernel_end.max(unpacked) })
}

fn load_elf(memory: &GuestMemory, file: &mut File) -> Result<Kernel, Refusal> {
    let loaded = Elf::load(memory, None, file, Some(GuestAddress(HIGH_MEMORY)))?;
    let header = setup_header {
        boot_flag: BOOT_FLAG,
        header: HEADER_MAGIC,
        kernel_alignment: 0x100_0000,
        initrd_addr_max: 0x7fff_ffff,
        cmdline_size: 2047,
        ..Default::default()
    };
    Ok(Kernel { entry: loaded.kernel_load.0, header, end: loaded.kernel_end })
}

impl Kernel {
    /// Longest command line, without its end mark.
    pub(crate) fn command_line_max(&self) -> usize {
        let size = self.header.cmdline_size;
        let size = if size == 0 { COMMAND_LINE_MAX } else { size };
        // Also what is free between the command line and the end of conventional memory.
        size.min(0xffff) as usize
    }

    /// Loads the initrd as high as the kernel can reach it.
    pub(crate) fn load_initrd(&self, memory: &GuestMemory, memory_size: u64, path: &Path) -> Result<Initrd, Error> {
        let mut file = open("--initrd", path)?;
        let failed = |source| Error::File { option: "--initrd", path: path.to_owned(), source };
        let size = file.metadata().map_err(failed)?.len();
        let placed =
            place_initrd(&self.header, self.end, memory_size, size).ok_or(Error::DoesNotFit { what: "the initrd" })?;
        memory
            .read_exact_volatile_from(GuestAddress(placed.address.into()), &mut file, placed.size as usize)
            .map_err(Error::memory("the initrd"))?;
        Ok(placed)
    }
}

/// The highest page-aligned place between the kernel and what it can reach.
pub(crate) fn place_initrd(header: &setup_header, kernel_end: u64, memory_size: u64, size: u64) -> Option<Initrd> {
    let reach = match header.initrd_addr_max {
        0 => INITRD_MAX,
        given => given,
    };
    let top = u64::from(reach).saturating_add(1).min(memory_size).min(LOW_RAM_END);
    let address = top.checked_sub(size)? & !(PAGE - 1);
    if address < kernel_end {
        return None;
    }
    Some(Initrd { address: u32::try_from(address).ok()?, size: u32::try_from(size).ok()? })
}
