//! Tests of the command line.

use super::disk::Disk;
use super::net::Net;
use super::rng::Rng;
use super::transport::Transport;
use super::usage::{Refusal, parse};
use super::{Boot, Command, CtlRequest, Link, size};

fn arguments(line: &str) -> Vec<String> {
    std::iter::once("microvm").chain(line.split(' ').filter(|word| !word.is_empty())).map(str::to_owned).collect()
}

fn boot(line: &str) -> Boot {
    match parse(arguments(&format!("boot {line}"))).unwrap().command {
        Some(Command::Boot(boot)) => boot,
        other => panic!("{other:?}"),
    }
}

/// The one line that a wrong command line is answered with.
fn refusal(line: &str) -> String {
    match parse(arguments(line)) {
        Err(Refusal::Wrong(reason)) => {
            assert!(!reason.contains('\n'), "{reason:?} has several lines");
            reason
        }
        other => panic!("{line:?} gave {other:?}"),
    }
}

#[test]
fn a_kernel_is_enough_to_boot() {
    let boot = boot("--kernel vmlinuz");
    assert_eq!(boot.kernel.to_str(), Some("vmlinuz"));
    assert_eq!(boot.cmdline, "console=ttyS0");
    assert_eq!((boot.mem, boot.cpus), (256 << 20, 1));
    assert!(boot.disks.is_empty() && boot.nets.is_empty() && boot.rngs.is_empty());
}

