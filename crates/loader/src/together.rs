//! Loading images together: each may import from all of them, also in a circle.
//!
//! First every import of every image is found, so that one error says all that is wrong before anything is
//! mapped. Then the images are placed, those that others import from before those others; the images of
//! a circle are all mapped before any of them is bound. Last their constructors run, in the same
//! order.

use std::collections::HashMap;

use farcall_image::{Manifest, SymbolIndex, SymbolKind};

use crate::components::components;
use crate::error::Result;
use crate::held::{Cycle, Held};
use crate::kind::Kind;
use crate::load::{self, Arguments, Mapped, Published, unsupported};
use crate::mapping::Pages;
use crate::relocate::Value;
use crate::resolve::{Resolution, resolve_in};
use crate::unbound::Unbound;
use crate::{Loader, Module, TrustedImage, fork};

/// Loads all images, or none. The modules are in the order of the images.
pub(crate) fn load_all(
    loader: &Loader,
    images: &[&TrustedImage<'_>],
    scope: &[&Module],
) -> Result<Vec<Module>> {
    fork::watch();
    let group = Group::new(images);
    let mut unbound = Unbound::default();
    let mut resolutions = Vec::with_capacity(images.len());
    for image in images {
        match resolve_in(image, loader, scope, Some(&group)) {
            Ok(resolution) => resolutions.push(Some(resolution)),
            Err(one) => unbound.add(one),
        }
    }
    unbound.into_result()?;
    let providers: Vec<_> = resolutions.iter().flatten().map(providers).collect();

    let mut loading = Loading {
        images,
        published: images.iter().map(|_| None).collect(),
        held: images.iter().map(|_| None).collect(),
    };
    let components = components(&providers);
    for component in &components {
        loading.publish(component, &mut resolutions)?;
    }
    for component in &components {
        loading.start(component, &providers)?;
    }
    let modules = loading.held.into_iter().flatten();
    Ok(modules.map(Module::new).collect())
}

/// The members of its group that an image imports from, each once.
fn providers(resolution: &Resolution) -> Vec<usize> {
    let fellows = resolution.fellows.iter();
    let mut members: Vec<_> = fellows.map(|fellow| fellow.member).collect();
    members.sort_unstable();
    members.dedup();
    members
}

/// An import that is bound to an export of an image that is loaded together with its own.
#[derive(Debug)]
pub(crate) struct Fellow {
    /// The import's index.
    pub(crate) import: SymbolIndex,
    /// The position of the image that exports it.
    pub(crate) member: usize,
    /// The export's index.
    pub(crate) export: SymbolIndex,
}

/// Images that are loaded together, and what they export.
#[derive(Debug)]
pub(crate) struct Group<'a> {
    images: &'a [&'a TrustedImage<'a>],
    manifests: Vec<&'a Manifest<'a>>,
    /// Of images that export the same name the first.
    exports: HashMap<&'a [u8], (usize, SymbolIndex, SymbolKind)>,
}

/// An export of one of a group.
#[derive(Debug)]
pub(crate) struct GroupExport<'a> {
    /// The image's name.
    pub(crate) image: &'a str,
    pub(crate) member: usize,
    pub(crate) index: SymbolIndex,
    pub(crate) kind: Kind,
}

impl<'a> Group<'a> {
    fn new(images: &'a [&'a TrustedImage<'a>]) -> Self {
        let mut exports = HashMap::new();
        for (member, image) in images.iter().enumerate() {
            for (index, symbol) in image.image().exports().iter() {
                let export = (member, index, symbol.kind);
                exports.entry(symbol.name).or_insert(export);
            }
        }
        let manifests = images.iter().map(|image| image.image().manifest());
        Self {
            images,
            manifests: manifests.collect(),
            exports,
        }
    }

    pub(crate) fn find(&self, name: &[u8]) -> Option<GroupExport<'a>> {
        let &(member, index, kind) = self.exports.get(name)?;
        Some(GroupExport {
            image: self.images[member].name(),
            member,
            index,
            kind: Kind::of_export(kind, self.manifests[member].symbol_type(index)),
        })
    }

    pub(crate) fn export_names(&self) -> impl Iterator<Item = &'a [u8]> {
        self.exports.keys().copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.images.len()
    }
}

