//! The bars: what farcall may take, most of them as a ratio to what others took in the same run.

use crate::figure::{Figures, Measurement, number};
use crate::way::Way;

/// What one figure of farcall's may be.
#[derive(Debug, Clone)]
pub(crate) struct Bar {
    /// Whose figure of the measurement it is about.
    pub(crate) way: Way,
    most: Most,
}

/// The largest value that holds.
#[derive(Debug, Clone)]
enum Most {
    /// A value in the measurement's unit.
    Value(f64),
    /// So many times the value of something else; none where that has no figure.
    Times(f64, Option<f64>, &'static str),
    /// Any value, as long as there is one.
    Any,
}

/// What the allocator and the kernel's count of pages may differ by when all is given back.
const NOISE_KIB: f64 = 64.0;
/// The contenders that take bytes, without us.
const FROM_BYTES: [Way; 3] = [Way::Memfd, Way::JitLink, Way::ElfLoader];

/// The bars of a measurement.
pub(crate) fn bars(figures: &Figures, measurement: Measurement) -> Vec<Bar> {
    use Measurement as M;
    let of = |measurement, way| figures.median(measurement, way);
    let best = || {
        let peers = FROM_BYTES.map(|way| of(measurement, way));
        peers.into_iter().flatten().reduce(f64::min)
    };
    let (dlopen, peer) = ("`dlopen` of a file", "the best other from bytes");
    let bar = |most| {
        let way = Way::Farcall;
        Bar { way, most }
    };
    let bar_of_file = |most| {
        let way = Way::FarcallFile;
        Bar { way, most }
    };
    match measurement {
        M::TinyBytes => vec![
            bar(Most::Times(0.1, of(M::TinyFile, Way::Dlopen), dlopen)),
            bar(Most::Times(
                1.0 / 12.0,
                of(measurement, Way::JitLink),
                "JITLink",
            )),
        ],
        M::SqliteFile => {
            vec![bar_of_file(Most::Times(
                0.65,
                of(measurement, Way::Dlopen),
                dlopen,
            ))]
        }
        M::SqliteBytes => vec![bar(Most::Times(0.4, best(), peer))],
        M::SqliteBytesFirst => vec![bar(Most::Times(1.0, best(), peer))],
        M::TinyUnload | M::SqliteUnload => {
            vec![bar(Most::Times(
                0.1,
                of(measurement, Way::Dlopen),
                "`dlclose`",
            ))]
        }
        M::TinyLookup | M::SqliteLookup => vec![bar(Most::Value(50.0))],
        M::LiveRss => vec![bar(Most::Value(1.0))],
        M::LiveMappings => vec![bar(Most::Value(0.01))],
        M::LeftRss => vec![bar(Most::Value(NOISE_KIB))],
        M::LeftMappings => vec![bar(Most::Value(0.0))],
        M::SharedPss => {
            vec![bar_of_file(Most::Times(
                1.0,
                of(measurement, Way::Dlopen),
                dlopen,
            ))]
        }
        M::ThrowWithMany => {
            vec![bar(Most::Times(
                2.0,
                of(M::ThrowWithOne, Way::Farcall),
                "that with 1",
            ))]
        }
        M::LoadAt100000 => {
            vec![bar(Most::Times(
                1.5,
                of(M::LoadAt10, Way::Farcall),
                "that at 10",
            ))]
        }
        M::MillionLoad => vec![bar(Most::Any)],
        _ => Vec::new(),
    }
}

impl Bar {
    /// The largest value that holds, where it is known.
    pub(crate) fn limit(&self) -> Option<f64> {
        match self.most {
            Most::Value(most) => Some(most),
            Most::Times(factor, of, _) => of.map(|of| factor * of),
            Most::Any => None,
        }
    }

    /// What is, what may be, and whether that holds: `0.08 × JITLink, at most 0.083: holds`. What could not be measured does
    /// not.
    pub(crate) fn verdict(&self, figures: &Figures, measurement: Measurement) -> String {
        let ours = figures.median(measurement, self.way);
        let holds = match self.most {
            Most::Any => ours.is_some(),
            _ => matches!((ours, self.limit()), (Some(ours), Some(limit)) if ours <= limit),
        };
        let holds = if holds { "holds" } else { "**missed**" };
        match (&self.most, ours) {
            (Most::Value(most), _) => {
                format!("at most {}: {holds}", measurement.unit().show(*most))
            }
            (Most::Times(factor, Some(of), whose), Some(ours)) => {
                let (ratio, factor) = (number(ours / of), number(*factor));
                format!("{ratio} × {whose}, at most {factor}: {holds}")
            }
            (Most::Times(factor, _, whose), _) => {
                format!("at most {} × {whose}: {holds}", number(*factor))
            }
            (Most::Any, _) => format!("works: {holds}"),
        }
    }
}