#[test]
fn sizes_have_units() {
    assert_eq!(size::parse("4096"), Ok(4096));
    assert_eq!(size::parse("3k"), Ok(3 << 10));
    assert_eq!(size::parse("512M"), Ok(512 << 20));
    assert_eq!(size::parse("2G"), Ok(2 << 30));
    assert_eq!(size::parse("1T"), Ok(1 << 40));
    for wrong in ["", "M", "-1", "+1", "1.5G", "1GB", "1 G", "16777216T", "0x10"] {
        assert!(size::parse(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn memory_is_page_sized_and_bounded() {
    assert_eq!(size::memory("32M"), Ok(32 << 20));
    assert!(size::memory("31M").is_err());
    assert!(size::memory("2T").is_err());
    assert!(size::memory("33554433").is_err());
}

#[test]
fn disks_keep_their_order() {
    let boot = boot("--kernel k --disk path=a.img --disk ro,path=b --disk backend=mem,size=1M");
    let disks: Vec<Disk> = ["path=a.img", "path=b,ro", "backend=mem,size=1M"].map(|text| text.parse().unwrap()).into();
    assert_eq!(boot.disks, disks);
}

#[test]
fn wrong_disks_are_named() {
    for (disk, reason) in [
        ("ro", "path=FILE is missing"),
        ("path=a,rw", "\"rw\""),
        ("path=a,serial=\u{e9}", "printable ASCII"),
        ("path=a,zoned=host-managed:zone=3M", "a power of two"),
    ] {
        let line = refusal(&format!("boot --kernel k --disk {disk}"));
        assert!(line.contains(disk) && line.contains(reason), "{line}");
    }
}

#[test]
fn entropy_devices_have_a_source_and_a_transport() {
    let boot = boot("--kernel k --rng transport=mmio --rng source=/dev/hwrng --rng transport=pci,source=a");
    let rng = |source: &str, transport| Rng { source: source.into(), transport };
    let (pci, mmio) = (Transport::Pci, Transport::Mmio);
    assert_eq!(boot.rngs, [rng("/dev/urandom", mmio), rng("/dev/hwrng", pci), rng("a", pci)]);
}

#[test]
fn wrong_entropy_devices_are_named() {
    for (rng, reason) in [
        ("source=", "source is empty"),
        ("source", "source is empty"),
        ("path=a", "\"path=a\": there are source=FILE"),
        ("source=a,packed", "\"packed\""),
        ("source=a,source=b", "source is given twice"),
        ("transport=usb", "transport=usb: there are pci and mmio"),
        ("transport", "there are pci and mmio"),
    ] {
        let line = refusal(&format!("boot --kernel k --rng {rng}"));
        assert!(line.contains("--rng") && line.contains(rng) && line.contains(reason), "{line}");
    }
}

#[test]
fn wrong_values_give_one_line_with_the_value_and_the_reason() {
    let line = refusal("boot --kernel k --mem 12X");
    assert!(line.contains("12X") && line.contains("--mem") && line.contains("K, M, G or T"));
    for size in ["-1", "-1M", "--cpus"] {
        let line = refusal(&format!("boot --kernel k --mem {size}"));
        assert!(line.contains(size) && line.contains("--mem") && line.contains("K, M, G or T"), "{line}");
    }
    for size in ["99999999999999999999", "18446744073709551616K", "16777216T"] {
        let line = refusal(&format!("boot --kernel k --mem {size}"));
        assert!(line.contains(size) && line.contains("--mem") && line.ends_with("too large"), "{line}");
    }
    for cpus in ["0", "255", "two", "-1"] {
        let line = refusal(&format!("boot --kernel k --cpus {cpus}"));
        assert!(line.contains(cpus) && line.contains("1 to 254"), "{line}");
    }
    assert!(refusal("boot").contains("--kernel"));
    assert!(refusal("boot --kernel k --speed 9").contains("--speed"));
    assert!(refusal("fly").contains("fly"));
    let line = refusal("boot --kernel k --disk path=a,serial=x --disk path=b,serial=x");
    assert!(line.contains("serial number x"), "{line}");
    let line = refusal("boot --kernel k --disk path=a,rate=group=g --disk path=b,rate=bytes=1M");
    assert!(line.contains("group g"), "{line}");
}

#[test]
fn help_is_not_an_error() {
    for line in ["--help", "boot --help", "ctl --help", "--version"] {
        assert!(matches!(parse(arguments(line)), Err(Refusal::Help(_))), "{line}");
    }
}

#[test]
fn help_says_what_needs_kvm_and_what_does_not() {
    let Err(Refusal::Help(help)) = parse(arguments("--help")) else {
        panic!("no help");
    };
    let help = help.to_string();
    assert!(help.contains("no KVM, root or download"), "{help}");
    assert!(help.contains("Only `microvm boot` needs /dev/kvm"), "{help}");
}

#[test]
fn no_subcommand_is_allowed() {
    assert!(parse(arguments("")).unwrap().command.is_none());
}

#[test]
fn resize_takes_a_size() {
    let cli = parse(arguments("ctl /run/vm.sock resize root 2G")).unwrap();
    let Some(Command::Ctl(ctl)) = cli.command else {
        panic!("{cli:?}");
    };
    assert_eq!(ctl.request, CtlRequest::Resize { serial: "root".to_owned(), bytes: 2 << 30 });
    assert!(refusal("ctl").contains("SOCKET"));
    assert!(refusal("ctl /run/vm.sock").contains("resize"));
    assert!(refusal("ctl /run/vm.sock resize").contains("SERIAL"));
    assert!(refusal("ctl /run/vm.sock resize root -1").contains("-1"));
    assert!(refusal("ctl /run/vm.sock resize root lots").contains("lots"));
}

#[test]
fn disks_are_resumed_and_counted_by_serial_number() {
    let request = |line: &str| match parse(arguments(line)).unwrap().command {
        Some(Command::Ctl(ctl)) => ctl.request,
        other => panic!("{other:?}"),
    };
    let serial = || "root".to_owned();
    assert_eq!(request("ctl /run/vm.sock resume root"), CtlRequest::Resume { serial: serial() });
    assert_eq!(request("ctl /run/vm.sock stats root"), CtlRequest::Stats { device: serial() });
    for (line, missing) in [("resume", "SERIAL"), ("stats", "DEVICE")] {
        assert!(refusal(&format!("ctl /run/vm.sock {line}")).contains(missing), "{line}");
    }
}

#[test]
fn links_go_up_and_down() {
    let request = |line: &str| match parse(arguments(&format!("ctl /run/vm.sock {line}"))).unwrap().command {
        Some(Command::Ctl(ctl)) => ctl.request,
        other => panic!("{other:?}"),
    };
    let device = || "tap0".to_owned();
    assert_eq!(request("link tap0 up"), CtlRequest::Link { device: device(), state: Link::Up });
    assert_eq!(request("link tap0 down"), CtlRequest::Link { device: device(), state: Link::Down });
    assert_eq!(request("announce tap0"), CtlRequest::Announce { device: device() });
    assert!(refusal("ctl /run/vm.sock link").contains("DEVICE"));
    assert!(refusal("ctl /run/vm.sock link tap0").contains("STATE"));
    let line = refusal("ctl /run/vm.sock link tap0 sideways");
    assert!(line.contains("sideways") && line.contains("up, down"), "{line}");
    assert!(refusal("ctl /run/vm.sock announce").contains("DEVICE"));
}

#[test]
fn network_devices_keep_their_order() {
    let boot = boot("--kernel k --net tap=tap0,queues=2 --net null --net switch=s,mac=52:54:00:00:00:01");
    let nets: Vec<Net> =
        ["queues=2,tap=tap0", "null", "mac=52:54:00:00:00:01,switch=s"].map(|text| text.parse().unwrap()).into();
    assert_eq!(boot.nets, nets);
}

#[test]
fn wrong_network_devices_are_named() {
    for (net, reason) in [
        ("packed", "the network is missing"),
        ("tap=a,passt=b", "on one network"),
        ("null,mac=ff:ff:ff:ff:ff:ff", "no device can have this address"),
    ] {
        let line = refusal(&format!("boot --kernel k --net {net}"));
        assert!(line.contains("--net") && line.contains(net) && line.contains(reason), "{line}");
    }
    let line = refusal("boot --kernel k --net tap=a --net tap=a");
    assert_eq!(line, "--net: two devices have tap=a");
}
