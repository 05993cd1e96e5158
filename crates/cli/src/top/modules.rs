//! The table of an executor's modules.

use super::model::Listed;
use super::table::{Cell, Column, Key, Side, Sort, Tone};
use super::text::{as_float, bytes, count, escaped, rate, taken};

/// Its columns. One has room after those of lower ranks.
pub(crate) const COLUMNS: &[Column<Listed>] = &[
    Column {
        title: "MODULE",
        width: 20,
        widest: 64,
        side: Side::Left,
        rank: 0,
        cell: |module, _| Cell::plain(&module.label),
        key: |module| Key::Text(module.label.clone()),
    },
    number(
        7,
        1,
        "CALLS/S",
        |module, _| Cell::known(module.calls_per_second, rate),
        |module| Key::known(module.calls_per_second),
    ),
    number(
        6,
        3,
        "CALLS",
        |module, _| Cell::plain(count(module.info.calls)),
        |module| Key::Number(as_float(module.info.calls)),
    ),
    number(
        5,
        2,
        "CRASH",
        |module, _| alarm(module.info.crashes),
        |module| Key::Number(as_float(module.info.crashes)),
    ),
    number(
        4,
        8,
        "LATE",
        |module, _| alarm(module.info.late),
        |module| Key::Number(as_float(module.info.late)),
    ),
    Column {
        title: "STATE",
        width: 11,
        widest: 11,
        side: Side::Left,
        rank: 4,
        cell: |module, _| match module.info.is_quarantined {
            true => Cell::new("quarantined", Tone::Bad),
            false => Cell::new("ok", Tone::Good),
        },
        key: |module| Key::Number(f64::from(u8::from(module.info.is_quarantined))),
    },
    number(
        6,
        5,
        "SIZE",
        |module, _| Cell::plain(bytes(as_float(module.info.size))),
        |module| Key::Number(as_float(module.info.size)),
    ),
    number(
        7,
        6,
        "EXPORTS",
        |module, _| Cell::plain(count(module.info.n_exports)),
        |module| Key::Number(as_float(module.info.n_exports)),
    ),
    Column {
        title: "KEY",
        width: 8,
        widest: 16,
        side: Side::Left,
        rank: 7,
        cell: |module, width| match &module.info.signer {
            Some(key) => Cell::plain(taken(escaped(key).chars(), width)),
            None => Cell::new("-", Tone::Faint),
        },
        key: |module| Key::Text(module.info.signer.clone().unwrap_or_default()),
    },
    Column {
        title: "DIGEST",
        width: 16,
        widest: 64,
        side: Side::Left,
        rank: 9,
        cell: |module, width| {
            let digest = module.info.digest.to_string();
            Cell::new(taken(digest.chars(), width), Tone::Faint)
        },
        key: |module| Key::Text(module.info.digest.to_string()),
    },
];

/// What should not be is seen when there is any.
fn alarm(number: u64) -> Cell {
    let tone = if number > 0 { Tone::Bad } else { Tone::Plain };
    Cell::new(count(number), tone)
}

const fn number(
    width: usize,
    rank: u8,
    title: &'static str,
    cell: fn(&Listed, usize) -> Cell,
    key: fn(&Listed) -> Key,
) -> Column<Listed> {
    Column {
        title,
        width,
        widest: width,
        side: Side::Right,
        rank,
        cell,
        key,
    }
}

/// The modules that have this text in their names, their digests or their keys, sorted. Case does not matter.
pub(crate) fn rows<'a>(modules: &'a [Listed], text: &str, sort: Sort) -> Vec<&'a Listed> {
    let text = text.to_lowercase();
    let matches = |module: &&Listed| {
        let has = |name: &str| name.to_lowercase().contains(&text);
        let key = module.info.signer.as_deref().unwrap_or_default();
        has(&module.label) || has(key) || has(&module.info.digest.to_string())
    };
    let mut rows: Vec<&Listed> = match text.is_empty() {
        true => modules.iter().collect(),
        false => modules.iter().filter(matches).collect(),
    };
    sort.apply(COLUMNS, &mut rows);
    rows
}
