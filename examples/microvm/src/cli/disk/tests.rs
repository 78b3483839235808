//! Tests of what `--disk` takes.

use std::time::Duration;

use virtio_core::Features;

use super::rate::Limit;
use super::*;

fn disk(text: &str) -> Disk {
    text.parse().unwrap()
}

/// Why this is no disk.
fn refusal(text: &str) -> String {
    match text.parse::<Disk>() {
        Err(reason) => reason,
        Ok(disk) => panic!("{text:?} gave {disk:?}"),
    }
}

/// Each of these is refused, for this reason.
fn refused(cases: &[(&str, &str)]) {
    for (text, reason) in cases {
        let refusal = refusal(text);
        assert!(refusal.contains(reason), "{text:?}: {refusal}");
        assert!(!refusal.contains('\n'), "{refusal:?} has several lines");
    }
}

fn in_file(path: &str) -> Disk {
    Disk::on(Backend::Uring { path: path.into() })
}

fn on_server(uri: &str) -> Disk {
    Disk::on(Backend::Nbd { uri: uri.to_owned() })
}

#[test]
fn a_path_is_enough() {
    assert_eq!(disk("path=a.img"), in_file("a.img"));
    assert_eq!(disk("path=a=b"), in_file("a=b"));
    assert_eq!(disk("path=a.img").place().to_str(), Some("a.img"));
}

#[test]
fn options_come_in_any_order() {
    let (read_only, serial, transport) = (true, Some("two".to_owned()), Transport::Mmio);
    let features = Features::RING_PACKED | Features::IN_ORDER;
    let wanted = Disk { read_only, serial, transport, features, ..in_file("b") };
    assert_eq!(disk("in-order,ro,serial=two,path=b,transport=mmio,packed"), wanted);
    assert_eq!(disk("path=b,packed,in-order,transport=mmio,serial=two,ro"), wanted);
}

#[test]
fn queues_have_features() {
    for (text, features) in [
        ("path=a,notification-data", Features::NOTIFICATION_DATA),
        ("path=a,packed", Features::RING_PACKED),
        ("path=a,in-order", Features::IN_ORDER),
    ] {
        assert_eq!(disk(text), Disk { features, ..in_file("a") });
    }
}

#[test]
fn backends_are_chosen() {
    assert_eq!(disk("path=a,backend=uring"), in_file("a"));
    assert_eq!(disk("path=a,backend=file"), Disk::on(Backend::File { path: "a".into() }));
    assert_eq!(disk("backend=mem,size=4K"), Disk::on(Backend::Memory { size: 4096 }));
    assert_eq!(disk("size=1T,backend=null"), Disk::on(Backend::Null { size: 1 << 40 }));
    assert_eq!(disk("backend=mem,size=4K").place().to_str(), Some("backend=mem"));
    assert_eq!(disk("backend=null,size=4K").place().to_str(), Some("backend=null"));
}

#[test]
fn servers_are_named_in_three_ways() {
    for uri in ["nbd://host:10809/disk", "nbd+unix:///disk?socket=/run/nbd.sock"] {
        for text in [format!("backend=nbd={uri}"), format!("backend=nbd,nbd={uri}"), format!("nbd={uri}")] {
            assert_eq!(disk(&text), on_server(uri));
        }
        assert_eq!(on_server(uri).place().to_str(), Some(uri));
    }
}

#[test]
fn wrong_backends_are_named() {
    refused(&[
        ("ro", "path=FILE is missing"),
        ("backend=uring", "path=FILE is missing"),
        ("backend=file", "path=FILE is missing"),
        ("path=", "path is empty"),
        ("path", "path is empty"),
        ("path=a,path=b", "path is given twice"),
        ("path=a,backend=usb", "backend=usb: there are uring, file, mem, null and nbd=URI"),
        ("path=a,backend=", "backend=: there are"),
        ("path=a,backend=file=a", "backend=file=a: there are"),
        ("path=a,backend=file,backend=uring", "backend is given twice"),
        ("backend=mem", "size=SIZE, which is missing"),
        ("backend=null", "size=SIZE, which is missing"),
        ("backend=mem,size=1M,path=a", "backend=mem takes no path=FILE"),
        ("backend=null,size=1M,path=a", "backend=null takes no path=FILE"),
        ("backend=mem,size=1M,nbd=nbd://h", "backend=mem takes no nbd=URI"),
        ("backend=file,path=a,nbd=nbd://h", "backend=file takes no nbd=URI"),
        ("path=a,nbd=nbd://h", "backend=nbd takes no path=FILE"),
        ("path=a,size=1M", "backend=uring takes no size=SIZE"),
        ("nbd=nbd://h,size=1M", "backend=nbd takes no size=SIZE"),
        ("backend=nbd", "nbd=URI, which is missing"),
        ("backend=nbd=", "nbd=: nbd://HOST"),
        ("backend=nbd=http://h", "nbd=http://h: nbd://HOST"),
        ("backend=nbd=/run/socket", "nbd+unix:///[NAME]?socket=PATH"),
        ("backend=nbd=nbd://h,nbd=nbd://h", "nbd is given twice"),
        ("backend=mem,size=0", "size=0: a multiple of 512"),
        ("backend=mem,size=513", "size=513: a multiple of 512"),
        ("backend=mem,size=lots", "size=lots: a number of bytes"),
        ("backend=mem,size=16777216T", "size=16777216T: too large"),
    ]);
}

