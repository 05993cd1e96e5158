//! Objects and archives: a link fails with an error or gives an image.
#![no_main]

use farcall_linker::Linker;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut linker = Linker::new();
    linker.add("input", bytes);
    // Debug information is what the image is not, so whatever links with it links without.
    let split = linker.link_split();
    let image = linker.link();
    if let Ok(split) = split {
        assert!(image.as_ref().is_ok_and(|image| *image == split.image));
    }
    if let Ok(image) = image {
        let image = farcall_image::Image::parse(&image).expect("what links is an image");
        image.verify_digest().expect("an image has the digest that it carries");
    }
});
