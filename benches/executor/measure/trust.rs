//! What it costs to know who signed an image that is about to be loaded.

use std::fs;
use std::time::Instant;

use farcall_benches::{Bar, Row, Subject};
use farcall_image::Image;
use farcall_trust::{Policy, SecretKey, Terms, Utc};

use crate::artefacts::Artefacts;

const ROUNDS: usize = 300;
const MOST: Bar = Bar::Value(60_000.0);

/// The digest, which is of each byte, is what an executor looks at whoever signed: it stands beside.
pub(crate) fn trust(artefacts: &Artefacts) -> Vec<Row> {
    let subjects = [(Subject::Tiny, "tiny image"), (Subject::Sqlite, "SQLite")];
    let rows = subjects.map(|(subject, title)| rows(artefacts, subject, title));
    rows.into_iter().flatten().collect()
}

fn rows(artefacts: &Artefacts, subject: Subject, title: &str) -> Vec<Row> {
    let key = SecretKey::generate("bench".parse().unwrap()).unwrap();
    let text = format!("key {}\nhost *\n", key.public());
    let plain = fs::read(artefacts.image(subject)).unwrap();
    let signed = key.sign_image(&Image::parse(&plain).unwrap(), &Terms::default());
    let signed = signed.unwrap();
    let image = Image::parse(&signed).unwrap();
    let trailer = image.code_signature().unwrap();
    let [mut digest, mut whole, mut new, mut seen] = [const { Vec::new() }; 4];
    for _ in 0..ROUNDS {
        digest.push(time(|| image.verify_digest().unwrap()));
        // One that has seen no signature, as after each change of the file.
        let policy: Policy = text.parse().unwrap();
        whole.push(time(|| drop(policy.verify(&image).unwrap())));
        let policy: Policy = text.parse().unwrap();
        let verify = || policy.verify_signature(image.digest(), trailer, Utc::now());
        new.push(time(|| drop(verify().unwrap())));
        seen.push(time(|| drop(verify().unwrap())));
    }
    let digest = vec![("its digest", digest)];
    // What a small one takes, all of it; of a large one most is the digest.
    let bar = (subject == Subject::Tiny).then_some(MOST);
    vec![
        Row::new(
            format!("{title}: verified at load"),
            whole,
            digest.clone(),
            bar,
        ),
        Row::new(
            format!("{title}: its signature"),
            new,
            digest.clone(),
            Some(MOST),
        ),
        Row::new(
            format!("{title}: its signature, seen before"),
            seen,
            digest,
            None,
        ),
    ]
}

/// In nanoseconds.
fn time(run: impl FnOnce()) -> f64 {
    let start = Instant::now();
    run();
    start.elapsed().as_nanos() as f64
}
