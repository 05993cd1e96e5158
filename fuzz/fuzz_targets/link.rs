//! Objects and archives: a link fails with an error or gives an image.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(image) = farcall_linker::Linker::new().add("input", bytes).link() {
        let image = farcall_image::Image::parse(&image).expect("what links is an image");
        image.verify_digest().expect("an image has the digest that it carries");
    }
});
