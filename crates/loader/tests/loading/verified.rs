//! What a verifier decides of images: whether they load, and what of the host they may use.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use farcall_image::Image;
use farcall_loader::{Error, LazyScope, Loader, Permission, SealedFile, TrustedImage};
use farcall_testkit::require_tools;

use crate::common::{call, image, load, load_all};

extern "C" fn log() -> i32 {
    4
}

fn only(names: &'static [&'static str]) -> Permission {
    Permission::only("key 3f2a (build)", move |name| names.contains(&name))
}

#[test]
fn every_way_to_load_asks_before_anything_is_searched() {
    require_tools!("clang-22");
    let asked = Arc::new(AtomicUsize::new(0));
    let mut loader = Loader::new();
    let count = Arc::clone(&asked);
    loader.verify_images(move |image| {
        count.fetch_add(1, Ordering::Relaxed);
        Err(format!("{:.8} is not trusted", image.digest().to_string()).into())
    });
    // A library that cannot be opened would be an error of its own, had it been looked for.
    loader.library("libdoes-not-exist.so");
    let bytes = image(
        "a.c",
        "int nowhere(void); int f(void) { return nowhere(); }\nconst char large[200000] = {1};",
    );
    let parsed = Image::parse(&bytes).unwrap();
    let digest = parsed.digest().to_string();
    // SAFETY: it does no harm, and is not loaded.
    let trusted = unsafe { TrustedImage::assume_trusted(parsed) }.named("a");
    let sealed = SealedFile::open(SealedFile::create(&bytes).unwrap()).unwrap();
    let in_file = Image::parse(sealed.bytes()).unwrap();
    // SAFETY: as above.
    let in_file = unsafe { TrustedImage::assume_trusted(in_file) }.named("a");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    std::fs::write(&path, &bytes).unwrap();
    let errors = [
        loader.load(&trusted, &[]).unwrap_err(),
        loader.load_all(&[&trusted], &[]).unwrap_err(),
        loader
            .load_bound(&[&trusted], &|_, _| None, |_| ())
            .unwrap_err(),
        loader.load_sealed(&in_file, &sealed, &[]).unwrap_err(),
        // SAFETY: as above, and nobody writes to the file.
        unsafe { loader.load_file(&path, &[]) }.unwrap_err(),
        // SAFETY: as above.
        unsafe { loader.map_file(&path, &[]) }.unwrap_err(),
        // SAFETY: it returns, as it is refused.
        unsafe { loader.run_program(&trusted, &[], Vec::new()) }.unwrap_err(),
    ];
    for error in &errors {
        let text = error.to_string();
        assert!(matches!(error, Error::Refused { .. }), "{text}");
        let expected = format!(": refused: {} is not trusted", &digest[..8]);
        assert!(text.ends_with(&expected), "{text}");
    }
    assert_eq!(asked.load(Ordering::Relaxed), errors.len());
}

#[test]
fn what_of_the_host_an_image_may_not_use() {
    require_tools!("clang-22");
    let source = "int log(void), getpid(void), provided(void);
        __attribute__((weak)) int getppid(void);
        int all(void) { return log() + provided() + (getpid() != 0) + (getppid ? 100 : 0); }";
    let provider = "int provided(void) { return 1; } int getpid(void) { return 0; }";
    let loader = |names| {
        let mut loader = Loader::new();
        loader.define_function("log", log as extern "C" fn() -> i32);
        loader.verify_images(move |_| Ok(only(names)));
        loader
    };
    let module = load(&loader(&[]), "provider.c", provider, &[]).unwrap();

    // Neither definitions nor the host's exports, unless an image has the name; what is weak is null.
    let error = load(&loader(&[]), "uses.c", source, &[&module]).unwrap_err();
    let rule = "forbids this import from the host, and no image in scope has it";
    assert_eq!(
        error.to_string(),
        format!("uses.c: key 3f2a (build) {rule}: log, used by uses.o: all")
    );
    let error = load(&loader(&["provided"]), "uses.c", source, &[]).unwrap_err();
    let Error::Forbidden { symbols, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(symbols.len(), 2, "{error}");
    let user = load(&loader(&["log"]), "uses.c", source, &[&module]).unwrap();
    assert_eq!(call(&user, "all"), 5);
    let user = load(&loader(&["log", "getppid"]), "uses.c", source, &[&module]).unwrap();
    assert_eq!(call(&user, "all"), 105);

    // An image that is loaded together with it is as good as one in scope.
    let [uses, provides] = [("uses.c", source), ("provider.c", provider)]
        .map(|(name, source)| (name, image(name, source)));
    let both = [(uses.0, &uses.1[..]), (provides.0, &provides.1[..])];
    let together = load_all(&loader(&["log"]), &both, &[]).unwrap();
    assert_eq!(call(&together[0], "all"), 5);
}

#[test]
fn a_first_call_binds_no_more_than_a_load() {
    require_tools!("clang-22");
    extern "C" fn refused() -> i32 {
        -1
    }
    let errors = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&errors);
    let scope = LazyScope::with_handler(Loader::new(), move |error| {
        seen.lock().unwrap().push(error.to_string());
        farcall_loader::Definition::function(refused as extern "C" fn() -> i32)
    });
    let mut loader = Loader::new();
    loader.bind_lazily(&scope);
    loader.verify_images(|_| Ok(only(&["getppid"])));
    let source = "int getpid(void), getppid(void), provided(void);
        int not_allowed(void) { return getpid(); }
        int allowed(void) { return getppid() >= 0; }
        int of_an_image(void) { return provided(); }";
    let user = load(&loader, "uses.c", source, &[]).unwrap();
    let provider = "int provided(void) { return 7; }";
    let provider = load(&Loader::new(), "provider.c", provider, &[]).unwrap();
    scope.add(&provider);
    assert_eq!(call(&user, "allowed"), 1);
    assert_eq!(call(&user, "of_an_image"), 7);
    assert_eq!(call(&user, "not_allowed"), -1);
    let errors = errors.lock().unwrap();
    assert_eq!(errors.len(), 1);
    assert!(errors[0].contains("key 3f2a (build) forbids"), "{errors:?}");
}
