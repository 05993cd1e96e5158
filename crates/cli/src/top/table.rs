//! Tables: which columns have room, and their rows as text.

use std::borrow::Borrow;
use std::cmp::Ordering;

use super::text::{columns, fitted, right};

/// A column of a table whose rows are made of `R`s.
pub(crate) struct Column<R> {
    pub(crate) title: &'static str,
    /// How wide it is. What is in it is cut to that.
    pub(crate) width: usize,
    /// How wide it becomes when there is room; as `width` for most.
    pub(crate) widest: usize,
    pub(crate) side: Side,
    /// Which columns have room first: those of the lowest rank.
    pub(crate) rank: u8,
    pub(crate) cell: fn(&R, usize) -> Cell,
    /// What rows are sorted by.
    pub(crate) key: fn(&R) -> Key,
}

/// On which side of its column something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

/// What is in a column of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) tone: Tone,
}

/// How something is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    /// It is not there, or of no interest.
    Faint,
    Good,
    /// Somebody should look at it.
    Bad,
}

impl Cell {
    pub(crate) fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self {
            text: text.into(),
            tone,
        }
    }

    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self::new(text, Tone::Plain)
    }

    /// What is there if it is known, and else a hyphen.
    pub(crate) fn known<T>(value: Option<T>, show: impl FnOnce(T) -> String) -> Self {
        value.map_or_else(
            || Self::new("-", Tone::Faint),
            |value| Self::plain(show(value)),
        )
    }
}

/// What rows are sorted by: names from A on, numbers from the greatest on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Key {
    Text(String),
    Number(f64),
}

impl Key {
    /// A number that may not be known, which is less than any.
    pub(crate) fn known(number: Option<f64>) -> Self {
        Self::Number(number.unwrap_or(f64::NEG_INFINITY))
    }

    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Number(a), Self::Number(b)) => b.total_cmp(a),
            (Self::Text(_), Self::Number(_)) => Ordering::Less,
            (Self::Number(_), Self::Text(_)) => Ordering::Greater,
        }
    }
}

/// By which column rows are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sort {
    /// `None`: as they come.
    pub(crate) column: Option<usize>,
    pub(crate) is_reversed: bool,
}

impl Sort {
    /// Sorts rows; equal ones stay as they are.
    pub(crate) fn apply<R, B: Borrow<R>>(self, table: &[Column<R>], rows: &mut Vec<B>) {
        let Some(column) = self.column.and_then(|column| table.get(column)) else {
            if self.is_reversed {
                rows.reverse();
            }
            return;
        };
        let keyed = rows.drain(..).map(|row| ((column.key)(row.borrow()), row));
        let mut keyed: Vec<(Key, B)> = keyed.collect();
        keyed.sort_by(|(a, _), (b, _)| {
            let order = a.compare(b);
            if self.is_reversed {
                order.reverse()
            } else {
                order
            }
        });
        rows.extend(keyed.into_iter().map(|(_, row)| row));
    }

    /// Goes to the next column, or back; before the first one and after the last is none.
    pub(crate) fn turn(&mut self, n_columns: usize, is_forward: bool) {
        let now = self.column.map_or(0, |column| column + 1);
        let n = n_columns + 1;
        let next = if is_forward { now + 1 } else { now + n - 1 } % n;
        *self = Self {
            column: next.checked_sub(1),
            is_reversed: false,
        };
    }
}

/// The columns that have room, with their widths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout(pub(crate) Vec<(usize, usize)>);

impl Layout {
    /// For a line of this width, with a space between columns. They are taken in the order of their ranks until one has no room. The
    /// first grows no wider than what is in it.
    pub(crate) fn within<R, B: Borrow<R>>(table: &[Column<R>], rows: &[B], width: usize) -> Self {
        let mut ranked: Vec<usize> = (0..table.len()).collect();
        ranked.sort_by_key(|index| table[*index].rank);
        let mut left = width + 1;
        let mut taken = Vec::new();
        for index in ranked {
            // The first one has less if there is no more.
            let column = match taken.is_empty() {
                true => table[index].width.min(width),
                false => table[index].width,
            };
            let Some(rest) = left.checked_sub(column + 1) else {
                break;
            };
            left = rest;
            taken.push((index, column));
        }
        for (n, (index, width)) in taken.iter_mut().enumerate() {
            let column = &table[*index];
            let mut widest = column.widest;
            if n == 0 {
                let cells = rows.iter().map(|row| column.needed(row.borrow()));
                widest = widest.min(cells.max().unwrap_or(0));
            }
            let more = left.min(widest.saturating_sub(*width));
            *width += more;
            left -= more;
        }
        taken.sort_unstable();
        Self(taken)
    }

    /// For all that these rows have in them, and all columns.
    pub(crate) fn around<R, B: Borrow<R>>(table: &[Column<R>], rows: &[B]) -> Self {
        let width = |column: &Column<R>| {
            let cells = rows.iter().map(|row| column.needed(row.borrow()));
            cells.max().unwrap_or(0).max(columns(column.title))
        };
        Self(table.iter().map(width).enumerate().collect())
    }

