//! Where a disk's data lives, and in which format.

use std::path::PathBuf;

use super::disk_size;

/// Where the data lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    /// In a file or block device, by io_uring, or by ordinary system calls where that is forbidden.
    Uring {
        /// Which one.
        path: PathBuf,
    },
    /// In a file or block device, by ordinary system calls.
    File {
        /// Which one.
        path: PathBuf,
    },
    /// In memory, until the machine ends.
    Memory {
        /// Bytes.
        size: u64,
    },
    /// Nowhere: for measurements.
    Null {
        /// Bytes.
        size: u64,
    },
    /// With an NBD server.
    Nbd {
        /// Which one.
        uri: String,
    },
}

impl Backend {
    /// Its file or address, or what takes the place of one.
    pub(super) fn place(&self) -> PathBuf {
        match self {
            Backend::Uring { path } | Backend::File { path } => path.clone(),
            Backend::Memory { .. } => "backend=mem".into(),
            Backend::Null { .. } => "backend=null".into(),
            Backend::Nbd { uri } => uri.into(),
        }
    }
}

/// How a disk is written in its file: raw where nothing is said, never guessed. The guest can write anything into a raw
/// disk, the first bytes of another format included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    /// The file's bytes are the disk's bytes.
    #[default]
    Raw,
    /// QEMU's.
    Qcow2,
    /// VMware's.
    Vmdk,
}

impl Format {
    fn parse(value: &str) -> Result<Self, String> {
        match value {
            "raw" => Ok(Format::Raw),
            "qcow2" => Ok(Format::Qcow2),
            "vmdk" => Ok(Format::Vmdk),
            _ => Err(format!("format={value}: there are raw, qcow2 and vmdk")),
        }
    }
}

/// What `backend=` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Uring,
    File,
    Memory,
    Null,
    Nbd,
}

/// What was said so far about where the data lives.
#[derive(Debug, Default)]
pub(super) struct Place {
    kind: Option<Kind>,
    path: Option<PathBuf>,
    uri: Option<String>,
    size: Option<u64>,
    format: Option<Format>,
}

impl Place {
    /// Takes one of its options.
    pub(super) fn take(&mut self, key: &str, value: &str) -> Result<(), String> {
        match (key, value) {
            ("path", "") => return Err("path is empty".to_owned()),
            ("path", value) => self.path = Some(value.into()),
            ("nbd", value) => self.server(value)?,
            ("size", value) => self.size = Some(disk_size("size", value)?),
            ("format", value) => self.format = Some(Format::parse(value)?),
            (_, value) => self.backend(value)?,
        }
        Ok(())
    }

    fn backend(&mut self, value: &str) -> Result<(), String> {
        self.kind = Some(match value.split_once('=') {
            Some(("nbd", uri)) => {
                self.server(uri)?;
                Kind::Nbd
            }
            None if value == "uring" => Kind::Uring,
            None if value == "file" => Kind::File,
            None if value == "mem" => Kind::Memory,
            None if value == "null" => Kind::Null,
            None if value == "nbd" => Kind::Nbd,
            _ => return Err(format!("backend={value}: there are uring, file, mem, null and nbd=URI")),
        });
        Ok(())
    }

    fn server(&mut self, uri: &str) -> Result<(), String> {
        if !uri.starts_with("nbd://") && !uri.starts_with("nbd+unix://") {
            return Err(format!("nbd={uri}: nbd://HOST[:PORT][/NAME] or nbd+unix:///[NAME]?socket=PATH is needed"));
        }
        match self.uri.replace(uri.to_owned()) {
            Some(_) => Err("nbd is given twice".to_owned()),
            None => Ok(()),
        }
    }

    /// What it comes down to.
    pub(super) fn storage(self) -> Result<(Backend, Format), String> {
        let Place { kind, path, uri, size, format } = self;
        let format = format.unwrap_or_default();
        let kind = kind.unwrap_or(match (&uri, format) {
            (Some(_), _) => Kind::Nbd,
            // The library of image formats makes its own system calls.
            (None, Format::Qcow2 | Format::Vmdk) => Kind::File,
            (None, Format::Raw) => Kind::Uring,
        });
        let name = kind.name();
        let refused = |key: &str| Err(format!("backend={name} takes no {key}"));
        match kind {
            Kind::Uring | Kind::File if uri.is_some() => return refused("nbd=URI"),
            Kind::Uring | Kind::File if size.is_some() => return refused("size=SIZE: the file has its size"),
            Kind::Memory | Kind::Null if path.is_some() => return refused("path=FILE"),
            Kind::Memory | Kind::Null if uri.is_some() => return refused("nbd=URI"),
            Kind::Nbd if path.is_some() => return refused("path=FILE"),
            Kind::Nbd if size.is_some() => return refused("size=SIZE: the server has its size"),
            Kind::Uring | Kind::Memory | Kind::Null | Kind::Nbd if format != Format::Raw => {
                return Err(format!("backend={name} takes format=raw only; other formats take backend=file"));
            }
            _ => {}
        }
        let path = path.ok_or("path=FILE is missing");
        let size = size.ok_or_else(|| format!("backend={name} takes size=SIZE, which is missing"));
        let backend = match kind {
            Kind::Uring => Backend::Uring { path: path? },
            Kind::File => Backend::File { path: path? },
            Kind::Memory => Backend::Memory { size: size? },
            Kind::Null => Backend::Null { size: size? },
            Kind::Nbd => Backend::Nbd { uri: uri.ok_or("backend=nbd takes nbd=URI, which is missing")? },
        };
        Ok((backend, format))
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Uring => "uring",
            Kind::File => "file",
            Kind::Memory => "mem",
            Kind::Null => "null",
            Kind::Nbd => "nbd",
        }
    }
}
