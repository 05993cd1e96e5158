//! Metrics over HTTP: what is written, for whom, and what those cannot do who ask for something else.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use common::{Process, command, ended, image, start_with};
use farcall_executor::{Address, Argument, Executor};
use farcall_image::{Digest, Image};
use farcall_testkit::require_tools;
use tempfile::TempDir;

const SCRAPE: &[u8] =
    b"GET /metrics HTTP/1.1\r\nHost: executor\r\nAccept: application/openmetrics-text\r\n\r\n";

const CODE: &str = "
    int quick(int n) { return n + 1; }
    int crash(void) { return *(volatile int *)0; }
";

/// An executor with metrics, and where they are.
struct Watched {
    process: Process,
    metrics: Address,
    _folder: TempDir,
}

impl Watched {
    fn start(metrics: &str, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| format!("unix:{}", folder.path().join(name).display());
        let metrics = match metrics {
            "unix" => at("metrics"),
            other => other.to_owned(),
        };
        let mut process = start_with(&at("s"), &[&["--metrics", &metrics], options].concat());
        let mut line = String::new();
        process.stdout.read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on ").unwrap();
        let address = address.strip_suffix(" for metrics").unwrap();
        Self {
            metrics: address.parse().unwrap(),
            process,
            _folder: folder,
        }
    }

    fn visit(&self) -> Box<dyn Visit> {
        match &self.metrics {
            Address::Unix(path) => Box::new(UnixStream::connect(path).unwrap()),
            Address::Tcp { host, port } => {
                Box::new(TcpStream::connect((host.as_str(), *port)).unwrap())
            }
            other => panic!("{other}"),
        }
    }

    /// What is answered to these bytes.
    fn ask(&self, bytes: &[u8]) -> String {
        let mut visit = self.visit();
        visit.write_all(bytes).unwrap();
        let mut answer = String::new();
        visit.read_to_string(&mut answer).unwrap();
        answer
    }

    fn scrape(&self) -> Families {
        let answer = self.ask(SCRAPE);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let mut lines = head.split("\r\n");
        assert_eq!(lines.next(), Some("HTTP/1.1 200 OK"));
        let headers: BTreeMap<&str, &str> = lines.map(|it| it.split_once(": ").unwrap()).collect();
        assert_eq!(
            headers["Content-Type"],
            "application/openmetrics-text; version=1.0.0; charset=utf-8"
        );
        assert_eq!(headers["Content-Length"], body.len().to_string());
        Families::parse(body)
    }
}

trait Visit: Read + Write + Send {}
impl<T: Read + Write + Send> Visit for T {}

/// Samples by their names with labels, and the types of families.
#[derive(Debug)]
struct Families {
    samples: BTreeMap<String, f64>,
    types: BTreeMap<String, String>,
}

impl Families {
    /// Reads OpenMetrics 1.0.0 text, and fails on what that does not allow.
    fn parse(text: &str) -> Self {
        let text = text.strip_suffix("# EOF\n").expect("its end");
        let mut types = BTreeMap::new();
        let mut samples = BTreeMap::new();
        let mut family: Option<(String, String)> = None;
        let mut described = BTreeSet::new();
        for line in text.lines() {
            if let Some(description) = line.strip_prefix("# ") {
                let [what, name, value] = description.splitn(3, ' ').collect::<Vec<_>>()[..] else {
                    panic!("{line}");
                };
                assert!(described.insert((what, name)), "twice: {line}");
                match what {
                    "TYPE" => {
                        family = Some((name.to_owned(), value.to_owned()));
                        types.insert(name.to_owned(), value.to_owned());
                    }
                    "UNIT" => assert!(name.ends_with(&format!("_{value}")), "{line}"),
                    "HELP" => assert!(!value.is_empty() && !value.contains(['\\', '"']), "{line}"),
                    _ => panic!("{line}"),
                }
                // All that is said of a family stands together.
                assert_eq!(family.as_ref().map(|it| &*it.0), Some(name), "{line}");
                continue;
            }
            let (name, kind) = family.as_ref().unwrap();
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let (sample_name, labels) = sample.split_once('{').unwrap_or((sample, "}"));
            let suffix = sample_name.strip_prefix(name.as_str()).unwrap();
            let suffixes: &[&str] = match kind.as_str() {
                "counter" => &["_total"],
                "gauge" => &[""],
                "info" => &["_info"],
                "histogram" => &["_bucket", "_sum", "_count"],
                _ => panic!("{kind}"),
            };
            assert!(suffixes.contains(&suffix), "{line}");
            let labels = labels.strip_suffix('}').unwrap();
            for label in labels.split(',').filter(|label| !label.is_empty()) {
                let (key, value) = label.split_once("=\"").unwrap();
                let value = value.strip_suffix('"').unwrap();
                assert!(key.bytes().all(|it| it.is_ascii_lowercase()), "{line}");
                assert!(!value.contains(['"', '\\', '\n']), "{line}");
            }
            let value: f64 = value.parse().unwrap();
            assert!(samples.insert(sample.to_owned(), value).is_none(), "{line}");
        }
        let families = Self { samples, types };
        for (name, _) in families
            .types
            .iter()
            .filter(|(_, kind)| *kind == "histogram")
        {
            families.check_histogram(name);
        }
        families
    }

