//! `farcall executor`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use farcall::executor::{
    Address, Audit, Isolation, Keep, Listen, LogFormat, Options, TlsServer, Trust, Watch,
    run_template, run_watched,
};
use farcall::trust::PolicyFile;

use crate::tls::TlsFiles;

/// What `farcall executor` was asked.
#[derive(Debug, Args)]
#[group(required = true, multiple = false, args = ["listen", "stdio"])]
#[command(
    after_help = "A Unix socket is for processes of this user; TCP is neither authenticated nor encrypted. TLS is for controllers\n\
    that are trusted. Unsigned images load for controllers of this machine only: whoever can connect can run code then."
)]
pub(crate) struct Executor {
    /// Where controllers connect: unix:PATH, tcp:HOST:PORT or tls:HOST:PORT
    #[arg(long, value_name = "ADDRESS", required_unless_present = "stdio")]
    listen: Option<Address>,
    /// One controller on standard input and output
    #[arg(long, conflicts_with = "listen")]
    stdio: bool,
    #[command(flatten)]
    tls: TlsFiles,
    /// On TCP, how long a controller's machine may give no sign
    #[arg(long, value_name = "SECONDS", default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..))]
    silence: u32,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    whose: Whose,
    #[command(flatten)]
    workers: Workers,
    #[command(flatten)]
    watching: Watching,
}

/// Whose images load.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Whose {
    /// Load only images that a key of this policy has signed
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Load unsigned images too, on a Unix socket, loopback or standard input
    #[arg(long)]
    trust_unsigned: bool,
}

impl Whose {
    fn trust(&self) -> anyhow::Result<Trust> {
        Ok(match &self.policy {
            Some(policy) => Trust::Policy(PolicyFile::open(policy)?),
            None => Trust::Unsigned,
        })
    }
}

/// How calls are kept apart.
#[derive(Debug, Args)]
struct Workers {
    /// What a worker, a process that runs calls, is for: one connection, so that variables keep their values, or one call
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = For::Session)]
    workers: For,
    /// So many are started before they are needed
    #[arg(long, value_name = "N", default_value_t = 2)]
    ready: usize,
    /// End a call that takes longer
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    deadline: Option<u32>,
    /// What a worker may take beyond what it starts with
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..))]
    memory: Option<u32>,
    /// Let shipped code use files, the network and other processes
    #[arg(long)]
    no_sandbox: bool,
    /// Refuse an image after so many crashes; 0 for never
    #[arg(long, value_name = "N", default_value_t = 0)]
    quarantine: u32,
    /// Run calls in this process: faster, but a crash is the end of it all
    #[arg(long, conflicts_with_all = ["workers", "ready", "deadline", "memory", "no_sandbox", "quarantine"])]
    in_process: bool,
}

/// How it is watched.
#[derive(Debug, Args)]
struct Watching {
    /// OpenMetrics over HTTP at unix:PATH or tcp:HOST:PORT, /metrics
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<Address>,
    /// A line for each load: whose image, from whom, and whether it was let in
    #[arg(long, value_name = "FILE")]
    audit: Option<PathBuf>,
    /// What the log is like that -v asks for: text or json [default: text]
    #[arg(long, value_name = "FORMAT", value_parser = parse_format)]
    log_format: Option<LogFormat>,
}

impl Watching {
    fn open(self) -> anyhow::Result<Watch> {
        let audit = match &self.audit {
            None => Audit::default(),
            Some(path) => {
                Audit::to_file(path).with_context(|| format!("--audit {}", path.display()))?
            }
        };
        let metrics = self.metrics;
        Ok(Watch { metrics, audit })
    }
}

/// What a worker is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum For {
    Session,
    Call,
}

impl Workers {
    fn isolation(&self) -> Option<Isolation> {
        // Without a name of its own this program cannot be started again, and says so then.
        let program = std::env::current_exe().unwrap_or_default();
        let isolation = Isolation {
            keep: match self.workers {
                For::Session => Keep::Session,
                For::Call => Keep::Call,
            },
            ready: self.ready,
            deadline: self.deadline.map(|s| Duration::from_secs(s.into())),
            memory: self.memory.map(|mib| u64::from(mib) << 20),
            sandbox: !self.no_sandbox,
            quarantine: self.quarantine,
            ..Isolation::with_template(program, vec![TEMPLATE.into()])
        };
        (!self.in_process).then_some(isolation)
    }
}

/// The command with which an executor starts its template.
pub(crate) const TEMPLATE: &str = "executor-template";

pub(crate) fn template() -> anyhow::Result<()> {
    Ok(run_template()?)
}

/// What an executor takes of its controllers.
#[derive(Debug, Args)]
struct Limits {
    /// Serve so many connections at a time and refuse others [default: 512]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_connections: Option<u32>,
    /// Close a connection on which nobody has said by then who it is [default: 10]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    greeting_time: Option<u32>,
    /// Close a connection whose controller has read none of its answers for so long [default: 300]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    unread_time: Option<u32>,
    /// When it is told to stop, wait so long for what was asked before [default: 30]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    stop_time: Option<u32>,
}

impl Limits {
    fn options(&self) -> Options {
        let mut options = Options::default();
        let seconds = |number: u32| Duration::from_secs(number.into());
        if let Some(most) = self.max_connections {
            options.connection_limit = usize::try_from(most).unwrap_or(usize::MAX);
        }
        if let Some(time) = self.greeting_time {
            options.timeouts.greeting = seconds(time);
        }
        if let Some(time) = self.unread_time {
            options.unread_time = seconds(time);
        }
        if let Some(time) = self.stop_time {
            options.stop_time = seconds(time);
        }
        options
    }
}

fn parse_format(text: &str) -> Result<LogFormat, &'static str> {
    text.parse()
}

impl Executor {
    /// What its log is like.
    pub(crate) fn log_format(&self) -> LogFormat {
        self.watching.log_format.unwrap_or_default()
    }

    pub(crate) fn execute(self) -> anyhow::Result<()> {
        let credentials = self.tls.credentials(self.listen.as_ref())?;
        let listen = match (self.listen, credentials) {
            (None, _) => Listen::Stdio,
            (Some(address), None) => Listen::At(address),
            (Some(address), Some(credentials)) => {
                Listen::Tls(address, TlsServer::new(&credentials)?)
            }
        };
        let mut options = self.limits.options();
        options.timeouts.silence = Duration::from_secs(self.silence.into());
        let (trust, isolation) = (self.whose.trust()?, self.workers.isolation());
        let watch = self.watching.open()?;
        Ok(run_watched(&listen, options, isolation, trust, watch)?)
    }
}
