//! `farcall executor`.

use clap::Args;
use farcall::executor::{Address, Listen, Options, run};

/// What `farcall executor` was asked.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
#[command(
    after_help = "Whoever can connect can run code. A Unix socket is for processes of this user;\n\
    TCP is neither authenticated nor encrypted."
)]
pub(crate) struct Executor {
    /// Where controllers connect: unix:PATH or tcp:HOST:PORT
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<Address>,
    /// One controller on standard input and output
    #[arg(long)]
    stdio: bool,
}

impl Executor {
    pub(crate) fn execute(self) -> anyhow::Result<()> {
        let listen = self.listen.map_or(Listen::Stdio, Listen::At);
        Ok(run(&listen, Options::default())?)
    }
}