    /// Buckets ascend, and the last one is the count.
    fn check_histogram(&self, name: &str) {
        let start = format!("{name}_bucket{{le=\"");
        let mut buckets: Vec<(f64, f64)> = (self.samples.iter())
            .filter_map(|(sample, n)| {
                let bound = sample.strip_prefix(&start)?.strip_suffix("\"}")?;
                Some((bound.parse().unwrap(), *n))
            })
            .collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert_eq!(buckets.len(), 25);
        assert!(
            (buckets[0].0 - 1e-6).abs() < 1e-12,
            "a microsecond is the first"
        );
        assert!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1));
        let last = buckets.last().unwrap();
        assert!(last.0.is_infinite());
        assert_eq!(last.1, self.of(&format!("{name}_count")), "{name}");
    }

    fn of(&self, sample: &str) -> f64 {
        let found = self.samples.get(sample);
        *found.unwrap_or_else(|| panic!("{sample}: {self:#?}"))
    }
}

fn work(executor: &Executor) -> Digest {
    let bytes = image(CODE);
    let image = Image::parse(&bytes).unwrap();
    let digest = executor.load(&image).unwrap().digest;
    executor.load(&image).unwrap();
    let quick = executor.function(digest, "quick", Some("i32 (i32)"));
    let quick = quick.unwrap();
    for n in 0..50 {
        quick.call(&mut [Argument::Int(n)]).unwrap();
    }
    executor.lookup(digest, "nothing").unwrap_err();
    digest
}

#[test]
fn what_is_counted_is_read_over_a_port() {
    require_tools!("clang-22");
    let watched = Watched::start("tcp:127.0.0.1:0", common::in_process());
    let before = watched.scrape();
    assert_eq!(before.of("farcall_calls_total"), 0.0);
    assert_eq!(before.types["farcall_call_seconds"], "histogram");
    let executor = watched.process.connect();
    work(&executor);
    let now = watched.scrape();
    for (sample, value) in [
        ("farcall_connections_total", 1.0),
        ("farcall_connections_open", 1.0),
        ("farcall_loads_total{outcome=\"loaded\"}", 1.0),
        ("farcall_loads_total{outcome=\"present\"}", 1.0),
        ("farcall_loads_total{outcome=\"failed\"}", 0.0),
        ("farcall_load_seconds_count", 1.0),
        ("farcall_modules", 1.0),
        ("farcall_calls_total", 50.0),
        ("farcall_calls_running", 0.0),
        ("farcall_call_seconds_count", 50.0),
        ("farcall_failures_total", 1.0),
        ("farcall_workers", 0.0),
    ] {
        assert_eq!(now.of(sample), value, "{sample}");
    }
    assert!(now.of("farcall_call_seconds_sum") > 0.0);
    assert!(now.of("farcall_image_bytes") > 1000.0);
    assert!(now.of("farcall_received_bytes_total") > 50.0 * 6.0);
    assert!(now.of("farcall_uptime_seconds") >= before.of("farcall_uptime_seconds"));
    // Without a policy there are no keys.
    assert!(!now.types.contains_key("farcall_policy_keys"));
    let info = "farcall_build_info{version=\"";
    assert!(
        now.samples
            .keys()
            .any(|it| it.starts_with(info) && it.ends_with("workers=\"none\"}"))
    );
}

