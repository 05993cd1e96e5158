//! Images that somebody wants to have loaded and that must not be: each is refused, with the reason.

#![allow(
    unsafe_code,
    clippy::unwrap_used,
    reason = "a test that cannot go on is to panic; what is loaded does no harm"
)]

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use farcall_image::{Bundle, Claims, CodeSignature, Error as ImageError, Image, KeyId, Machine};
use farcall_loader::{Error, Loader, Module, Permission, SealedFile, TrustedImage};
use farcall_testkit::{Linker, require_tools, tools};
use farcall_trust::{
    KeyError, KeyName, Patterns, Policy, PolicyFile, Refusal, SecretKey, Terms, Utc,
};
use ring::signature::Ed25519KeyPair;

const NOW: Utc = Utc(1_800_000_000);
const SOURCE: &str = "int getpid(void); int answer(void) { return 42 + 0 * getpid(); }";

fn key(name: &str) -> SecretKey {
    SecretKey::generate(name.parse().unwrap()).unwrap()
}

fn image(source: &str) -> Vec<u8> {
    image_for(Machine::host().unwrap(), source)
}

fn image_for(machine: Machine, source: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let [from, to] = ["module.c", "module.o"].map(|name| folder.path().join(name));
    fs::write(&from, source).unwrap();
    let target = format!("--target={}-linux-gnu", machine.name());
    let [from, to] = [&from, &to].map(|path| path.to_str().unwrap());
    let options = ["-O1", "-fPIC", "-ffreestanding", "-c", from, "-o", to];
    tools::run("clang-22", &[&[&target[..]][..], &options].concat()).unwrap();
    let object = fs::read(to).unwrap();
    Linker::new().add("module.o", &object).link().unwrap()
}

fn signed(key: &SecretKey, bytes: &[u8]) -> Vec<u8> {
    signed_with(key, bytes, &Terms::default())
}

fn signed_with(key: &SecretKey, bytes: &[u8], terms: &Terms) -> Vec<u8> {
    key.sign_image(&Image::parse(bytes).unwrap(), terms)
        .unwrap()
}

/// A policy that trusts these keys with all that the host has, and what is written besides.
fn policy(keys: &[&SecretKey], more: &str) -> Policy {
    let lines = keys
        .iter()
        .map(|key| format!("key {}\nhost *\n", key.public()));
    (lines.collect::<String>() + more).parse().unwrap()
}

fn refusal(policy: &Policy, bytes: &[u8]) -> Refusal {
    policy
        .verify_at(&Image::parse(bytes).unwrap(), NOW)
        .unwrap_err()
}

/// A loader that loads what the policy lets.
fn loader(policy: Arc<Policy>) -> Loader {
    let mut loader = Loader::new();
    loader.verify_images(move |image| {
        let verified = policy.verify_at(image, NOW)?;
        let by = verified.by();
        Ok(Permission::only(&by, move |name| verified.may_bind(name)))
    });
    loader
}

fn load(loader: &Loader, bytes: &[u8]) -> Result<Module, Error> {
    // SAFETY: the policy says who made it.
    let image = unsafe { TrustedImage::assume_trusted(Image::parse(bytes).unwrap()) };
    loader.load(&image.named("module"), &[])
}

fn answer(module: &Module) -> i32 {
    let answer = module
        .lookup::<unsafe extern "C" fn() -> i32>("answer")
        .unwrap();
    // SAFETY: it is a function of this type, and has no contract.
    unsafe { answer() }
}