/// How far the images of a group are. Dropping it undoes everything.
struct Loading<'a> {
    images: &'a [&'a TrustedImage<'a>],
    published: Vec<Option<Published>>,
    held: Vec<Option<Held>>,
}

impl Loading<'_> {
    /// Publishes the images of `component`, which import from each other and from published ones.
    fn publish(
        &mut self,
        component: &[usize],
        resolutions: &mut [Option<Resolution>],
    ) -> Result<()> {
        let mut mapped = Vec::with_capacity(component.len());
        for &member in component {
            mapped.push(Mapped::new(self.images[member], None, Pages::Shared)?);
        }
        // What each of them is for its fellows has to be known before any is bound.
        for &member in component {
            let mut resolution = resolutions[member].take().expect("each is published once");
            for fellow in &resolution.fellows {
                let position = component.binary_search(&fellow.member);
                let value = match position {
                    Ok(position) => self.early_value(fellow, &mut mapped[position])?,
                    Err(_) => self.late_value(fellow),
                };
                let index = usize::try_from(fellow.import).expect("parsing has found the symbol");
                resolution.values[index] = value;
            }
            resolutions[member] = Some(resolution);
        }
        for (&member, mapped) in component.iter().zip(mapped) {
            let resolution = resolutions[member].take().expect("it was put back above");
            let bound = mapped.bind(resolution)?;
            if component.len() > 1 && bound.has_indirect_functions() {
                // Their code would run before the others' is complete.
                return Err(unsupported(
                    self.images[member],
                    "it has indirect functions, and imports from an image that imports from it",
                ));
            }
            self.published[member] = Some(bound.publish()?);
        }
        Ok(())
    }

    /// What an export of an image is that is mapped and not yet bound.
    fn early_value(&self, fellow: &Fellow, mapped: &mut Mapped<'_, '_>) -> Result<Value> {
        let image = self.images[fellow.member];
        let symbol = image.image().symbol(fellow.export);
        let symbol = symbol.expect("the group has found it there");
        if symbol.kind == SymbolKind::Tls {
            let module = mapped.thread_locals()?;
            return Ok(Value::ThreadLocal {
                module: module.ok_or_else(|| {
                    unsupported(
                        image,
                        "its code uses its thread-local variables in the initial-exec model, and an image imports them \
                         that it imports from",
                    )
                })?,
                offset: symbol.value,
            });
        }
        Ok(Value::Address(match symbol.is_absolute {
            true => symbol.value,
            false => mapped.bias().wrapping_add(symbol.value),
        }))
    }

    /// What an export of a published image is.
    fn late_value(&self, fellow: &Fellow) -> Value {
        let published = self.published[fellow.member].as_ref();
        let loaded = published.expect("providers come first").loaded();
        let symbol = self.images[fellow.member].image().symbol(fellow.export);
        let value = symbol.and_then(|symbol| loaded.value(&symbol));
        value.expect("a published image has what it exports")
    }

    /// Starts the images of `component`, whose providers have started.
    fn start(&mut self, component: &[usize], providers: &[Vec<usize>]) -> Result<()> {
        let mut starting = Vec::with_capacity(component.len());
        for &member in component {
            let mut published = self.published[member].take().expect("each starts once");
            let outside = providers[member].iter();
            let outside = outside.filter(|provider| component.binary_search(provider).is_err());
            let outside = outside.filter_map(|&provider| self.held[provider].clone());
            published.keep(outside);
            starting.push(published);
        }
        let mut constructors = Vec::new();
        for published in &mut starting {
            published.register()?;
            constructors.append(&mut published.take_constructors());
        }
        let starting = starting.into_iter();
        let held: Vec<_> = match component.len() {
            1 => starting.map(Published::finish_alone).collect(),
            _ => Cycle::of(starting, |published, held| published.finish(held)),
        };
        for (&member, held) in component.iter().zip(held) {
            self.held[member] = Some(held);
        }
        load::run_constructors(constructors, Arguments::none());
        Ok(())
    }
}
