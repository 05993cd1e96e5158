//! The names most like one that was not found.

/// How many names are given.
const MAX_NAMES: usize = 3;

/// The candidates most like `name`, best first, at most three; those that differ in more than a
/// third of it are not alike. O(candidates), and for each that is about as long the product of both lengths.
pub fn nearest<'a>(name: &[u8], candidates: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    let limit = (name.len() / 3).max(1);
    // Ascending, each once.
    let mut best: Vec<(usize, &[u8])> = Vec::new();
    for candidate in candidates {
        if candidate.len().abs_diff(name.len()) > limit {
            continue;
        }
        let distance = distance(name, candidate);
        if distance <= limit
            && let Err(place) = best.binary_search(&(distance, candidate))
        {
            best.insert(place, (distance, candidate));
            best.truncate(MAX_NAMES);
        }
    }
    let text = |(_, name)| String::from_utf8_lossy(name).into_owned();
    best.into_iter().map(text).collect()
}

/// How many bytes must be inserted, removed, changed or swapped with their neighbour to make `b` of
/// `a`: the optimal string alignment distance.
fn distance(a: &[u8], b: &[u8]) -> usize {
    // Row `i` holds the distances of `a[..i]` to each `b[..j]`; three rows are enough.
    let mut before_last = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &y) in b.iter().enumerate() {
            let change = last[j] + usize::from(x != y);
            let mut least = change.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && x == b[j - 1] && a[i - 1] == y {
                least = least.min(before_last[j - 1] + 1);
            }
            row.push(least);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_edits() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("sqrt", "sqrt", 0),
            ("sqrt", "sqtr", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a.as_bytes(), b.as_bytes()), expected, "{a} {b}");
            assert_eq!(distance(b.as_bytes(), a.as_bytes()), expected, "{b} {a}");
        }
    }

    #[test]
    fn the_best_three_are_given_in_order() {
        let candidates = [
            "print_row",
            "print_rows",
            "print_tow",
            "prnt_rw",
            "other",
            "print_cow",
        ];
        let candidates = candidates.map(str::as_bytes);
        assert_eq!(
            nearest(b"print_row", candidates),
            ["print_row", "print_cow", "print_rows"]
        );
        assert!(nearest(b"x", candidates).is_empty());
    }
}