#[test]
fn who_may_and_who_may_not() {
    require_tools!("clang-22");
    let [build, stranger] = ["build", "stranger"].map(key);
    let plain = image(SOURCE);
    let good = signed(&build, &plain);
    let trusts_build = policy(&[&build], "");
    let verified = trusts_build.verify_at(&Image::parse(&good).unwrap(), NOW);
    let verified = verified.unwrap();
    assert_eq!(verified.key(), build.public().id());
    assert!(verified.may_bind("getpid") && !verified.may_bind("getppid"));
    let loader = loader(Arc::new(trusts_build));
    assert_eq!(answer(&load(&loader, &good).unwrap()), 42);

    for bytes in [&plain, &signed(&stranger, &plain)] {
        let error = load(&loader, bytes).unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{error}");
    }
    let error = load(&loader, &plain).unwrap_err().to_string();
    assert!(
        error.starts_with("module: refused: not signed: "),
        "{error}"
    );
    let trusts_nobody = policy(&[], "");
    assert!(
        matches!(refusal(&trusts_nobody, &good), Refusal::UnknownKey { key } if key == build.public().id())
    );
    // Signed again it is of the last who did.
    let both = policy(&[&build], "");
    let again = signed(&stranger, &good);
    assert!(matches!(refusal(&both, &again), Refusal::UnknownKey { .. }));
    assert_eq!(signed(&build, &again), good);
}

/// Whoever has no key can still write any claims, and another's key id.
#[test]
fn a_signature_of_another_key_in_the_name_of_a_trusted_one() {
    require_tools!("clang-22");
    let [build, stranger] = ["build", "stranger"].map(key);
    let plain = image(SOURCE);
    let by_stranger = signed(&stranger, &plain);
    let at = by_stranger.len() - 88;
    let mut forged = by_stranger.clone();
    forged[at..at + 8].copy_from_slice(build.public().id().as_bytes());
    assert_eq!(CodeSignature::signer(&forged), Some(build.public().id()));
    let policy = policy(&[&build], "");
    let refused = refusal(&policy, &forged);
    assert!(matches!(refused, Refusal::WrongSignature { .. }));
    assert!(refused.to_string().contains("(build)"), "{refused}");
}

#[test]
fn every_byte_counts() {
    require_tools!("clang-22");
    let build = key("build");
    let good = signed(&build, &image(SOURCE));
    let policy = policy(&[&build], "");
    let loads = |bytes: &[u8]| match Image::parse(bytes) {
        Ok(image) => policy.verify_at(&image, NOW).is_ok(),
        Err(_) => false,
    };
    assert!(loads(&good));
    for at in 0..good.len() {
        for bit in [0x01, 0x80] {
            let mut changed = good.clone();
            changed[at] ^= bit;
            assert!(!loads(&changed), "byte {at}");
        }
    }
    // Nor what is left out, added or put elsewhere.
    let n_content = Image::parse(&good).unwrap().content().len();
    for end in n_content..good.len() {
        assert!(!loads(&good[..end]), "{end} bytes");
    }
    for extra in [&b"\0"[..], &good[n_content..]] {
        assert!(!loads(
            &[&good[..n_content], extra, &good[n_content..]].concat()
        ));
        assert!(!loads(&[&good, extra].concat()));
    }
    // An image that was changed and says so itself has another digest, and no signature of it.
    let mut renamed = image("int answer(void) { return 43; }");
    renamed.extend(&good[n_content..]);
    assert!(matches!(
        refusal(&policy, &renamed),
        Refusal::OtherImage { .. }
    ));
}

#[test]
fn a_signature_is_for_one_image() {
    require_tools!("clang-22");
    let build = key("build");
    let policy = policy(&[&build], "");
    let old = signed(&build, &image("int answer(void) { return 1; }"));
    let other = image("int answer(void) { return 2; }");
    let trailer = Image::parse(&old)
        .unwrap()
        .code_signature()
        .unwrap()
        .to_vec();
    let replayed = [&other[..], &trailer].concat();
    // Also when the policy knows the signature, and the image, already.
    for _ in 0..2 {
        let refused = refusal(&policy, &replayed);
        assert!(matches!(refused, Refusal::OtherImage { .. }), "{refused}");
        policy.verify_at(&Image::parse(&old).unwrap(), NOW).unwrap();
        let signed = signed(&build, &other);
        policy
            .verify_at(&Image::parse(&signed).unwrap(), NOW)
            .unwrap();
    }
}

