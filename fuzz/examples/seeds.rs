//! Writes the seeds made by hand: `cargo run --example seeds -- FOLDER` fills a folder in FOLDER for each target.

use std::path::PathBuf;
use std::{env, fs, io};

use virtio_fuzz::seeds;

fn main() -> io::Result<()> {
    let folder = PathBuf::from(env::args().nth(1).ok_or(io::Error::other("which folder?"))?);
    let targets = [
        ("split", seeds::split()),
        ("packed", seeds::packed()),
        ("block", seeds::block()),
        ("net", seeds::net()),
        ("nbd", seeds::nbd()),
        ("zone-state", seeds::zone_state()),
    ];
    for (target, seeds) in targets {
        let folder = folder.join(target);
        fs::create_dir_all(&folder)?;
        for (number, (name, seed)) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("{name}-{number}")), seed)?;
        }
    }
    Ok(())
}
