//! `farcall top`: what executors do, as it goes on.

mod app;
mod ask;
mod details;
mod draw;
mod executors;
mod keys;
mod live;
mod model;
mod modules;
mod once;
mod screen;
mod table;
#[cfg(test)]
mod tests;
mod text;

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use clap::Args;
use farcall::executor::Address;

use crate::tls::TlsFiles;
use ask::Target;
pub(crate) use text::escaped;

/// What the columns mean, where their titles do not say it.
const COLUMNS: &str = "\
Of an executor: RUN calls that run now; P50≤ and P99≤ what half of the calls, and all but a hundredth, that ended in the last
interval have not taken longer than, as a power of two; CRASH workers that crashed since it started, LATE those that
were ended because something took longer than --deadline; REFUSE what it has refused since then,
by its policy, for crashes or for too many connections; WORK its workers; LOAD/S images loaded in a second.

Keys: q quits, arrows choose a row and the column to sort by, r reverses, tab goes to the other table, / filters modules,
p forgets the crashes of an image. Without colours if NO_COLOR is set.";

/// What `farcall top` was asked.
#[derive(Debug, Args)]
#[command(after_help = COLUMNS)]
pub(crate) struct Top {
    /// The executors: unix:PATH, tcp:HOST:PORT or tls:HOST:PORT
    #[arg(value_name = "ADDRESS", required = true)]
    addresses: Vec<Address>,
    /// How often they are asked
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = interval)]
    interval: Duration,
    /// Print two tables after one interval, and end; as when standard output is no terminal
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    tls: TlsFiles,
    /// The name that the executors' certificates have to have, if not the host's
    #[arg(long, value_name = "NAME")]
    tls_name: Option<String>,
}

impl Top {
    pub(crate) fn execute(self) -> anyhow::Result<()> {
        let targets = self.targets()?;
        let is_screen = io::stdout().is_terminal()
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        if self.once || !is_screen {
            once::print(targets, self.interval)
        } else {
            let is_coloured = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            live::run(targets, self.interval, is_coloured)
        }
    }

    /// The executors, and how each is reached.
    fn targets(&self) -> anyhow::Result<Vec<Target>> {
        let is_tls = |address: &&Address| matches!(address, Address::Tls { .. });
        let of_tls = self.addresses.iter().find(is_tls);
        // Without an address for TLS there is nothing that its options are for.
        let tls = self
            .tls
            .client(of_tls.or(self.addresses.first()), self.tls_name.as_deref())?;
        let target = |address: &Address| Target {
            address: address.clone(),
            tls: tls.clone().filter(|_| is_tls(&address)),
        };
        Ok(self.addresses.iter().map(target).collect())
    }
}

fn interval(text: &str) -> Result<Duration, &'static str> {
    const WRONG: &str = "not a number of seconds from 0.1 to 3600";
    let seconds: f64 = text.parse().map_err(|_| WRONG)?;
    match (0.1..=3600.0).contains(&seconds) {
        true => Ok(Duration::from_secs_f64(seconds)),
        false => Err(WRONG),
    }
}
