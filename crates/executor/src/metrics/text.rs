//! What an executor counts as OpenMetrics 1.0.0 text.

use std::fmt::{Display, Write as _};
use std::time::Duration;

use farcall_image::Machine;
use farcall_protocol::Latency;

use crate::Service;
use crate::isolation::Keep;
use crate::memory::number;

/// What a metric family is.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
    Info,
}

/// All that is known of an executor. Nothing of it grows with what is loaded.
pub(super) fn write(service: &Service) -> String {
    let shared = &service.0;
    let it = shared.statistics();
    let admission = &shared.modules.admission;
    let mut text = Text(String::with_capacity(8 << 10));
    let machine = Machine::host().map_or("", Machine::name);
    let workers = match shared.supervisor.as_ref().map(|it| it.keep()) {
        None => "none",
        Some(Keep::Session) => "session",
        Some(Keep::Call) => "call",
    };
    text.family(
        "farcall_build",
        Kind::Info,
        "",
        "The program, its machine, and whose worker a call runs in.",
    );
    let version = env!("CARGO_PKG_VERSION");
    let _ = writeln!(
        text.0,
        "farcall_build_info{{version=\"{version}\",machine=\"{machine}\",workers=\"{workers}\"}} 1"
    );
    text.family(
        "farcall_uptime_seconds",
        Kind::Gauge,
        "seconds",
        "How long the executor has run.",
    );
    text.sample(
        "farcall_uptime_seconds",
        &Seconds(Duration::from_millis(it.uptime)),
    );

    text.counter(
        "connections",
        "Connections that were greeted.",
        it.connections,
    );
    text.gauge(
        "connections_open",
        "Connections of controllers that are open.",
        it.connected,
    );
    text.counter(
        "connections_not_served",
        "Connections that were one too many, or on which nobody said in time who is there.",
        it.not_served,
    );
    for (name, n_bytes, help) in [
        (
            "received",
            it.received,
            "Bytes received from controllers, without those of files.",
        ),
        ("sent", it.sent, "Bytes sent to controllers."),
        (
            "passed",
            it.passed,
            "Bytes of images that came in files or through memory, and so in no frame.",
        ),
    ] {
        let name = format!("farcall_{name}_bytes");
        text.family(&name, Kind::Counter, "bytes", help);
        text.sample(&format!("{name}_total"), &n_bytes);
    }

    text.family(
        "farcall_loads",
        Kind::Counter,
        "",
        "Loads that were asked for, by what became of them.",
    );
    for (outcome, n) in [
        ("loaded", it.loads),
        ("present", it.hits),
        ("failed", it.failed_loads),
    ] {
        text.labelled("farcall_loads_total", "outcome", outcome, n);
    }
    text.histogram(
        "load",
        "How long loads took that have loaded something.",
        &it.loading,
    );
    text.gauge("modules", "Modules that are loaded.", it.modules);
    text.family(
        "farcall_image_bytes",
        Kind::Gauge,
        "bytes",
        "The images of the modules that are loaded.",
    );
    text.sample("farcall_image_bytes", &it.image_bytes);

    text.counter("calls", "Calls that have begun.", it.calls);
    text.gauge("calls_running", "Calls that are running.", it.running);
    text.histogram(
        "call",
        "How long calls took, from when they were read until they could be answered.",
        &it.calling,
    );
    text.counter("failures", "Requests that failed.", it.failures);
    text.counter(
        "crashes",
        "Workers that shipped code has ended.",
        it.crashes,
    );
    text.counter(
        "workers_late",
        "Workers that were ended because something took too long.",
        it.late,
    );

    text.family(
        "farcall_refusals",
        Kind::Counter,
        "",
        "Requests that were refused, by reason.",
    );
    let mut of_loads = 0;
    for (reason, n) in admission
        .audit
        .refused()
        .filter(|(reason, _)| *reason != QUARANTINE)
    {
        of_loads += n;
        text.labelled("farcall_refusals_total", "reason", reason, n);
    }
    text.labelled(
        "farcall_refusals_total",
        "reason",
        QUARANTINE,
        it.quarantined,
    );
    // What is no load: calls of what a policy lets in no more, and what it lets nobody ask for.
    let others = it.refused.saturating_sub(of_loads);
    text.labelled("farcall_refusals_total", "reason", "request", others);
    if let Some(n_keys) = admission.n_keys() {
        text.gauge(
            "policy_keys",
            "Keys that the policy trusts.",
            number(n_keys),
        );
    }

    text.gauge("workers", "Workers that there are.", it.workers);
    text.counter(
        "workers_started",
        "Workers that were started.",
        it.workers_started,
    );
    text.0.push_str("# EOF\n");
    text.0
}

/// Loads of what has crashed too often, and calls of it.
const QUARANTINE: &str = "quarantine";

struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: Kind, unit: &str, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Info => "info",
        };
        let _ = writeln!(self.0, "# TYPE {name} {kind}");
        if !unit.is_empty() {
            let _ = writeln!(self.0, "# UNIT {name} {unit}");
        }
        let _ = writeln!(self.0, "# HELP {name} {help}");
    }

    fn sample(&mut self, name: &str, value: &dyn Display) {
        let _ = writeln!(self.0, "{name} {value}");
    }

    /// What is the label's value needs no escapes.
    fn labelled(&mut self, name: &str, label: &str, value: &str, n: u64) {
        let _ = writeln!(self.0, "{name}{{{label}=\"{value}\"}} {n}");
    }

    fn counter(&mut self, name: &str, help: &str, n: u64) {
        let name = format!("farcall_{name}");
        self.family(&name, Kind::Counter, "", help);
        self.sample(&format!("{name}_total"), &n);
    }

    fn gauge(&mut self, name: &str, help: &str, n: u64) {
        let name = format!("farcall_{name}");
        self.family(&name, Kind::Gauge, "", help);
        self.sample(&name, &n);
    }

    fn histogram(&mut self, name: &str, help: &str, latency: &Latency) {
        let name = format!("farcall_{name}_seconds");
        self.family(&name, Kind::Histogram, "seconds", help);
        let bucket = format!("{name}_bucket");
        let mut so_far = 0;
        for (nth, n) in latency.buckets.iter().enumerate() {
            so_far += n;
            let bound = Latency::bound(nth).map(|bound| Seconds(bound).to_string());
            let bound = bound.as_deref().unwrap_or("+Inf");
            self.labelled(&bucket, "le", bound, so_far);
        }
        self.sample(
            &format!("{name}_sum"),
            &Seconds(Duration::from_nanos(latency.sum)),
        );
        self.sample(&format!("{name}_count"), &so_far);
    }
}

/// A time as a number of seconds, exactly.
struct Seconds(Duration);

impl Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let nanos = format!("{:09}", self.0.subsec_nanos());
        let nanos = match nanos.trim_end_matches('0') {
            "" => "0",
            nanos => nanos,
        };
        // As programs write this that know no other way, and compare what they are told by its text.
        match (self.0.as_secs(), nanos) {
            (0, "000001") => f.write_str("1e-06"),
            (seconds, nanos) => write!(f, "{seconds}.{nanos}"),
        }
    }
}
