//! The screen, line by line.

use std::time::Instant;

use farcall::Digest;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use super::app::{App, Focus, Mode};
use super::details::{self, NAME_WIDTH, NUMBER_WIDTH};
use super::table::{Cell, Layout, Tone};
use super::text::{age, bars, begun, columns, count, escaped, fitted, rate, right, taken};
use super::{executors, modules};

/// What stands before a row that is chosen, and before another.
const MARKS: [&str; 2] = ["> ", "  "];

/// How many lines each part of a screen has.
struct Heights {
    executors: usize,
    has_bars: bool,
    grid: usize,
    modules: usize,
}

impl Heights {
    /// Lines of titles and the like: the heading, the titles of two tables, the line between them and that of the keys.
    const FIXED: usize = 5;

    fn within(height: usize, n_executors: usize, grid: usize) -> Self {
        let rest = height.saturating_sub(Self::FIXED);
        let has_bars = rest >= 7;
        let rest = rest - usize::from(has_bars);
        // Not in the place of the tables.
        let grid = if rest >= grid + 8 { grid } else { 0 };
        let rest = rest - grid;
        let executors = n_executors.min((rest / 2).max(1)).min(rest);
        Self {
            executors,
            has_bars,
            grid,
            modules: rest - executors,
        }
    }
}

impl App {
    /// Draws all of it.
    pub(crate) fn draw(&mut self, frame: &mut Frame<'_>, now: Instant) {
        let area = frame.area();
        let width = usize::from(area.width);
        let heights = Heights::within(
            area.height.into(),
            self.watched.len(),
            details::n_lines(details::N_NUMBERS, width),
        );
        let executors = self.executor_rows(now);
        let mut lines = vec![self.heading(&executors, width)];
        let chosen = self.chosen();
        let chosen = executors.iter().find(|row| row.executor == chosen).cloned();
        lines.extend(self.executor_lines(&executors, heights.executors, width));
        if let Some(chosen) = chosen {
            lines.extend(self.detail_lines(&chosen, &heights, width));
            lines.extend(self.module_lines(&chosen, heights.modules, width));
        }
        let keys = self.keys(now, width);
        let last = area.height.saturating_sub(1);
        for (line, y) in lines.iter().zip(0..last) {
            frame.render_widget(line, Rect::new(area.x, area.y + y, area.width, 1));
        }
        if area.height > 0 {
            frame.render_widget(keys, Rect::new(area.x, area.y + last, area.width, 1));
        }
    }

