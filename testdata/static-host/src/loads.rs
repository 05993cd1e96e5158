//! Hello world that loads an image: what a program grows by is measured with it.

#![allow(unsafe_code, reason = "loading runs code")]

use std::error::Error;

use farcall_image::Image;
use farcall_loader::{Loader, TrustedImage, host_fn};

extern "C" fn log(value: i64) {
    println!("{value}");
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("hello");
    let path = std::env::args()
        .nth(1)
        .ok_or("the image's path is missing")?;
    let bytes = std::fs::read(path)?;
    // SAFETY: whoever starts this program says which image it is.
    let image = unsafe { TrustedImage::assume_trusted(Image::parse(&bytes)?) };
    let mut loader = Loader::new();
    host_fn!(loader, log: extern "C" fn(i64));
    let module = loader.load(&image, &[])?;
    let run = module.lookup::<unsafe extern "C" fn(i32) -> i32>("run")?;
    // SAFETY: as above; the manifest says that it has this type.
    println!("{}", unsafe { run(1) });
    module.unload()?;
    Ok(())
}
