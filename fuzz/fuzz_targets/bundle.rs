//! Bundles: what parses can be asked everything, and is the bundle of its images.
#![no_main]

use farcall_image::{Bundle, BundleTable, CpuFeatures, Digest, Machine};

/// The digest in a bundle's head.
const DIGEST: std::ops::Range<usize> = 16..BundleTable::HEAD_SIZE;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // A fuzzer finds no digest.
    let mut bytes = bytes.to_vec();
    if let Ok(Some(size)) = BundleTable::size(&bytes)
        && let Some(head) = bytes.get(..size)
    {
        let digest = Digest::of_with_hole(head, DIGEST.start).expect("the head has a digest");
        bytes[DIGEST].copy_from_slice(digest.as_bytes());
    }
    let Ok(bundle) = Bundle::parse(&bytes) else {
        return;
    };
    for machine in [Machine::X86_64, Machine::Aarch64] {
        for features in [CpuFeatures::NONE, CpuFeatures::from_bits(u128::MAX)] {
            std::hint::black_box(bundle.describe(machine, features).to_string());
            let _ = bundle.choose(machine, features);
        }
    }
    let variants = bundle.table().variants();
    let images: Vec<_> = (0..variants.len())
        .filter_map(|index| bundle.image(index)?.ok())
        .collect();
    for variant in variants {
        assert!(variant.range().end <= bytes.len() as u64);
    }
    if images.len() == variants.len() {
        let again = Bundle::write(&images).expect("they are a bundle's");
        assert!(again == bytes || bundle.verify().is_err());
    }
});
