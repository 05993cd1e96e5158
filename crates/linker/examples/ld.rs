//! Links files: `ld OUTPUT INPUT...`.
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let inputs: Vec<Vec<u8>> = args[2..]
        .iter()
        .map(|p| std::fs::read(p).expect("read"))
        .collect();
    let mut linker = farcall_linker::Linker::new();
    for (name, bytes) in args[2..].iter().zip(&inputs) {
        linker.add(name.as_str(), bytes);
    }
    let start = std::time::Instant::now();
    match linker.link() {
        Ok(image) => {
            eprintln!("{:?}", start.elapsed());
            farcall_image::Image::parse(&image).expect("parse");
            std::fs::write(&args[1], image).expect("write");
        }
        Err(errors) => {
            eprintln!("{errors}");
            std::process::exit(1)
        }
    }
}
