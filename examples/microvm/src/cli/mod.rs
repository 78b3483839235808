//! The command line.
//!
//! | File | Idea |
//! |---|---|
//! | `size.rs` | sizes with a unit |
//! | `options.rs` | keys and values with commas between |
//! | `disk/` | what `--disk` takes |
//! | `net/` | what `--net` takes |
//! | `rng.rs` | what `--rng` takes |
//! | `transport.rs` | how the guest reaches a device |
//! | `usage.rs` | a wrong command line in one line |

pub(crate) mod disk;
pub(crate) mod net;
mod options;
pub(crate) mod rate;
pub(crate) mod rng;
mod size;
pub(crate) mod transport;
pub(crate) mod usage;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use disk::Disk;
use net::Net;
use rng::Rng;

/// A small KVM virtual machine monitor that embeds the virtio crates.
///
/// Alone, `microvm` shows the crates at work: the driver of the virtio-drivers crate uses a disk over MMIO and over PCI within this process. It needs no KVM, root or download.
///
/// `microvm boot` boots a 64-bit x86 Linux kernel directly, without firmware, with its console on the terminal. It needs access to /dev/kvm.
#[derive(Debug, Parser)]
#[command(name = "microvm", version, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

const AFTER_HELP: &str = "\
Examples:
  microvm                  (the embedded default: no KVM, root or download needed)
  microvm boot --kernel vmlinuz --initrd initrd.gz --disk path=root.img,serial=root
  microvm boot --kernel vmlinuz --disk path=a.img,ro,transport=mmio --control /run/vm.sock
  microvm boot --kernel vmlinuz --disk path=a.qcow2,format=qcow2 --disk nbd=nbd://storage/vm7,queues=2
  microvm boot --kernel vmlinuz --initrd initrd.gz --net passt=/tmp/passt_1.socket
  microvm ctl /run/vm.sock resize root 2G
  microvm ctl /run/vm.sock link tap0 down

Only `microvm boot` needs /dev/kvm. Log messages: RUST_LOG=debug.";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Boot a kernel and run it until it powers off or resets
    Boot(Boot),
    /// Ask something of a running machine
    Ctl(Ctl),
}

/// What to boot, on what machine.
#[derive(Args, Debug)]
#[command(after_help = BOOT_AFTER_HELP)]
pub(crate) struct Boot {
    /// Kernel: a bzImage (vmlinuz) or an uncompressed vmlinux
    #[arg(long, value_name = "FILE")]
    pub(crate) kernel: PathBuf,
    /// Initial RAM disk
    #[arg(long, value_name = "FILE")]
    pub(crate) initrd: Option<PathBuf>,
    /// Kernel command line
    #[arg(long, value_name = "TEXT", default_value = "console=ttyS0", allow_hyphen_values = true)]
    pub(crate) cmdline: String,
    /// Memory, with a unit (K, M, G) or in bytes
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = size::memory, allow_hyphen_values = true)]
    pub(crate) mem: u64,
    /// Number of CPUs
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = cpus, allow_hyphen_values = true)]
    pub(crate) cpus: u8,
    /// The disks.
    #[arg(long = "disk", value_name = "DISK", help = DISK_HELP)]
    pub(crate) disks: Vec<Disk>,
    /// The network devices.
    #[arg(long = "net", value_name = "NET", help = NET_HELP)]
    pub(crate) nets: Vec<Net>,
    /// The entropy devices.
    #[arg(long = "rng", value_name = "RNG", help = RNG_HELP)]
    pub(crate) rngs: Vec<Rng>,
    /// Serve requests of `microvm ctl` at this Unix socket
    #[arg(long, value_name = "SOCKET")]
    pub(crate) control: Option<PathBuf>,
}

const DISK_HELP: &str =
    "A disk, may be given several times: path=FILE[,OPTION...], or backend=mem|null|nbd=URI[,OPTION...]; see below";

const NET_HELP: &str = "A network device, may be given several times: \
    tap=NAME|fd=N|passt=PATH|gvproxy=PATH|dgram=PATH|switch=NAME|loopback|null[,OPTION...]; \
    see below";

const RNG_HELP: &str =
    "An entropy device, may be given several times: source=FILE[,transport=pci|mmio] or transport=pci|mmio";

const BOOT_AFTER_HELP: &str = "\
The console is on standard input and output. On a terminal, Ctrl-A x ends the machine
and Ctrl-A Ctrl-A types Ctrl-A.

Disks, where the data lives:
  path=FILE                   a file or block device, whose bytes are the disk's
  backend=uring|file          by io_uring (default; where that is forbidden, as with file)
                              or by ordinary system calls
  direct                      past the host's page cache
  format=raw|qcow2|vmdk       what path is (default raw; never guessed)
  backing-files               allows an image to name other files that it is made of
  backend=nbd=URI             nbd://HOST[:PORT][/NAME] or nbd+unix:///[NAME]?socket=PATH
  cache-survives              the NBD server's cache is still there when it is restarted, as one
                              on a page cache; without this, flushes fail after a connection
                              broke while something was not flushed
  backend=mem,size=SIZE       memory, until the machine ends
  backend=null,size=SIZE      nowhere, for measurements
