//! The terminal: its other screen, and back to the shell's whatever happens.

use std::io;
use std::mem::ManuallyDrop;

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{Clear, ClearType, EnterAlternateScreen, enable_raw_mode};
use ratatui::{DefaultTerminal, Terminal};

/// A terminal that is drawn on. It is given back when this is dropped, and before a panic is reported.
pub(crate) struct Screen {
    /// Dropping it would print that its cursor cannot be shown, which panics when the terminal is gone.
    pub(crate) terminal: ManuallyDrop<DefaultTerminal>,
}

impl Screen {
    pub(crate) fn take() -> io::Result<Self> {
        // This also has panics give it back.
        let terminal = ratatui::try_init()?;
        Ok(Self {
            terminal: ManuallyDrop::new(terminal),
        })
    }

    /// Gives the terminal back to whoever had it before.
    pub(crate) fn leave(&mut self) -> io::Result<()> {
        ratatui::try_restore()?;
        self.terminal.show_cursor()
    }

    /// Takes the terminal again. Others may have changed all of it.
    pub(crate) fn take_again(&mut self) -> io::Result<()> {
        // The mode is set only if it counts as left, and what a shell has set meanwhile is not known here.
        self.leave()?;
        enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen, Clear(ClearType::All))?;
        // A new one knows nothing of what was drawn. Clearing the old one asks the terminal where its cursor is, and the answer would
        // come among the keys.
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        self.terminal = ManuallyDrop::new(terminal);
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nothing is left to be done when the terminal is gone.
        let _ = self.leave();
    }
}