    /// The line of titles. An arrow at the column that is sorted by says whether the first is the least.
    pub(crate) fn titles<R>(&self, table: &[Column<R>], sort: Sort) -> String {
        let mut line = String::new();
        for &(index, width) in &self.0 {
            let column = &table[index];
            let is_numbers = column.side == Side::Right;
            let arrow =
                (sort.column == Some(index)).then_some(match is_numbers != sort.is_reversed {
                    true => "▼",
                    false => "▲",
                });
            // It stands where no title does: left of numbers, right of names.
            let (before, after) = match (column.side, arrow) {
                (Side::Right, Some(arrow)) => (arrow, ""),
                (Side::Left, Some(arrow)) => (" ", arrow),
                (_, None) => (" ", ""),
            };
            line += before;
            line += &column.placed(&format!("{}{after}", column.title), width);
        }
        // The first column has no space before it.
        line.strip_prefix([' ', '▼', '▲']).unwrap_or("").to_owned()
    }

    /// A row's cells, each as wide as its column.
    pub(crate) fn cells<R>(&self, table: &[Column<R>], row: &R) -> Vec<Cell> {
        let cell = |&(index, width): &(usize, usize)| {
            let column: &Column<R> = &table[index];
            let cell = (column.cell)(row, width);
            Cell::new(column.placed(&cell.text, width), cell.tone)
        };
        self.0.iter().map(cell).collect()
    }
}

impl<R> Column<R> {
    fn needed(&self, row: &R) -> usize {
        columns(&(self.cell)(row, self.widest).text)
    }

    fn placed(&self, text: &str, width: usize) -> String {
        match self.side {
            Side::Left => fitted(text, width),
            Side::Right => right(text, width),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row = (&'static str, u32);

    const TABLE: &[Column<Row>] = &[
        Column {
            title: "NAME",
            width: 6,
            widest: 20,
            side: Side::Left,
            rank: 0,
            cell: |row, _| Cell::plain(row.0),
            key: |row| Key::Text(row.0.to_owned()),
        },
        Column {
            title: "RARE",
            width: 5,
            widest: 5,
            side: Side::Left,
            rank: 2,
            cell: |_, width| Cell::plain("*".repeat(width)),
            key: |_| Key::Number(0.0),
        },
        Column {
            title: "COUNT",
            width: 5,
            widest: 5,
            side: Side::Right,
            rank: 1,
            cell: |row, _| Cell::plain(row.1.to_string()),
            key: |row| Key::Number(row.1.into()),
        },
    ];

    #[test]
    fn columns_are_left_out_by_rank_and_the_rest_is_used() {
        let rows = [("a name of twenty-five signs", 1)];
        let widths = |width| Layout::within(TABLE, &rows, width).0;
        assert_eq!(widths(0), [(0, 0)]);
        assert_eq!(widths(5), [(0, 5)]);
        assert_eq!(widths(6), [(0, 6)]);
        assert_eq!(widths(11), [(0, 11)]);
        assert_eq!(widths(12), [(0, 6), (2, 5)]);
        assert_eq!(widths(18), [(0, 6), (1, 5), (2, 5)]);
        assert_eq!(widths(20), [(0, 8), (1, 5), (2, 5)]);
        assert_eq!(widths(99), [(0, 20), (1, 5), (2, 5)]);
    }

    #[test]
    fn rows_are_sorted_and_lines_are_aligned() {
        let mut rows = vec![("b", 9), ("a", 10), ("long name", 9)];
        let layout = Layout::within(TABLE, &rows, 20);
        let mut lines = |sort: Sort| {
            sort.apply(TABLE, &mut rows);
            let mut lines = vec![layout.titles(TABLE, sort)];
            for row in &rows {
                let cells = layout.cells(TABLE, row).into_iter().map(|cell| cell.text);
                lines.push(cells.collect::<Vec<_>>().join(" "));
            }
            lines
        };
        let by = |column, is_reversed| Sort {
            column: Some(column),
            is_reversed,
        };
        assert_eq!(
            lines(by(0, false)),
            [
                "NAME▲    RARE  COUNT",
                "a        *****    10",
                "b        *****     9",
                "lo… name *****     9"
            ]
        );
        assert_eq!(
            lines(by(2, false))[..2],
            ["NAME     RARE ▼COUNT", "a        *****    10"]
        );
        assert_eq!(
            lines(by(2, true)),
            [
                "NAME     RARE ▲COUNT",
                "b        *****     9",
                "lo… name *****     9",
                "a        *****    10"
            ]
        );
        assert_eq!(
            Layout::around(TABLE, &rows).0,
            [(0, 9), (1, 5), (2, 5)],
            "as wide as what is in it"
        );
    }
}