#[test]
fn what_holds_for_a_time() {
    require_tools!("clang-22");
    let build = key("build");
    let plain = image(SOURCE);
    let terms = Terms {
        not_before: Utc(1000),
        expires: Utc(2000),
        ..Terms::default()
    };
    let bytes = signed_with(&build, &plain, &terms);
    let image = Image::parse(&bytes).unwrap();
    let trusts_build = policy(&[&build], "");
    let at = |policy: &Policy, now: u64| policy.verify_at(&image, Utc(now)).map(drop);
    // Asked in an order in which the policy remembers the signature.
    assert_eq!(at(&trusts_build, 1000), Ok(()));
    assert_eq!(at(&trusts_build, 1999), Ok(()));
    let expired = at(&trusts_build, 2000).unwrap_err();
    assert!(matches!(expired, Refusal::Expired { .. }));
    let text = "its signature has expired at 1970-01-01T00:33:20Z, and it is 1970-01-01T00:33:20Z: sign it again";
    assert_eq!(expired.to_string(), text);
    let early = at(&trusts_build, 999);
    assert!(matches!(early, Err(Refusal::NotYetValid { .. })));
    assert_eq!(at(&trusts_build, 1999), Ok(()));

    let line = format!("key {}\n", build.public());
    let key_for_a_time = |times: &str| -> Policy { format!("{line}{times}").parse().unwrap() };
    let later = key_for_a_time("from 1970-01-01T00:20:00Z\nuntil 1970-01-01T00:25:00Z");
    for (now, holds) in [(1100, false), (1200, true), (1499, true), (1500, false)] {
        let result = at(&later, now);
        let refused = matches!(result, Err(Refusal::KeyNotValid { .. }));
        assert_eq!((result.is_ok(), refused), (holds, !holds), "{now}");
    }
    let never = Terms {
        not_before: Utc(2000),
        ..terms
    };
    assert!(build.sign_image(&image, &never).is_err());
}

#[test]
fn what_was_revoked() {
    require_tools!("clang-22");
    let [build, next] = ["build", "next"].map(key);
    let plain = image(SOURCE);
    let good = signed(&build, &plain);
    let revoked = format!("revoke key {}", build.public().id());
    let key_revoked = policy(&[&build, &next], &revoked);
    let refused = refusal(&key_revoked, &good);
    assert!(matches!(refused, Refusal::RevokedKey { .. }), "{refused}");
    // The same image, signed with the key that came after it.
    let again = signed(&next, &plain);
    let again = Image::parse(&again).unwrap();
    key_revoked.verify_at(&again, NOW).unwrap();

    let revoked = format!("revoke image {}", again.digest());
    let image_revoked = policy(&[&build, &next], &revoked);
    for bytes in [good.as_slice(), again.bytes()] {
        assert_eq!(refusal(&image_revoked, bytes), Refusal::RevokedImage);
    }
}

/// A loader that is in use goes by what is written to the file, and a load that was let once is not let for good.
#[test]
fn a_key_is_revoked_while_a_loader_uses_it() {
    require_tools!("clang-22");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy");
    let write = |text: &str| {
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    };
    let [build, next] = ["build", "next"].map(key);
    let line = |key: &SecretKey| format!("key {}\nhost *\n", key.public());
    write(&line(&build));
    let file = PolicyFile::open(&path).unwrap();
    let mut loader = Loader::new();
    loader.verify_images(move |image| {
        let verified = file.current().verify(image)?;
        let by = verified.by();
        Ok(Permission::only(&by, move |name| verified.may_bind(name)))
    });
    let plain = image(SOURCE);
    let [by_build, by_next] = [&build, &next].map(|key| signed(key, &plain));
    let module = load(&loader, &by_build).unwrap();
    assert!(load(&loader, &by_next).is_err());
    write(&(line(&build) + &line(&next)));
    load(&loader, &by_build).unwrap();
    load(&loader, &by_next).unwrap();
    let revoke = format!("revoke key {}\n", build.public().id());
    write(&(line(&build) + &line(&next) + &revoke));
    let error = load(&loader, &by_build).unwrap_err().to_string();
    assert!(error.contains("which was revoked"), "{error}");
    load(&loader, &by_next).unwrap();
    // What is loaded runs until it is unloaded.
    assert_eq!(answer(&module), 42);
}