    /// All executors together.
    fn heading(&self, rows: &[executors::Row], width: usize) -> Line<'static> {
        let up = || rows.iter().filter_map(executors::Row::counted);
        let n_up = up().count();
        let calls = up().filter_map(|counted| counted.change);
        let calls: f64 = calls.map(|change| change.per_second(|now| now.calls)).sum();
        let sum = |of: fn(&farcall::executor::Statistics) -> u64| {
            up().fold(0_u64, |sum, counted| sum.saturating_add(of(&counted.now)))
        };
        let parts = [
            format!("farcall top   {n_up} of {} up", rows.len()),
            format!("{:>5} calls/s", rate(calls)),
            format!("{:>5} running", count(sum(|now| now.running))),
            format!("{:>5} crashes", count(sum(|now| now.crashes))),
            format!("{:>5} refusals", count(sum(executors::refusals))),
        ];
        let mut text = String::new();
        for part in parts {
            if !text.is_empty() {
                text += "  ";
            }
            // What has no room is left out rather than cut.
            if columns(&text) + columns(&part) > width && !text.is_empty() {
                break;
            }
            text += &part;
        }
        Line::styled(text, bold())
    }

    fn executor_lines(
        &mut self,
        rows: &[executors::Row],
        height: usize,
        width: usize,
    ) -> Vec<Line<'static>> {
        let table = executors::COLUMNS;
        let layout = Layout::within(table, rows, width.saturating_sub(columns(MARKS[0])));
        let titles = layout.titles(table, self.executors.sort);
        let mut lines = vec![Line::styled(format!("{}{titles}", MARKS[1]), bold())];
        let ids: Vec<usize> = rows.iter().map(|row| row.executor).collect();
        let place = self.executors.place(&ids);
        let seen = self.executors.seen(&ids, height);
        for (index, row) in rows.iter().enumerate().take(seen.end).skip(seen.start) {
            let mut cells = layout.cells(table, row);
            if let Some(reason) = row.reason() {
                // What is wrong has the place of all numbers, as it is longer than any.
                cells.truncate(2);
                let used: usize = cells.iter().map(|cell| columns(&cell.text) + 1).sum();
                let room = width.saturating_sub(used + columns(MARKS[0]));
                cells.push(Cell::plain(begun(&reason, room)));
            }
            lines.push(self.row(&cells, index == place, Focus::Executors));
        }
        lines
    }

    /// A line of a table.
    fn row(&self, cells: &[Cell], is_chosen: bool, table: Focus) -> Line<'static> {
        let mut spans = vec![Span::raw(MARKS[usize::from(!is_chosen)])];
        for (index, cell) in cells.iter().enumerate() {
            if index > 0 {
                spans.push(Span::raw(" "));
            }
            spans.push(Span::styled(cell.text.clone(), self.style(cell.tone)));
        }
        let line = Line::from(spans);
        if is_chosen && self.focus == table {
            line.style(Style::new().add_modifier(Modifier::REVERSED))
        } else {
            line
        }
    }

    /// The chosen executor: who it is, its calls a second, its numbers.
    fn detail_lines(
        &self,
        row: &executors::Row,
        heights: &Heights,
        width: usize,
    ) -> Vec<Line<'static>> {
        let watched = &self.watched[row.executor];
        let mut title = format!("── {}", row.address);
        if !self.filter.is_empty() {
            title = format!("{title} ── filter: {}", escaped(&self.filter));
        }
        if !watched.software.is_empty() {
            title = format!("{title} ── {}", watched.software);
        }
        if let Some(counted) = row.counted() {
            let uptime = std::time::Duration::from_millis(counted.now.uptime);
            title = format!("{title} ── up {}", age(uptime));
        }
        let rule = "─".repeat(width.saturating_sub(columns(&title) + 1));
        let title = begun(&format!("{title} {rule}"), width);
        let mut lines = vec![Line::styled(title, bold())];
        if heights.has_bars {
            lines.push(self.bars(row, width));
        }
        if heights.grid > 0 {
            lines.extend(match row.reason() {
                // It says more than a row has room for.
                Some(reason) => wrapped(&format!(" {reason}"), width, heights.grid),
                None => self.grid(row, heights.grid),
            });
        }
        lines
    }

    fn grid(&self, row: &executors::Row, height: usize) -> Vec<Line<'static>> {
        let numbers = details::numbers(&self.watched[row.executor], row.counted());
        let line = |line: usize| {
            let cells = numbers.iter().skip(line).step_by(height);
            let spans = cells.enumerate().flat_map(|(column, (name, cell))| {
                let space = if column == 0 { " " } else { "  " };
                let name = format!("{space}{} ", fitted(name, NAME_WIDTH));
                let number = Span::styled(right(&cell.text, NUMBER_WIDTH), self.style(cell.tone));
                [Span::styled(name, self.style(Tone::Faint)), number]
            });
            Line::from(spans.collect::<Vec<_>>())
        };
        (0..height).map(line).collect()
    }

    fn bars(&self, row: &executors::Row, width: usize) -> Line<'static> {
        const NAME: &str = " calls/s ";
        const MOST_WIDTH: usize = " most 12345".len();
        let room = width.saturating_sub(NAME.len() + MOST_WIDTH);
        let shown = row.history.iter().rev().take(room);
        let most = shown.copied().fold(0.0, f64::max);
        Line::from(vec![
            Span::styled(NAME, self.style(Tone::Faint)),
            Span::styled(
                bars(row.history.iter().copied(), room),
                self.style(Tone::Good),
            ),
            Span::raw(format!(" most {:>5}", rate(most))),
        ])
    }

    fn module_lines(
        &mut self,
        row: &executors::Row,
        height: usize,
        width: usize,
    ) -> Vec<Line<'static>> {
        let table = modules::COLUMNS;
        let modules = &self.watched[row.executor].modules;
        let rows = modules::rows(modules, &self.filter, self.modules.sort);
        let layout = Layout::within(table, &rows, width.saturating_sub(columns(MARKS[0])));
        let titles = layout.titles(table, self.modules.sort);
        let mut lines = vec![Line::styled(format!("{}{titles}", MARKS[1]), bold())];
        if rows.is_empty() {
            let none = match self.filter.is_empty() || modules.is_empty() {
                true => "  no modules",
                false => "  no module has the filter's text in it",
            };
            lines.push(Line::styled(none, self.style(Tone::Faint)));
        }
        let ids: Vec<Digest> = rows.iter().map(|row| row.info.digest).collect();
        let place = self.modules.place(&ids);
        let seen = self.modules.seen(&ids, height);
        for (index, row) in rows.iter().enumerate().take(seen.end).skip(seen.start) {
            let cells = layout.cells(table, *row);
            lines.push(self.row(&cells, index == place, Focus::Modules));
        }
        lines
    }

    /// The last line: what can be pressed, or what is asked or said.
    fn keys(&self, now: Instant, width: usize) -> Line<'static> {
        let text = match (&self.mode, self.notice(now)) {
            (Mode::Confirm { label, .. }, _) => {
                const QUESTION: [&str; 2] = [" Forget the crashes of ", "?  y yes  n no"];
                let room = width.saturating_sub(QUESTION.concat().len());
                format!("{}{}{}", QUESTION[0], begun(label, room), QUESTION[1])
            }
            (Mode::Filter, _) => {
                format!(" filter: {}▏  enter keep  esc clear", escaped(&self.filter))
            }
            (Mode::Browse, Some(notice)) => format!(" {notice}"),
            (Mode::Browse, None) => {
                " q quit  ↑↓ choose  tab other table  ←→ sort by  r reverse  / filter  p pardon"
                    .to_owned()
            }
        };
        let style = match self.mode {
            Mode::Browse => Style::new(),
            Mode::Filter | Mode::Confirm { .. } => bold(),
        };
        Line::styled(text, style)
    }

    /// How a tone looks. Without colours what is bad is bold.
    fn style(&self, tone: Tone) -> Style {
        match (tone, self.is_coloured) {
            (Tone::Plain, _) | (Tone::Good, false) => Style::new(),
            (Tone::Faint, _) => Style::new().add_modifier(Modifier::DIM),
            (Tone::Good, true) => Style::new().fg(Color::Green),
            (Tone::Bad, true) => bold().fg(Color::Red),
            (Tone::Bad, false) => bold(),
        }
    }
}

/// A text in this many lines, of which the last has an end if there is more.
fn wrapped(text: &str, width: usize, height: usize) -> Vec<Line<'static>> {
    let mut rest = text.to_owned();
    let mut lines = Vec::new();
    for index in 0..height {
        let line = if index + 1 == height {
            begun(&rest, width)
        } else {
            taken(rest.chars(), width)
        };
        rest.drain(..line.len().min(rest.len()));
        lines.push(Line::raw(line));
    }
    lines
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}