#[test]
fn formats_are_said_and_have_a_backend_of_their_own() {
    assert_eq!(disk("path=a,format=raw"), in_file("a"));
    for (text, format) in [("qcow2", Format::Qcow2), ("vmdk", Format::Vmdk)] {
        let wanted = Disk { format, ..Disk::on(Backend::File { path: "a".into() }) };
        assert_eq!(disk(&format!("path=a,format={text}")), wanted);
        assert_eq!(disk(&format!("path=a,format={text},backend=file")), wanted);
        let wanted = Disk { backing_files: true, ..wanted };
        assert_eq!(disk(&format!("path=a,format={text},backing-files")), wanted);
    }
    // However the file is called.
    assert_eq!(disk("path=a.qcow2").format, Format::Raw);
}

#[test]
fn wrong_formats_are_named() {
    refused(&[
        ("path=a,format=auto", "format=auto: there are raw, qcow2 and vmdk"),
        ("path=a,format=", "format=: there are"),
        ("path=a,format", "format=: there are"),
        ("path=a,format=raw,format=raw", "format is given twice"),
        ("path=a,format=qcow2,backend=uring", "backend=uring takes format=raw only"),
        ("size=1M,format=qcow2,backend=mem", "backend=mem takes format=raw only"),
        ("size=1M,format=vmdk,backend=null", "backend=null takes format=raw only"),
        ("nbd=nbd://h,format=qcow2", "backend=nbd takes format=raw only"),
        ("path=a,backing-files", "backing-files is for format=qcow2"),
        ("path=a,format=qcow2,backing-files=b", "\"backing-files=b\""),
    ]);
}

#[test]
fn a_cache_survives_at_a_server() {
    let uri = "nbd://host";
    assert_eq!(disk("nbd=nbd://host,cache-survives"), Disk { cache_survives: true, ..on_server(uri) });
    refused(&[
        ("path=a,cache-survives", "cache-survives is for backend=nbd"),
        ("nbd=nbd://h,cache-survives=on", "\"cache-survives=on\""),
    ]);
}

#[test]
fn direct_is_for_files() {
    assert_eq!(disk("path=a,direct"), Disk { direct: true, ..in_file("a") });
    assert!(disk("path=a,direct,backend=file").direct && disk("path=a,direct,format=qcow2").direct);
    refused(&[
        ("backend=mem,size=1M,direct", "direct is for backend=uring and backend=file"),
        ("backend=null,size=1M,direct", "direct is for"),
        ("nbd=nbd://h,direct", "direct is for"),
        ("path=a,direct=yes", "\"direct=yes\""),
    ]);
}

#[test]
fn queues_are_counted_and_have_a_size() {
    let wanted = Disk { queues: 4, queue_size: Some(1024), ..in_file("a") };
    assert_eq!(disk("path=a,queues=4,queue-size=1024"), wanted);
    assert_eq!(disk("path=a,queues=64,queue-size=4").queues, 64);
    assert_eq!(disk("path=a,queue-size=32768").queue_size, Some(32768));
    refused(&[
        ("path=a,queues=0", "queues=0: a number from 1 to 64"),
        ("path=a,queues=65", "queues=65: a number from 1 to 64"),
        ("path=a,queues=70000", "a number from 1 to 64"),
        ("path=a,queues=-1", "a number from 1 to 64"),
        ("path=a,queues", "a number from 1 to 64"),
        ("path=a,queues=1,queues=2", "queues is given twice"),
        ("path=a,queue-size=0", "queue-size=0: a power of two from 4 to 32768"),
        ("path=a,queue-size=2", "a power of two from 4 to 32768"),
        ("path=a,queue-size=100", "a power of two from 4 to 32768"),
        ("path=a,queue-size=65536", "a power of two from 4 to 32768"),
        ("path=a,queue-size=big", "a power of two from 4 to 32768"),
    ]);
}

