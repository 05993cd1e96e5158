//! Images: what parses can be asked everything.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(image) = farcall_image::Image::parse(bytes) {
        std::hint::black_box(image.describe().to_string());
        for segment in image.segments() {
            std::hint::black_box(&bytes[segment.resident_file()]);
        }
        let records = image.eh_frame().unwrap_or_default();
        for (function, record) in image.unwind_functions() {
            std::hint::black_box(function);
            assert!(records.contains(&record));
        }
        let tables = &bytes[image.lookup_tables()];
        let moved = image.exports_in(tables).expect("these are the tables");
        for (_, symbol) in image.all_exports().chain(image.imports()) {
            let found = image.exports().lookup(symbol.name);
            assert_eq!(moved.lookup(symbol.name), found);
        }
        std::hint::black_box(image.manifest());
        let _ = image.verify_digest();
    }
});
