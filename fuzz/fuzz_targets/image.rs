//! Images: what parses can be asked everything.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(image) = farcall_image::Image::parse(bytes) {
        std::hint::black_box(image.describe().to_string());
        for (_, symbol) in image.all_exports().chain(image.imports()) {
            std::hint::black_box(image.exports().lookup(symbol.name));
        }
        let _ = image.verify_digest();
    }
});