#[test]
fn discarding_is_switched() {
    assert!(disk("path=a").discard && disk("path=a,discard=on").discard);
    assert_eq!(disk("path=a,discard=off"), Disk { discard: false, ..in_file("a") });
    refused(&[
        ("path=a,discard", "discard=: there are on and off"),
        ("path=a,discard=yes", "discard=yes: there are on and off"),
        ("path=a,discard=on,discard=off", "discard is given twice"),
    ]);
}

#[test]
fn zones_have_a_model_and_limits() {
    let zones = |model| Zones { model, zone: 64 << 20, conventional: 0, max_open: 0, max_active: 0, state: None };
    let emulated = |zones| Some(Zoned::Emulated(zones));
    assert_eq!(disk("path=a,zoned=host-aware").zoned, emulated(zones(Model::HostAware)));
    let managed = zones(Model::HostManaged);
    assert_eq!(disk("path=a,zoned=host-managed").zoned, emulated(managed.clone()));
    let text = "path=a,zoned=host-managed:zone=4M:conventional=2:max-open=4:max-active=6:state=/var/lib/zones";
    let state = Some("/var/lib/zones".into());
    let wanted = Zones { zone: 4 << 20, conventional: 2, max_open: 4, max_active: 6, state, ..managed.clone() };
    assert_eq!(disk(text), Disk { zoned: emulated(wanted), ..in_file("a") });
    // As many open ones as active ones can be.
    assert_eq!(disk("path=a,zoned=host-managed:max-open=3").zoned, emulated(Zones { max_open: 3, ..managed }));
}

#[test]
fn zones_may_be_those_of_a_device_of_the_host() {
    let zoned = Some(Zoned::Host);
    assert_eq!(disk("path=a,zoned=host"), Disk { zoned: zoned.clone(), ..in_file("a") });
    let system_calls = Disk::on(Backend::File { path: "a".into() });
    assert_eq!(disk("path=a,zoned=host,backend=file,direct"), Disk { zoned, direct: true, ..system_calls });
    let why = "zoned=host is for path=DEVICE";
    refused(&[
        ("backend=mem,size=1M,zoned=host", why),
        ("nbd=nbd://h,zoned=host", why),
        ("path=a,format=qcow2,zoned=host", why),
        ("path=a,zoned=host,ro", "zoned does not go with ro"),
        ("path=a,zoned=host:zone=1M", "zoned=host: there are host-managed and host-aware"),
    ]);
}

#[test]
fn wrong_zones_are_named() {
    refused(&[
        ("path=a,zoned", "zoned=: there are host-managed and host-aware"),
        ("path=a,zoned=drive-managed", "zoned=drive-managed: there are host-managed and host-aware"),
        ("path=a,zoned=host-managed:", "zoned: \"\": there are zone=SIZE"),
        ("path=a,zoned=host-managed:zone=0", "zoned: zone=0: a multiple of 512"),
        ("path=a,zoned=host-managed:zone=3M", "zoned: zone=3M: a power of two"),
        ("path=a,zoned=host-managed:zone=x", "zoned: zone=x: a number of bytes"),
        ("path=a,zoned=host-managed:zone=1M:zone=1M", "zoned: zone is given twice"),
        ("path=a,zoned=host-managed:conventional=-1", "zoned: conventional=-1: a number of zones"),
        ("path=a,zoned=host-managed:max-open=x", "zoned: max-open=x: a number of zones"),
        ("path=a,zoned=host-managed:max-active=x", "zoned: max-active=x: a number of zones"),
        ("path=a,zoned=host-managed:max-open=5:max-active=4", "max-open=5 is more than max-active=4"),
        ("path=a,zoned=host-managed:state=", "zoned: state is empty"),
        ("path=a,zoned=host-managed:open=1", "zoned: \"open=1\": there are zone=SIZE"),
        ("path=a,zoned=host-managed,zoned=host-aware", "zoned is given twice"),
        ("path=a,ro,zoned=host-managed", "zoned does not go with ro"),
    ]);
}