#[test]
fn what_a_key_may_not_bind() {
    require_tools!("clang-22");
    let build = key("build");
    let source = "int getpid(void), system(const char *); int answer(void) { return 42; }
        int run(void) { return getpid() + system(\"date\"); }";
    let plain = image(source);
    let may = |host: &str| {
        let text = format!("key {}\n{host}", build.public());
        loader(Arc::new(text.parse().unwrap()))
    };
    let good = signed(&build, &plain);
    assert_eq!(answer(&load(&may("host get* sys*em"), &good).unwrap()), 42);
    for (host, missing) in [
        ("", &["getpid", "system"][..]),
        ("host getpid", &["system"]),
        ("host getpid syste system? *x", &["system"]),
    ] {
        let error = load(&may(host), &good).unwrap_err();
        let Error::Forbidden { symbols, .. } = &error else {
            panic!("{error}");
        };
        let mut names: Vec<_> = symbols.iter().map(|it| &*it.name).collect();
        names.sort_unstable();
        assert_eq!(names, missing);
        let by = format!("module: key {} (build) forbids", build.public().id());
        assert!(error.to_string().starts_with(&by), "{error}");
    }
    // Nor what whoever signed left out, whatever the key may.
    let terms = Terms {
        host_imports: Patterns::new(["getpid"]),
        ..Terms::default()
    };
    let narrow = signed_with(&build, &plain, &terms);
    let error = load(&may("host *"), &narrow).unwrap_err();
    assert!(matches!(error, Error::Forbidden { .. }), "{error}");
    // It is in the signature, and so cannot be added.
    let trailer = Image::parse(&good).unwrap().code_signature().unwrap();
    let claims = CodeSignature::parse(trailer).unwrap().claims;
    assert_eq!(claims.host_imports, [&b"getpid"[..], b"system"]);
}

/// Somebody who has a key may still not say what is not so.
#[test]
fn claims_that_do_not_fit_the_image() {
    require_tools!("clang-22");
    let seed = [7; 32];
    let build = SecretKey::from_seed(seed, "build".parse().unwrap());
    let plain = image(SOURCE);
    let parsed = Image::parse(&plain).unwrap();
    // What the crate does not let one sign.
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
    let sign = |claims: Claims<'_>| {
        let signature = |message: &[u8]| pair.sign(message).as_ref().try_into().unwrap();
        [parsed.content(), &claims.signed(signature).unwrap()].concat()
    };
    let claims = || Claims {
        digest: parsed.digest(),
        e_machine: parsed.machine().e_machine(),
        host_imports: vec![b"getpid"],
        not_before: Utc::START,
        expires: Utc::NEVER,
        key: build.public().id(),
    };
    let policy = policy(&[&build], "");
    let good = sign(claims());
    policy
        .verify_at(&Image::parse(&good).unwrap(), NOW)
        .unwrap();
    assert_eq!(good, signed(&build, &plain));
    let other_machine = sign(Claims {
        e_machine: 0xffff,
        ..claims()
    });
    let refused = refusal(&policy, &other_machine);
    assert!(matches!(refused, Refusal::OtherMachine { .. }), "{refused}");
    let more = sign(Claims {
        host_imports: vec![b"getpid", b"system"],
        ..claims()
    });
    let refused = refusal(&policy, &more);
    let name = "system".to_owned();
    assert_eq!(refused, Refusal::NotImported { name });
    let other_key = sign(Claims {
        key: KeyId::from_bytes([7; 8]),
        ..claims()
    });
    let refused = refusal(&policy, &other_key);
    assert!(matches!(refused, Refusal::UnknownKey { .. }), "{refused}");
}

/// What is checked is in a file that nobody can write to, so that it is what is mapped and stays so.
#[test]
fn a_file_that_was_checked_cannot_be_changed() {
    require_tools!("clang-22");
    let build = key("build");
    let policy = Arc::new(policy(&[&build], ""));
    let large = format!("{SOURCE}\nconst unsigned char table[200000] = {{1}};");
    let [small, large] = [SOURCE, &large].map(|source| signed(&build, &image(source)));
    for bytes in [small, large] {
        let file = SealedFile::create(&bytes).unwrap();
        // Whoever made it, or was given it, may keep a descriptor.
        let kept = fs::File::from(file.try_clone().unwrap());
        let sealed = SealedFile::open(file).unwrap();
        let image = Image::parse(sealed.bytes()).unwrap();
        policy.verify_at(&image, NOW).unwrap();
        let at = bytes.len() as u64 / 2;
        kept.write_at(b"x", at).unwrap_err();
        (&kept).write_all(b"x").unwrap_err();
        kept.set_len(at).unwrap_err();
        kept.set_len(2 * at + 10).unwrap_err();
        let through_name = format!("/proc/self/fd/{}", kept.as_raw_fd());
        if let Ok(again) = OpenOptions::new().write(true).open(through_name) {
            again.write_at(b"x", at).unwrap_err();
            again.set_len(0).unwrap_err();
        }
        let fd = kept.as_raw_fd();
        // SAFETY: asks for a mapping, which is not used; for a hole; and for seals to be taken back.
        unsafe {
            let (read, write, shared) = (libc::PROT_READ, libc::PROT_WRITE, libc::MAP_SHARED);
            let mapped = libc::mmap(std::ptr::null_mut(), 4096, read | write, shared, fd, 0);
            assert_eq!(mapped, libc::MAP_FAILED);
            let hole = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
            assert_eq!(libc::fallocate(fd, hole, 0, 4096), -1);
            assert_eq!(libc::fcntl(fd, libc::F_ADD_SEALS, 0), -1);
        }
        assert_eq!(sealed.bytes(), bytes);
        // SAFETY: the policy says who made it.
        let image = unsafe { TrustedImage::assume_trusted(image) };
        let loader = loader(Arc::clone(&policy));
        assert_eq!(
            answer(&loader.load_sealed(&image, &sealed, &[]).unwrap()),
            42
        );
    }
    // One that is not sealed, or could still be written to, is not opened at all.
    let ordinary = tempfile::tempfile().unwrap();
    SealedFile::open(ordinary.into()).unwrap_err();
}

/// An ordinary file may change between a check and a mapping, so that it is read, and what was read is checked.
#[test]
fn a_file_that_is_changed_while_it_is_loaded() {
    require_tools!("clang-22");
    let build = key("build");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    let large = format!("{SOURCE}\nconst unsigned char table[200000] = {{1}};");
    let good = signed(&build, &image(&large));
    let policy = Arc::new(policy(&[&build], ""));
    let n_asked = Arc::new(AtomicUsize::new(0));
    let mut loader = Loader::new();
    let (asked, file) = (Arc::clone(&n_asked), path.clone());
    loader.verify_images(move |image| {
        policy.verify_at(image, NOW)?;
        asked.fetch_add(1, Ordering::Relaxed);
        // The check has been passed: now it is made another program.
        let size = file.metadata()?.len();
        let end = usize::try_from(size)?;
        OpenOptions::new()
            .write(true)
            .open(&file)?
            .write_all_at(&vec![0xcc; end], 0)?;
        Ok(Permission::all())
    });
    for round in 1..=3 {
        fs::write(&path, &good).unwrap();
        // SAFETY: the policy says who made it. That the file stays as it is, it does not.
        let module = unsafe { loader.map_file(&path, &[]) }.unwrap();
        assert_eq!(answer(&module), 42);
        assert_eq!(n_asked.load(Ordering::Relaxed), round);
    }
}

#[test]
fn a_bundle_of_different_signers() {
    require_tools!("clang-22");
    let [build, other] = ["build", "other"].map(key);
    let plain: Vec<_> = [Machine::X86_64, Machine::Aarch64]
        .map(|machine| image_for(machine, "int answer(void) { return 42; }"))
        .into();
    let bundle = |images: &[Vec<u8>]| {
        let images: Vec<_> = images.iter().map(|it| Image::parse(it).unwrap()).collect();
        Bundle::write(&images)
    };
    let unsigned = bundle(&plain).unwrap();
    let sign = |key: &SecretKey| {
        let bundle = Bundle::parse(&unsigned).unwrap();
        key.sign_bundle(&bundle, &Terms::default()).unwrap()
    };
    let [by_build, by_other] = [&build, &other].map(sign);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bundle");
    let loader = loader(Arc::new(policy(&[&build, &other], "")));
    let load = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        // SAFETY: the policy says who made it.
        unsafe { loader.load_file(&path, &[]) }
    };
    assert_eq!(answer(&load(&by_build).unwrap()), 42);
    assert_eq!(answer(&load(&by_other).unwrap()), 42);
    assert!(load(&unsigned).is_err());

    // Images are as long whoever signed them: one is put in the place of the other, though both keys are trusted.
    let parsed = Bundle::parse(&by_build).unwrap();
    for variant in parsed.table().variants() {
        let range = variant.range();
        let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
        let mut mixed = by_build.clone();
        mixed[range.clone()].copy_from_slice(&by_other[range]);
        let mixed_bundle = Bundle::parse(&mixed).unwrap();
        for result in [mixed_bundle.check_signers(), mixed_bundle.verify()] {
            let error = result.unwrap_err();
            assert!(
                matches!(error, ImageError::DifferentSigners { .. }),
                "{error}"
            );
        }
        let error = load(&mixed).unwrap_err();
        assert!(
            error.to_string().contains("signed by different keys"),
            "{error}"
        );
        // It can be signed anew, by one.
        let repaired = build.sign_bundle(&mixed_bundle, &Terms::default());
        assert_eq!(repaired.unwrap(), by_build);
    }
}