#[test]
#[cfg(target_arch = "x86_64")]
fn crashes_and_refusals_are_read_over_a_socket() {
    use common::assert_fails;
    use farcall_executor::ErrorKind;
    require_tools!("clang-22");
    let watched = Watched::start("unix", &["--workers", "session", "--quarantine", "1"]);
    let Address::Unix(path) = watched.metrics.clone() else {
        panic!("{}", watched.metrics);
    };
    let executor = watched.process.connect();
    let digest = work(&executor);
    let crash = || executor.call(digest, "crash", Some("i32 ()"), &mut []);
    assert_fails(crash(), ErrorKind::Crashed, "null pointer");
    assert_fails(crash(), ErrorKind::Quarantined, "crashed once");
    let now = watched.scrape();
    assert_eq!(now.of("farcall_crashes_total"), 1.0);
    assert_eq!(now.of("farcall_refusals_total{reason=\"quarantine\"}"), 1.0);
    assert_eq!(now.of("farcall_refusals_total{reason=\"unsigned\"}"), 0.0);
    assert_eq!(now.of("farcall_calls_total"), 51.0);
    assert!(now.of("farcall_workers_started_total") >= 1.0);
    // The socket goes with the executor.
    assert!(path.exists());
    let mut process = watched.process;
    process.signal(rustix::process::Signal::TERM);
    assert!(process.ended().success());
    assert!(!path.exists());
}

#[test]
fn what_is_no_scrape_is_told_so() {
    let watched = Watched::start("unix", &[]);
    let long = format!("GET /metrics HTTP/1.1\r\nA: {}\r\n\r\n", "a".repeat(20_000));
    for (request, status) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "404 "),
        (b"GET /metrics/x HTTP/1.1\r\n\r\n", "404 "),
        (
            b"POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
            "405 ",
        ),
        (b"GET /metrics HTTP/3.0\r\n\r\n", "505 "),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400 "),
        (b"farcall\0\x04\0\0\0", "400 "),
        (long.as_bytes(), "431 "),
    ] {
        let mut visit = watched.visit();
        // It may be told before it has said all.
        let _ = visit.write_all(request);
        let mut answer = Vec::new();
        let _ = visit.read_to_end(&mut answer);
        let answer = String::from_utf8(answer).unwrap();
        let expected = format!("HTTP/1.1 {status}");
        assert!(answer.starts_with(&expected), "{status}: {answer:?}");
    }
    let head = watched.ask(b"HEAD /metrics HTTP/1.1\r\n\r\n");
    assert!(
        head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    watched.scrape();
}

#[test]
fn who_is_slow_keeps_nobody_from_anything() {
    require_tools!("clang-22");
    let watched = Watched::start("tcp:127.0.0.1:0", &[]);
    let executor = watched.process.connect();
    // Some say nothing, some a part, some do not read: more than are served at a time.
    let mut slow: Vec<_> = (0..40).map(|_| watched.visit()).collect();
    for visit in &mut slow[10..30] {
        visit.write_all(b"GET /metr").unwrap();
    }
    for visit in &mut slow[30..] {
        visit.write_all(SCRAPE).unwrap();
    }
    work(&executor);
    // Who comes then waits until the time of those is over, which is limited however many they are.
    assert_eq!(watched.scrape().of("farcall_calls_total"), 50.0);
    drop(slow);
    watched.scrape();
}

#[test]
fn many_scrape_while_calls_run() {
    require_tools!("clang-22");
    let watched = Watched::start("unix", &[]);
    let executor = watched.process.connect();
    let digest = work(&executor);
    thread::scope(|scope| {
        let scrapers: Vec<_> = (0..100)
            .map(|_| scope.spawn(|| watched.scrape().of("farcall_calls_total")))
            .collect();
        let quick = executor.function(digest, "quick", Some("i32 (i32)"));
        let quick = quick.unwrap();
        for n in 0..1000 {
            quick.call(&mut [Argument::Int(n)]).unwrap();
        }
        for scraper in scrapers {
            let calls = scraper.join().unwrap();
            assert!((50.0..=1050.0).contains(&calls), "{calls}");
        }
    });
    assert_eq!(watched.scrape().of("farcall_calls_total"), 1050.0);
    // Whoever has gone holds no descriptor any more.
    let start = Instant::now();
    let descriptors = format!("/proc/{}/fd", watched.process.child.id());
    while std::fs::read_dir(&descriptors).unwrap().count() > 40 {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "descriptors are left"
        );
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn where_metrics_cannot_be_it_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let listen = format!("unix:{}", folder.path().join("s").display());
    for (metrics, why) in [
        ("tls:127.0.0.1:0", "tls:127.0.0.1:0"),
        ("unix:/nowhere/at/all", "/nowhere/at/all"),
        ("http://x", "--metrics"),
    ] {
        let mut child = command(&listen)
            .args(["--metrics", metrics])
            .spawn()
            .unwrap();
        assert!(!ended(&mut child).success());
        let mut said = String::new();
        let mut stderr = child.stderr.take().unwrap();
        stderr.read_to_string(&mut said).unwrap();
        assert!(said.contains(why), "{said}");
    }
}
