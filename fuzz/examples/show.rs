//! Says what an input means, and runs it: `cargo run --example show -- split FILE`, or `packed`.

use std::{env, fs, io};

fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1);
    let target = arguments.next().unwrap_or_default();
    let data = fs::read(arguments.next().ok_or(io::Error::other("which file?"))?)?;
    print!("{}", virtio_fuzz::describe(&data));
    let outcome = match target.as_str() {
        "split" => virtio_fuzz::split(&data),
        "packed" => virtio_fuzz::packed(&data),
        _ => return Err(io::Error::other("split or packed?")),
    };
    println!("{outcome:#?}");
    Ok(())
}
