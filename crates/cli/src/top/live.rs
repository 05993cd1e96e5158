//! The view on a terminal: what comes from executors, keys and signals, one after the other.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use ratatui::crossterm::event::{self, Event as Input, KeyEvent, KeyEventKind};
use rustix::process::{Signal, kill_current_process_group};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGTSTP};
use signal_hook::flag;
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use super::app::App;
use super::ask::{self, Command, Report, Target};
use super::keys::Action;
use super::screen::Screen;

/// How long what executors say waits to be drawn with what the others say.
const TOGETHER: Duration = Duration::from_millis(100);

/// What the view waits for.
enum Event {
    Report(Report),
    Key(KeyEvent),
    /// The terminal has another size.
    Resized,
    Signal(i32),
    /// There are no keys any more.
    NoInput(io::Error),
}

impl From<Report> for Event {
    fn from(report: Report) -> Self {
        Self::Report(report)
    }
}

/// Shows the executors until somebody wants no more.
pub(crate) fn run(
    targets: Vec<Target>,
    interval: Duration,
    is_coloured: bool,
) -> anyhow::Result<()> {
    let (sender, events) = channel();
    // Before the terminal is taken, as a signal would leave it so.
    let signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGCONT])
        .context("cannot wait for signals")?;
    end_at_second().context("cannot wait for signals")?;
    let addresses: Vec<String> = targets
        .iter()
        .map(|target| target.address.to_string())
        .collect();
    let app = App::new(
        addresses.iter().map(String::as_str),
        interval,
        is_coloured,
        Instant::now(),
    );
    let mut view = View {
        app,
        screen: Screen::take().context("the terminal cannot be used")?,
        commands: Vec::new(),
        listing: None,
    };
    for (number, target) in targets.into_iter().enumerate() {
        let commands = ask::start(number, target, interval, sender.clone());
        view.commands
            .push(commands.context("cannot start a thread")?);
    }
    pass_on(signals, sender).context("cannot start a thread")?;
    let last = view.serve(&events);
    drop(view);
    match last? {
        Some(signal) => Ok(emulate_default_handler(signal)?),
        None => Ok(()),
    }
}

/// Has a second signal that ends it do so at once, because a terminal that takes nothing may keep this from noticing the first.
fn end_at_second() -> io::Result<()> {
    let is_second = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // In this order: the first signal finds the flag not set, and sets it.
        flag::register_conditional_shutdown(signal, 1, is_second.clone())?;
        flag::register(signal, is_second.clone())?;
    }
    Ok(())
}

/// Has keys and signals passed on, on threads that end with the process.
fn pass_on(mut signals: Signals, sender: Sender<Event>) -> io::Result<()> {
    let keys = sender.clone();
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            let mut passed = signals
                .forever()
                .map(|signal| sender.send(Event::Signal(signal)));
            passed.all(|sent| sent.is_ok())
        })?;
    thread::Builder::new()
        .name("keys".to_owned())
        .spawn(move || {
            loop {
                let event = match event::read() {
                    Ok(Input::Key(key)) if key.kind != KeyEventKind::Release => Event::Key(key),
                    Ok(Input::Resize(..)) => Event::Resized,
                    Ok(_) => continue,
                    Err(error) => Event::NoInput(error),
                };
                let is_last = matches!(event, Event::NoInput(_));
                if keys.send(event).is_err() || is_last {
                    return;
                }
            }
        })?;
    Ok(())
}

/// The view, its terminal and the threads that ask.
struct View {
    app: App,
    screen: Screen,
    commands: Vec<Sender<Command>>,
    /// The executor whose modules are listed.
    listing: Option<usize>,
}

impl View {
    /// Returns when somebody wants no more, with the signal that said so.
    fn serve(&mut self, events: &Receiver<Event>) -> anyhow::Result<Option<i32>> {
        // Ages are shown in seconds.
        const TICK: Duration = Duration::from_secs(1);
        let mut next_draw = Instant::now();
        loop {
            let now = Instant::now();
            if now >= next_draw {
                self.list_chosen();
                let app = &mut self.app;
                self.screen.terminal.draw(|frame| app.draw(frame, now))?;
                next_draw = now + TICK;
            }
            let event =
                match events.recv_timeout(next_draw.saturating_duration_since(Instant::now())) {
                    Ok(event) => event,
                    Err(RecvTimeoutError::Timeout) => continue,
                    Err(RecvTimeoutError::Disconnected) => return Ok(None),
                };
            match event {
                Event::Report(report) => {
                    self.app.take(report);
                    next_draw = next_draw.min(Instant::now() + TOGETHER);
                    continue;
                }
                Event::Key(key) => match self.app.key(key, now) {
                    Some(Action::Quit) => return Ok(None),
                    // All of a pipeline stops, this with it, as if the terminal had seen the key.
                    Some(Action::Suspend) => kill_current_process_group(Signal::TSTP)?,
                    Some(Action::Pardon { executor, digest }) => {
                        self.tell(executor, Command::Pardon(digest));
                    }
                    None => {}
                },
                Event::Resized => {}
                Event::Signal(SIGTSTP) => {
                    self.screen.leave()?;
                    emulate_default_handler(SIGTSTP)?;
                }
                Event::Signal(SIGCONT) => self.screen.take_again()?,
                Event::Signal(signal) => return Ok(Some(signal)),
                Event::NoInput(error) => return Err(error).context("the terminal is gone"),
            }
            next_draw = Instant::now();
        }
    }

    /// Has the modules of the chosen executor listed, and no others.
    fn list_chosen(&mut self) {
        let chosen = Some(self.app.chosen());
        if self.listing != chosen {
            for (executor, is_wanted) in [(self.listing, false), (chosen, true)] {
                if let Some(executor) = executor {
                    self.tell(executor, Command::List(is_wanted));
                }
            }
            self.listing = chosen;
        }
    }

    fn tell(&self, executor: usize, command: Command) {
        // A thread that asks goes on as long as its reports are taken.
        if let Some(commands) = self.commands.get(executor) {
            let _ = commands.send(command);
        }
    }
}