#[test]
fn names_are_no_paths() {
    require_tools!("clang-22");
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    for name in [
        "../build",
        "/etc/build",
        "a/b",
        "..",
        "build\n",
        "build\0",
        "",
    ] {
        assert!(name.parse::<KeyName>().is_err(), "{name}");
    }
    let build = key("build");
    let path = build.write_in(&keys).unwrap();
    assert_eq!(path.parent(), Some(&*keys));
    // A link in the place of a key is not followed when one is made, nor is a key written over.
    let elsewhere = folder.path().join("elsewhere");
    symlink(
        &elsewhere,
        SecretKey::path_in(&keys, &"next".parse().unwrap()),
    )
    .unwrap();
    let error = key("next").write_in(&keys).unwrap_err();
    assert!(matches!(error, KeyError::Exists { .. }), "{error}");
    assert!(!elsewhere.exists());

    // What a module is called is nothing to its signature, and no file.
    let loader = loader(Arc::new(policy(&[&build], "")));
    let good = signed(&build, &image(SOURCE));
    let before = files(folder.path());
    for name in [
        "../../module",
        "/etc/passwd",
        "build",
        "\u{1b}[2J",
        "a\0b",
        "",
    ] {
        // SAFETY: the policy says who made it.
        let image = unsafe { TrustedImage::assume_trusted(Image::parse(&good).unwrap()) };
        let module = loader.load(&image.named(name), &[]).unwrap();
        assert_eq!(answer(&module), 42);
    }
    assert_eq!(files(folder.path()), before);
}

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
