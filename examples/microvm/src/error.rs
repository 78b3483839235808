//! What can go wrong, in words that say what to do about it.

use std::io;
use std::path::PathBuf;

use kvm_ioctls::Error as Errno;

/// Why the machine could not be built or had to stop.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The embedded default failed.
    #[error(transparent)]
    Demo(#[from] crate::demo::DemoError),
    /// There is no `/dev/kvm`.
    #[error(
        "/dev/kvm does not exist: enable virtualisation in the firmware and load kvm-intel or kvm-amd (inside a virtual machine: enable nesting for it)"
    )]
    NoKvm,
    /// `/dev/kvm` may not be opened.
    #[error("no permission to open /dev/kvm: run as a member of its group (often kvm) or as root")]
    KvmPermission,
    /// `/dev/kvm` cannot be opened for another reason.
    #[error("cannot open /dev/kvm: {0}")]
    OpenKvm(Errno),
    /// KVM lacks something this program is built on.
    #[error("KVM on this machine lacks {0}: use a newer host kernel")]
    MissingCapability(&'static str),
    /// KVM answers, but cannot run 64-bit code.
    #[error(
        "KVM on this machine cannot run a 64-bit Linux ({0}): use a machine with hardware virtualisation, or nest this one in an emulator that has it (QEMU: -accel tcg -cpu max,+svm)"
    )]
    KvmCannotRun(String),
    /// More CPUs than KVM can give.
    #[error("--cpus {wanted}: KVM on this machine gives at most {most}")]
    TooManyCpus {
        /// What was asked for.
        wanted: u8,
        /// What there is.
        most: usize,
    },
    /// A KVM call failed.
    #[error("KVM refused to {what}: {source}")]
    Kvm {
        /// What was tried.
        what: &'static str,
        /// The answer.
        source: Errno,
    },

    /// The size is not addressable here.
    #[error("--mem {0}: more than this machine can address")]
    MemorySize(u64),
    /// The memory cannot be had.
    #[error("cannot map {size} bytes of guest memory ({source}): use a smaller --mem")]
    MapMemory {
        /// Bytes asked for.
        size: u64,
        /// The answer.
        source: vm_memory::mmap::FromRangesError,
    },
    /// A file named on the command line cannot be opened or read.
    #[error("{option} {}: {source}", path.display())]
    File {
        /// The option that named it.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is no kernel that this program can start.
    #[error("--kernel {}: {reason}: give a 64-bit x86 bzImage (vmlinuz) or an uncompressed vmlinux", path.display())]
    NotAKernel {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Kernel and initrd need more memory.
    #[error("{what} does not fit into the guest's memory: give more with --mem")]
    DoesNotFit {
        /// What does not fit.
        what: &'static str,
    },
    /// The command line is too long for the kernel.
    #[error("--cmdline: {length} bytes, this kernel takes at most {most}")]
    CommandLine {
        /// Bytes given.
        length: usize,
        /// Bytes possible.
        most: usize,
    },
    /// Something could not be written into guest memory.
    #[error("cannot write {what} into guest memory: {source}")]
    GuestMemory {
        /// What was written.
        what: &'static str,
        /// Why not.
        source: vm_memory::GuestMemoryError,
    },

    /// No interrupt or slot is left for one more device.
    #[error("at most {most} devices with transport={transport}")]
    TooManyDevices {
        /// The transport that is full.
        transport: &'static str,
        /// How many fit.
        most: usize,
    },
    /// A device of this kind cannot be attached.
    #[error("{option} {}: {reason}", path.display())]
    Device {
        /// The option that asked for it.
        option: &'static str,
        /// The image or source.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Two devices claim the same addresses or ports.
    #[error("cannot place {what} on the bus: {source}")]
    Bus {
        /// The device.
        what: &'static str,
        /// Why not.
        source: vm_device::bus::Error,
    },
    /// A table of the machine's description grew too large.
    #[error("too many devices for the ACPI tables")]
    Acpi,

    /// A thread, an eventfd or a signal handler could not be had.
    #[error("cannot set up {what}: {source}")]
    Setup {
        /// What was to be set up.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The control socket cannot be made or reached.
    #[error("control socket {}: {source}", path.display())]
    Control {
        /// The socket.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Standard output takes no more.
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
    /// The other side of the control socket refused.
    #[error("{0}")]
    Refused(String),

    /// The guest gave up.
    #[error("CPU {cpu}: triple fault (the kernel crashed early, or was told reboot=t)")]
    TripleFault {
        /// Which one.
        cpu: u8,
    },
    /// KVM cannot go on.
    #[error("CPU {cpu} stopped at {rip:#x}: {reason}")]
    CpuStopped {
        /// Which one.
        cpu: u8,
        /// Where.
        rip: u64,
        /// KVM's reason.
        reason: String,
    },
}

impl Error {
    /// The exit status of the program: 2 where the command line is to blame, else 1.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Error::TooManyCpus { .. }
            | Error::MemorySize(_)
            | Error::File { .. }
            | Error::NotAKernel { .. }
            | Error::DoesNotFit { .. }
            | Error::CommandLine { .. }
            | Error::TooManyDevices { .. }
            | Error::Device { .. } => 2,
            _ => 1,
        }
    }

    /// Whether only the reader of what this program prints has gone. There is nobody to tell then.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Error::Output(source) if source.kind() == io::ErrorKind::BrokenPipe)
    }

    /// For `map_err` on KVM's calls.
    pub(crate) fn kvm(what: &'static str) -> impl FnOnce(Errno) -> Error {
        move |source| Error::Kvm { what, source }
    }

    /// For `map_err` on the host's calls.
    pub(crate) fn setup(what: &'static str) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Setup { what, source }
    }

    /// For `map_err` on writes to guest memory.
    pub(crate) fn memory(what: &'static str) -> impl FnOnce(vm_memory::GuestMemoryError) -> Error {
        move |source| Error::GuestMemory { what, source }
    }
}
