//! Units whose functions are compiled apart from their variables, and each when it is called, or more than once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use farcall_compiler::{ADDRESS_SUFFIX, DefinedKind, PartSymbol};

use crate::build::{Source, Tier};
use crate::library::{Draft, Library};
use crate::state::{Export, Name, Part, PartId, Phase};
use crate::{Options, Partition, Result, Unit, When};

/// Adds a unit, with a stub for each function.
pub(crate) fn add(library: &Library, name: &str, ir: &[u8], options: &Options) -> Result<Unit> {
    let compiler = library.shared.compiler(Tier::Last)?;
    let divided = compiler.divide(name, ir, group(&options.partition))?;

    let mut state = library.shared.state();
    let mut draft = Draft::new(
        &library.shared,
        &mut state,
        name.into(),
        library.id,
        options,
    );
    let ids: Vec<PartId> = (0..divided.n_parts()).map(|_| state.next_part()).collect();
    let mut stubs: Vec<Vec<Name>> = vec![Vec::new(); ids.len()];
    for PartSymbol {
        symbol,
        part,
        is_exported,
    } in divided.symbols()
    {
        let number = *part as usize;
        let part = ids[number];
        let name = Name::from(symbol.name.as_bytes());
        // By these names the library's are meant.
        let is_shared = symbol.is_weak && *is_exported;
        if symbol.kind == DefinedKind::Function {
            let redirect = draft.add_stub(part, &name, Some(&symbol.value_type), None)?;
            let address = format!("{}{ADDRESS_SUFFIX}", symbol.name).into_bytes();
            let address = Name::from(address);
            draft
                .state
                .code
                .set_redirects([(address.clone(), redirect)]);
            if !is_shared {
                draft.state.private.insert(address, part);
            }
            stubs[number].push(name.clone());
        }
        if !is_shared {
            draft.state.private.insert(name.clone(), part);
        }
        if *is_exported {
            draft.state.exports.push(Export {
                name,
                part,
                is_weak: symbol.is_weak,
                is_hidden: symbol.is_hidden,
            });
        }
    }
    // Variables have to exist once, so that what is with them is compiled once.
    let tier = |part| match options.tier_up && part != 0 {
        true => Tier::First,
        false => Tier::Last,
    };
    let parts = ids.iter().zip(stubs).zip(0..);
    let parts = parts.map(|((&id, stubs), part)| {
        let part = Part {
            unit: draft.id,
            code: Arc::clone(&draft.state.code),
            name: name_of_part(name, part, &stubs),
            source: Source::Divided {
                divided: divided.clone(),
                part,
                tier: tier(part),
            },
            phase: Phase::Added,
            after: (part != 0 && divided.has_data()).then(|| ids[0]),
            stubs: stubs.into(),
            uses: HashMap::new(),
            is_loading: false,
            failure: None,
        };
        (id, part)
    });
    // Most modules of one function have nothing in the first.
    let parts: Vec<_> = parts.skip(usize::from(!divided.has_data())).collect();
    draft.state.parts = parts.iter().map(|(id, _)| *id).collect();
    let unit = draft.handle(&library.shared);
    let removed = state.add(draft.id, draft.state, parts)?;
    drop(state);
    drop(removed);
    if options.when == When::Eager
        && let Err(error) = unit.materialize()
    {
        let taken = library.shared.state().take(unit.id);
        drop(taken);
        return Err(error);
    }
    Ok(unit)
}

/// The group of each function, by its name.
pub(crate) fn group(partition: &Partition) -> impl Fn(&str) -> u64 + Send + Sync + 'static {
    let partition = partition.clone();
    let next = AtomicU64::new(0);
    move |name| match &partition {
        Partition::Functions => next.fetch_add(1, Ordering::Relaxed),
        Partition::Whole => 0,
        Partition::By(group) => group(name),
    }
}

/// What the image of a part is called.
fn name_of_part(unit: &str, part: u32, stubs: &[Name]) -> Arc<str> {
    match stubs {
        [function] if part != 0 => format!("{unit}: {}", String::from_utf8_lossy(function)).into(),
        _ => unit.into(),
    }
}
