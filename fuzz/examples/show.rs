//! Says what an input means, and runs it: `cargo run --example show -- TARGET FILE`.

use std::{env, fs, io};

fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1);
    let target = arguments.next().unwrap_or_default();
    let data = fs::read(arguments.next().ok_or(io::Error::other("which file?"))?)?;
    match target.as_str() {
        "split" | "packed" => print!("{}", virtio_fuzz::describe(&data)),
        "block" => print!("{}", virtio_fuzz::describe_block(&data)),
        "net" => print!("{}", virtio_fuzz::describe_net(&data)),
        "zone-state" => print!("{}", virtio_fuzz::describe_zone_state(&data)),
        _ => {}
    }
    match target.as_str() {
        "split" => println!("{:#?}", virtio_fuzz::split(&data)),
        "packed" => println!("{:#?}", virtio_fuzz::packed(&data)),
        "block" => println!("{:#?}", virtio_fuzz::block(&data)),
        "net" => println!("{:#?}", virtio_fuzz::net(&data)),
        "nbd" => virtio_fuzz::nbd(&data),
        "zone-state" => println!("{:#?}", virtio_fuzz::zone_state(&data)),
        _ => return Err(io::Error::other("split, packed, block, net, nbd or zone-state?")),
    }
    Ok(())
}