#[test]
fn rates_have_bursts() {
    let limit = |per_second, burst| Some(Limit { per_second, burst });
    let rate = |text: &str| disk(&format!("path=a,rate={text}")).rate.unwrap();
    assert_eq!(rate("requests=1000"), Rate { requests: limit(1000, 1000), ..Rate::default() });
    assert_eq!(rate("bytes=20M+100M"), Rate { bytes: limit(20 << 20, 100 << 20), ..Rate::default() });
    let group = Some("slow".to_owned());
    let wanted = Rate { requests: limit(1000, 5), bytes: limit(512, 512), group };
    assert_eq!(rate("bytes=512:group=slow:requests=1000+5"), wanted);
    refused(&[
        ("path=a,rate", "rate: \"\": there are requests=N[+BURST]"),
        ("path=a,rate=1000", "rate: \"1000\": there are requests=N[+BURST]"),
        ("path=a,rate=requests=0", "rate: requests=0: numbers above 0"),
        ("path=a,rate=requests=1+0", "rate: requests=1+0: numbers above 0"),
        ("path=a,rate=requests=1+", "rate: requests=1+: numbers above 0"),
        ("path=a,rate=requests=-1", "rate: requests=-1: numbers above 0"),
        ("path=a,rate=bytes=fast", "rate: bytes=fast: numbers above 0 are needed, such as 20M or 20M+100M"),
        ("path=a,rate=bytes=1:bytes=2", "rate: bytes is given twice"),
        ("path=a,rate=group=", "rate: group is empty"),
        ("path=a,rate=bytes=1,rate=bytes=1", "rate is given twice"),
    ]);
}

#[test]
fn groups_share_one_rate() {
    let disks = |rates: &[&str]| rates.iter().map(|rate| disk(&format!("path=a,rate={rate}"))).collect::<Vec<_>>();
    let some = disks(&["bytes=1M:group=a", "group=a", "bytes=2M", "group=b", "requests=5:group=b", "bytes=1M:group=a"]);
    let shared = groups(&some).unwrap();
    assert_eq!(shared.len(), 2);
    assert_eq!(shared.get("a"), some[0].rate.as_ref());
    assert_eq!(shared.get("b"), some[4].rate.as_ref());
    assert!(groups(&disks(&["bytes=1M:group=a", "bytes=2M:group=a"])).unwrap_err().contains("group a different rates"));
    assert!(groups(&disks(&["group=a", "bytes=2M"])).unwrap_err().contains("no disk of the group a says"));
}

#[test]
fn faults_have_a_policy() {
    for (text, on_error) in [
        ("report", OnError::Report),
        ("ignore", OnError::Ignore),
        ("stop", OnError::Stop),
        ("enospc", OnError::StopWhenFull),
    ] {
        assert_eq!(disk(&format!("path=a,on-error={text}")), Disk { on_error, ..in_file("a") });
    }
    refused(&[
        ("path=a,on-error=panic", "on-error=panic: there are report, ignore, stop and enospc"),
        ("path=a,on-error", "on-error=: there are"),
        ("path=a,on-error=stop,on-error=stop", "on-error is given twice"),
    ]);
}

#[test]
fn time_outs_have_units() {
    for (text, milliseconds) in [("30", 30_000), ("30s", 30_000), ("500ms", 500), ("1ms", 1), ("86400", 86_400_000)] {
        let timeout = Some(Duration::from_millis(milliseconds));
        assert_eq!(disk(&format!("path=a,timeout={text}")), Disk { timeout, ..in_file("a") });
    }
    for text in ["0", "0ms", "", "s", "ms", "-1", "+1", "1.5", "1m", "86401", "99999999999999999999"] {
        refused(&[(&format!("path=a,timeout={text}"), "1ms to 86400s are possible")]);
    }
}

#[test]
fn other_options_are_named() {
    refused(&[
        ("path=a,rw", "\"rw\": there are path=FILE, backend="),
        ("path=a,", "\"\": there are"),
        ("path=a,ro=yes", "\"ro=yes\""),
        ("path=a,packed=no", "\"packed=no\""),
        ("path=a,in-order,in-order", "in-order is given twice"),
        ("path=a,ro,ro", "ro is given twice"),
        ("serial=x,path=a,serial=x", "serial is given twice"),
        ("path=a,transport=usb", "transport=usb"),
        ("path=a,serial=", "1 to 20 bytes"),
        ("path=a,serial=123456789012345678901", "1 to 20 bytes"),
        ("path=a,serial=\u{e9}", "printable ASCII"),
    ]);
}
