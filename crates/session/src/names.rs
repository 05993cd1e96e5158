//! What the names of a library mean: a definition of the host's, or one of the units that define it.
//!
//! Of units that define a name weakly, one is meant by all: the first that is loaded, and as long as none is, the first that was
//! added. It stays the one that is meant as long as somebody may be bound to it.

use std::collections::HashMap;

use farcall_loader::Definition;

use crate::state::{Export, Name, PartId};

#[derive(Debug, Default)]
pub(crate) struct Names(HashMap<Name, Entry>);

/// What a name means.
#[derive(Debug)]
pub(crate) enum Entry {
    Definition(Definition),
    Part {
        meant: Definer,
        /// Others that define it, all weak: they are meant when this one goes, the first before the rest.
        shadowed: Vec<Definer>,
    },
}

/// A part that defines a name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Definer {
    pub(crate) part: PartId,
    pub(crate) is_weak: bool,
    /// Whether only units of its library see it.
    pub(crate) is_hidden: bool,
}

impl From<&Export> for Definer {
    fn from(export: &Export) -> Self {
        let &Export {
            part,
            is_weak,
            is_hidden,
            ..
        } = export;
        Self {
            part,
            is_weak,
            is_hidden,
        }
    }
}

impl Entry {
    /// Whether only units of its library see it.
    pub(crate) fn is_hidden(&self) -> bool {
        matches!(self, Self::Part { meant, .. } if meant.is_hidden)
    }
}

impl Names {
    pub(crate) fn get(&self, name: &[u8]) -> Option<&Entry> {
        self.0.get(name)
    }

    /// Those that a lookup finds.
    pub(crate) fn visible(&self) -> impl Iterator<Item = &[u8]> {
        let names = self.0.iter().filter(|(_, entry)| !entry.is_hidden());
        names.map(|(name, _)| &**name)
    }

    /// Adds definitions. One that is not weak takes the place of a weak one; another one was refused before.
    pub(crate) fn enter(&mut self, exports: &[Export]) {
        for export in exports {
            let definer = Definer::from(export);
            match self.0.get_mut(&export.name) {
                Some(Entry::Definition(_)) => {}
                // It has taken the place of one that it replaces.
                Some(Entry::Part { meant, .. }) if meant.part == definer.part => {}
                Some(Entry::Part { shadowed, .. }) if definer.is_weak => shadowed.push(definer),
                Some(Entry::Part { meant, shadowed }) => {
                    shadowed.insert(0, std::mem::replace(meant, definer));
                }
                None => {
                    let entry = Entry::Part {
                        meant: definer,
                        shadowed: Vec::new(),
                    };
                    self.0.insert(export.name.clone(), entry);
                }
            }
        }
    }

    /// Has a name mean a definition of the host's. Gives the one that it meant.
    pub(crate) fn define(&mut self, name: &str, definition: Definition) -> Option<Definition> {
        match self
            .0
            .insert(name.as_bytes().into(), Entry::Definition(definition))
        {
            Some(Entry::Definition(old)) => Some(old),
            _ => None,
        }
    }

    /// Has a weak definition be the one that is meant, unless another one is not weak, or somebody may be bound to it.
    pub(crate) fn claim(&mut self, export: &Export, is_bound: impl Fn(PartId) -> bool) {
        if let Some(Entry::Part { meant, shadowed }) = self.0.get_mut(&export.name)
            && meant.is_weak
            && !is_bound(meant.part)
            && let Some(own) = shadowed.iter_mut().find(|it| it.part == export.part)
        {
            std::mem::swap(meant, own);
        }
    }

    /// Has a name that means one of the parts `old` mean another one.
    pub(crate) fn replace(&mut self, old: &[PartId], new: &Export) {
        if let Some(Entry::Part { meant, .. }) = self.0.get_mut(&new.name)
            && old.contains(&meant.part)
        {
            *meant = Definer::from(new);
        }
    }

    /// Takes a definition out.
    pub(crate) fn withdraw(&mut self, export: &Export) {
        let Some(Entry::Part { meant, shadowed }) = self.0.get_mut(&export.name) else {
            return;
        };
        if meant.part != export.part {
            shadowed.retain(|other| other.part != export.part);
        } else if shadowed.is_empty() {
            self.0.remove(&export.name);
        } else {
            *meant = shadowed.remove(0);
        }
    }

    /// Whether a name means this definition.
    pub(crate) fn means(&self, export: &Export) -> bool {
        matches!(self.get(&export.name), Some(Entry::Part { meant, .. }) if meant.part == export.part)
    }

    /// Takes a definition out that others may be bound to, unless they define the name too: then it stays, as a weak one. Whether it is out.
    pub(crate) fn retire(&mut self, export: &Export) -> bool {
        match self.0.get_mut(&export.name) {
            Some(Entry::Part { meant, shadowed })
                if meant.part == export.part && !shadowed.is_empty() =>
            {
                meant.is_weak = true;
                false
            }
            _ => {
                self.withdraw(export);
                true
            }
        }
    }
}
