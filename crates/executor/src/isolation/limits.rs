//! What a worker may take of the machine.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

/// How a worker is kept within bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Limits {
    /// The most memory beyond what it starts with, in bytes.
    pub(crate) memory: Option<u64>,
    /// Whether it is kept from files, the network and other processes.
    pub(crate) sandbox: bool,
}

/// What else may be mapped than memory for data, in bytes: files, and reserved addresses.
const OTHER_MAPPINGS: u64 = 1 << 30;

impl Limits {
    /// Holds for this process from now on.
    pub(super) fn impose(self) -> io::Result<()> {
        // A crash is told in another way, and quicker.
        lower(Resource::Core, 0)?;
        if let Some(memory) = self.memory {
            let (size, data) = taken()?;
            lower(Resource::Data, data.saturating_add(memory))?;
            let all = size.saturating_add(memory).saturating_add(OTHER_MAPPINGS);
            lower(Resource::As, all)?;
        }
        Ok(())
    }
}

fn lower(resource: Resource, most: u64) -> io::Result<()> {
    let now = getrlimit(resource);
    let most = now.maximum.map_or(most, |maximum| maximum.min(most));
    let limit = Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    Ok(setrlimit(resource, limit)?)
}

/// All addresses and the data of this process, in bytes, as its limits count them (proc(5), `/proc/pid/statm`).
fn taken() -> io::Result<(u64, u64)> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let mut pages = statm.split_whitespace().map(str::parse::<u64>);
    let size = pages.next().and_then(Result::ok);
    let data = pages.nth(4).and_then(Result::ok);
    let (Some(size), Some(data)) = (size, data) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
    Ok((size.saturating_mul(page), data.saturating_mul(page)))
}
