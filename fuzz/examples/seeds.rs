//! Writes the seeds made by hand: `cargo run --example seeds -- FOLDER` fills FOLDER/split and FOLDER/packed.

use std::path::PathBuf;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let folder = PathBuf::from(env::args().nth(1).ok_or(io::Error::other("which folder?"))?);
    for (target, seeds) in [("split", virtio_fuzz::seeds::split()), ("packed", virtio_fuzz::seeds::packed())] {
        let folder = folder.join(target);
        fs::create_dir_all(&folder)?;
        for (number, (name, seed)) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("{name}-{number}")), seed)?;
        }
    }
    Ok(())
}