Disks, how the guest sees them:
  ro                          read-only
  serial=TEXT                 how the guest and `microvm ctl` name it (at most 20 bytes)
  transport=pci|mmio          how the guest reaches it (default pci)
  queues=N, queue-size=N      queues (default 1) and descriptors in each (a power of two)
  packed, in-order, notification-data
                              offers the guest these features of the disk's queues
  discard=on|off              whether the guest may give back storage (default on)
  zoned=host-managed|host-aware[:zone=SIZE][:conventional=N][:max-open=N][:max-active=N]
      [:state=FILE]           emulated zones (default 64M each), their states kept in FILE
  zoned=host                  the zones of path, a zoned block device of the host; its data
                              goes past the page cache, by ordinary system calls
Disks, limits and faults:
  rate=[requests=N[+BURST]][:bytes=SIZE[+BURST]][:group=NAME]
                              per second, and at once; shared by the disks of a group
  on-error=report|ignore|stop|enospc
                              what to do when storage fails: tell the guest (default), tell it
                              that all went well, stop until `microvm ctl SOCKET resume`, or
                              stop when the storage is full and else tell the guest
  timeout=TIME                what takes longer is cancelled, such as 30s or 500ms

Network devices, which network:
  tap=NAME                    a tap interface of the host, made with `ip tuntap add mode tap`,
                              and with multi_queue where queues is more than 1
  fd=N[:N...]                 open files of tap or macvtap interfaces, one for each pair of queues
  passt=PATH                  the Unix stream socket at which passt listens: no privileges needed
  gvproxy=PATH                the Unix datagram socket of `gvproxy -listen-vfkit unixgram://PATH`
  dgram=PATH                  any other Unix datagram socket, such as that of QEMU's -netdev dgram
  switch=NAME                 the other devices of this machine that name the same switch
  loopback, null              what is sent comes back, or goes nowhere
Network devices, how the guest sees them:
  mac=ADDRESS                 such as 52:54:00:12:34:56 (default: a random one)
  transport=pci|mmio          how the guest reaches it (default pci)
  queues=N, queue-size=N      pairs of queues (default 1), and descriptors in each queue (a power
                              of two)
  mtu=N                       bytes of the longest packet
  rss                         the guest may steer frames to its queues by hashes
  hash-report                 the guest may be told a hash of each frame
  packed, in-order, notification-data
                              offers the guest these features of the device's queues
  pcap=FILE                   records the traffic, for Wireshark
Network devices, limits on what the guest receives, and on what it sends:
  rx-rate=[requests=N[+BURST]][:bytes=SIZE[+BURST]][:group=NAME], tx-rate=...
                              frames and bytes per second, and at once; shared by a group

Entropy devices: source is where their random bytes come from (default /dev/urandom);
transport is how the guest reaches them (default pci).

Exit status: 0 when the guest powered off or asked for a reset, 1 when the machine failed,
2 when the command line is wrong or names a file that cannot be used.";

/// A request to a running machine.
#[derive(Args, Debug)]
#[command(arg_required_else_help = false)]
pub(crate) struct Ctl {
    /// The socket that was given to `microvm boot --control`
    #[arg(value_name = "SOCKET")]
    pub(crate) socket: PathBuf,
    /// What to ask for.
    #[command(subcommand)]
    pub(crate) request: CtlRequest,
}

/// The requests.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum CtlRequest {
    /// Change the capacity of a disk
    Resize {
        /// Serial number of the disk
        serial: String,
        /// New capacity, with a unit (K, M, G) or in bytes
        #[arg(value_parser = size::parse, allow_negative_numbers = true)]
        bytes: u64,
    },
    /// Let a disk go on that stopped because its storage failed
    Resume {
        /// Serial number of the disk
        serial: String,
    },
    /// Print what a disk or a network device has counted, as JSON
    Stats {
        /// Serial number of the disk, or name or number of the network device, as for `link`
        device: String,
    },
    /// Plug the cable of a network device in, or pull it out
    Link {
        /// What is behind `=` in its `--net`, such as tap0, or its number on the command line, from 0
        device: String,
        /// Whether there is a link
        state: Link,
    },
    /// Have the guest tell the network where it is, as after it has moved
    Announce {
        /// The network device, as for `link`
        device: String,
    },
}

/// What becomes of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Link {
    /// It is there.
    Up,
    /// It is not.
    Down,
}

/// KVM may give fewer; local APIC ids are 8 bits wide, and 255 means all of them.
const MAX_CPUS: u8 = 254;

fn cpus(text: &str) -> Result<u8, String> {
    text.parse()
        .ok()
        .filter(|count| (1..=MAX_CPUS).contains(count))
        .ok_or_else(|| format!("a number from 1 to {MAX_CPUS} is needed"))
}
