//! What keys do.

use std::time::Instant;

use farcall::Digest;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::app::{App, Focus, Mode};
use super::{executors, modules};

/// What is to be done that the state of the view is not all of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Quit,
    /// Give the terminal back to the shell until it continues this.
    Suspend,
    /// Have an executor forget how often an image has crashed.
    Pardon {
        executor: usize,
        digest: Digest,
    },
}

impl App {
    /// Does what a key is for.
    pub(crate) fn key(&mut self, key: KeyEvent, now: Instant) -> Option<Action> {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Some(Action::Quit),
                KeyCode::Char('z') => Some(Action::Suspend),
                _ => None,
            };
        }
        match &self.mode {
            Mode::Browse => return self.browse(key.code, now),
            Mode::Filter => self.type_filter(key.code),
            &Mode::Confirm {
                executor, digest, ..
            } => {
                self.mode = Mode::Browse;
                if key.code == KeyCode::Char('y') {
                    return Some(Action::Pardon { executor, digest });
                }
            }
        }
        None
    }

    fn type_filter(&mut self, key: KeyCode) {
        match key {
            KeyCode::Enter => self.mode = Mode::Browse,
            KeyCode::Esc => {
                self.filter.clear();
                self.mode = Mode::Browse;
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(c) => self.filter.push(c),
            _ => {}
        }
    }

    fn browse(&mut self, key: KeyCode, now: Instant) -> Option<Action> {
        const FAR: isize = isize::MAX;
        match key {
            KeyCode::Char('q') => return Some(Action::Quit),
            KeyCode::Tab | KeyCode::BackTab => {
                self.focus = match self.focus {
                    Focus::Executors => Focus::Modules,
                    Focus::Modules => Focus::Executors,
                }
            }
            KeyCode::Up | KeyCode::Char('k') => self.step(-1, now),
            KeyCode::Down | KeyCode::Char('j') => self.step(1, now),
            KeyCode::PageUp => self.step(-self.page(), now),
            KeyCode::PageDown => self.step(self.page(), now),
            KeyCode::Home => self.step(-FAR, now),
            KeyCode::End => self.step(FAR, now),
            KeyCode::Left | KeyCode::Char('<') => self.turn(false),
            KeyCode::Right | KeyCode::Char('>') => self.turn(true),
            KeyCode::Char('r') => {
                let sort = match self.focus {
                    Focus::Executors => &mut self.executors.sort,
                    Focus::Modules => &mut self.modules.sort,
                };
                sort.is_reversed = !sort.is_reversed;
            }
            KeyCode::Char('/') => {
                self.focus = Focus::Modules;
                self.mode = Mode::Filter;
            }
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Char('p') => self.ask_to_pardon(now),
            _ => {}
        }
        None
    }

    fn page(&self) -> isize {
        let height = match self.focus {
            Focus::Executors => self.executors.height,
            Focus::Modules => self.modules.height,
        };
        isize::try_from(height).unwrap_or(isize::MAX)
    }

    fn step(&mut self, by: isize, now: Instant) {
        match self.focus {
            Focus::Executors => {
                let rows = self.executor_rows(now);
                let ids: Vec<usize> = rows.iter().map(|row| row.executor).collect();
                self.executors.step(&ids, by);
            }
            Focus::Modules => {
                let ids: Vec<Digest> = (self.module_rows().iter())
                    .map(|row| row.info.digest)
                    .collect();
                self.modules.step(&ids, by);
            }
        }
    }

    fn turn(&mut self, is_forward: bool) {
        match self.focus {
            Focus::Executors => (self.executors.sort).turn(executors::COLUMNS.len(), is_forward),
            Focus::Modules => (self.modules.sort).turn(modules::COLUMNS.len(), is_forward),
        }
    }

    fn ask_to_pardon(&mut self, now: Instant) {
        let rows = self.module_rows();
        let ids: Vec<Digest> = rows.iter().map(|row| row.info.digest).collect();
        let chosen = rows.get(self.modules.place(&ids));
        // There is something to forget.
        let chosen = chosen
            .filter(|row| row.info.is_quarantined || row.info.crashes > 0 || row.info.late > 0);
        let Some(chosen) = chosen else {
            self.say(now, "the module that is chosen has ended no worker");
            return;
        };
        self.mode = Mode::Confirm {
            executor: self.chosen(),
            digest: chosen.info.digest,
            label: chosen.label.clone(),
        };
    }
}
