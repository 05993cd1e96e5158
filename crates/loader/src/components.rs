//! Circles among images that import from each other.

/// The strongly connected components of a graph: of nodes that reach each other all. `edges[n]` are the
/// nodes that `n` has edges to. A component comes after those that its edges lead to, and as early as
/// the first of its nodes allows; the nodes of each are in ascending order.
///
/// This is Tarjan's algorithm, with a stack of its own: a chain may be longer than the thread's is
/// deep.
pub(crate) fn components(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    /// Of a node: the order of its discovery, and the earliest node that it is known to reach.
    #[derive(Clone, Copy)]
    struct Seen {
        number: usize,
        reaches: usize,
        is_placed: bool,
    }

    let mut seen: Vec<Option<Seen>> = vec![None; edges.len()];
    let mut n_seen = 0;
    // Discovered, and in no component yet.
    let mut open = Vec::new();
    let mut components = Vec::new();
    // The nodes that are being looked at, each with the number of its edges that have been followed.
    let mut path = Vec::new();
    for root in 0..edges.len() {
        if seen[root].is_none() {
            path.push((root, 0));
        }
        while let Some((node, n_followed)) = path.pop() {
            let mut own = seen[node].unwrap_or_else(|| {
                open.push(node);
                n_seen += 1;
                Seen {
                    number: n_seen,
                    reaches: n_seen,
                    is_placed: false,
                }
            });
            let target = edges[node].get(n_followed).copied();
            if let Some(target) = target.and_then(|target| seen[target])
                && !target.is_placed
            {
                own.reaches = own.reaches.min(target.reaches);
            }
            seen[node] = Some(own);
            if let Some(target) = target {
                if seen[target].is_none() {
                    // Once more along this edge, when it is known where it leads.
                    path.push((node, n_followed));
                    path.push((target, 0));
                } else {
                    path.push((node, n_followed + 1));
                }
                continue;
            }
            if own.reaches != own.number {
                continue;
            }
            let start = open.iter().rposition(|&each| each == node);
            let mut component = open.split_off(start.expect("it was opened when it was seen"));
            for &member in &component {
                if let Some(seen) = &mut seen[member] {
                    seen.is_placed = true;
                }
            }
            component.sort_unstable();
            components.push(component);
        }
    }
    components
}

#[cfg(test)]
mod tests {
    use super::components;

    #[test]
    fn what_is_needed_comes_first_and_circles_stay_together() {
        for (edges, expected) in [
            (vec![vec![], vec![]], vec![vec![0], vec![1]]),
            (
                vec![vec![1], vec![2], vec![]],
                vec![vec![2], vec![1], vec![0]],
            ),
            (vec![vec![0]], vec![vec![0]]),
            (vec![vec![2], vec![], vec![0]], vec![vec![0, 2], vec![1]]),
            // Two circles that share a node, and one who needs them.
            (
                vec![vec![1], vec![2, 3], vec![1], vec![1]],
                vec![vec![1, 2, 3], vec![0]],
            ),
            // A way out of a circle and a way past it.
            (
                vec![vec![1, 3], vec![2], vec![0, 4], vec![4], vec![]],
                vec![vec![4], vec![3], vec![0, 1, 2]],
            ),
        ] {
            assert_eq!(components(&edges), expected, "{edges:?}");
        }
    }

    #[test]
    fn a_long_chain_takes_no_stack() {
        const LENGTH: usize = if cfg!(miri) { 1000 } else { 1_000_000 };
        let mut edges: Vec<_> = (1..LENGTH).map(|next| vec![next]).collect();
        edges.push(vec![]);
        let chain = components(&edges);
        assert_eq!((chain.len(), &chain[0][..]), (LENGTH, &[LENGTH - 1][..]));
        edges[LENGTH - 1].push(0);
        assert_eq!(components(&edges).len(), 1);
    }
}
