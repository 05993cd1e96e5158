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
use crate::{ImportBinding, Loader, Module, TrustedImage, fork};

/// What the caller says of an import: the position of the image that imports it, and its name.
pub(crate) type Bind<'a> = &'a dyn Fn(usize, &[u8]) -> Option<ImportBinding>;

/// Loads all images, or none. The modules are in the order of the images.
pub(crate) fn load_all(
    loader: &Loader,
    images: &[&TrustedImage<'_>],
    scope: &[&Module],
) -> Result<Vec<Module>> {
    let Finished { held, starts } = load(loader, &Group::by_name(images), scope)?;
    start(&held, starts)?;
    Ok(held.into_iter().map(Module::new).collect())
}

/// Loads all images, or none, with their imports bound by `bind`. `publish` is given the modules before their
/// constructors run.
pub(crate) fn load_bound(
    loader: &Loader,
    images: &[&TrustedImage<'_>],
    bind: Bind<'_>,
    publish: impl FnOnce(Vec<Module>),
) -> Result<()> {
    let Finished { held, starts } = load(loader, &Group::bound(images, bind), &[])?;
    publish(held.iter().cloned().map(Module::new).collect());
    start(&held, starts)
}

/// Images that are loaded, but no constructor has run.
struct Finished {
    held: Vec<Held>,
    starts: Vec<Start>,
}

/// What has to run of images that import from each other.
struct Start {
    members: Vec<usize>,
    constructors: Vec<u64>,
}

/// Has the destructors run at exit, and runs the constructors.
fn start(held: &[Held], starts: Vec<Start>) -> Result<()> {
    for Start {
        members,
        constructors,
    } in starts
    {
        for member in members {
            held[member].register_exit_handlers()?;
        }
        load::run_constructors(constructors, Arguments::none());
    }
    Ok(())
}

fn load(loader: &Loader, group: &Group<'_>, scope: &[&Module]) -> Result<Finished> {
    fork::watch();
    let images = group.images;
    // Before any of them is searched for, which may open libraries.
    let permissions = images.iter().map(|image| loader.admit(image));
    let permissions = permissions.collect::<Result<Vec<_>>>()?;
    let mut unbound = Unbound::default();
    let mut resolutions = Vec::with_capacity(images.len());
    for (position, image) in images.iter().enumerate() {
        let member = Member { group, position };
        match resolve_in(image, loader, scope, Some(member), &permissions[position]) {
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
    let mut starts = Vec::with_capacity(components.len());
    for members in components {
        let constructors = loading.finish(&members, &providers);
        starts.push(Start {
            members,
            constructors,
        });
    }
    Ok(Finished {
        held: loading.held.into_iter().flatten().collect(),
        starts,
    })
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
pub(crate) struct Group<'a> {
    images: &'a [&'a TrustedImage<'a>],
    manifests: Vec<&'a Manifest<'a>>,
    bindings: Bindings<'a>,
}

/// How an import finds the image of its group that exports it.
enum Bindings<'a> {
    /// By its name. Of images that export the same name the first.
    Exports(HashMap<&'a [u8], (usize, SymbolIndex, SymbolKind)>),
    /// As the caller says.
    Given(Bind<'a>),
}

/// An image of a group.
#[derive(Clone, Copy)]
pub(crate) struct Member<'a> {
    pub(crate) group: &'a Group<'a>,
    position: usize,
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
    fn by_name(images: &'a [&'a TrustedImage<'a>]) -> Self {
        let mut exports = HashMap::new();
        for (member, image) in images.iter().enumerate() {
            for (index, symbol) in image.image().exports().iter() {
                let export = (member, index, symbol.kind);
                exports.entry(symbol.name).or_insert(export);
            }
        }
        Self::new(images, Bindings::Exports(exports))
    }

    fn bound(images: &'a [&'a TrustedImage<'a>], bind: Bind<'a>) -> Self {
        Self::new(images, Bindings::Given(bind))
    }

    fn new(images: &'a [&'a TrustedImage<'a>], bindings: Bindings<'a>) -> Self {
        let manifests = images.iter().map(|image| image.image().manifest());
        Self {
            images,
            manifests: manifests.collect(),
            bindings,
        }
    }

    /// The names that are found among them.
    pub(crate) fn export_names(&self) -> impl Iterator<Item = &'a [u8]> {
        let exports = match &self.bindings {
            Bindings::Exports(exports) => Some(exports),
            Bindings::Given(_) => None,
        };
        exports
            .into_iter()
            .flat_map(|exports| exports.keys().copied())
    }

    /// The place that errors name, if images are searched by name.
    pub(crate) fn place(&self) -> Option<String> {
        match &self.bindings {
            Bindings::Exports(_) => Some(format!("{} images loaded together", self.images.len())),
            Bindings::Given(_) => None,
        }
    }

    fn export(&self, member: usize, index: SymbolIndex, kind: SymbolKind) -> GroupExport<'a> {
        GroupExport {
            image: self.images[member].name(),
            member,
            index,
            kind: Kind::of_export(kind, self.manifests[member].symbol_type(index)),
        }
    }
}

impl<'a> Member<'a> {
    /// What the caller says that the name is.
    pub(crate) fn binding(&self, name: &[u8]) -> Option<ImportBinding> {
        match &self.group.bindings {
            Bindings::Exports(_) => None,
            Bindings::Given(bind) => bind(self.position, name),
        }
    }

    /// What one of its fellows exports by the name.
    pub(crate) fn find(&self, name: &[u8]) -> Option<GroupExport<'a>> {
        match &self.group.bindings {
            Bindings::Exports(exports) => {
                let &(member, index, kind) = exports.get(name)?;
                Some(self.group.export(member, index, kind))
            }
            Bindings::Given(_) => None,
        }
    }

    /// What the image at the position `member` exports by the name.
    pub(crate) fn export_of(&self, member: usize, name: &[u8]) -> Option<GroupExport<'a>> {
        let exports = self.group.images.get(member)?.image().exports();
        let index = exports.lookup(name)?;
        let kind = exports.symbol(index)?.kind;
        Some(self.group.export(member, index, kind))
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

    /// Makes modules of the images of `component`, whose providers are. Gives the constructors that are to run.
    fn finish(&mut self, component: &[usize], providers: &[Vec<usize>]) -> Vec<u64> {
        let mut finishing = Vec::with_capacity(component.len());
        let mut constructors = Vec::new();
        for &member in component {
            let mut published = self.published[member]
                .take()
                .expect("each is finished once");
            let outside = providers[member].iter();
            let outside = outside.filter(|provider| component.binary_search(provider).is_err());
            let outside = outside.filter_map(|&provider| self.held[provider].clone());
            published.keep(outside);
            constructors.append(&mut published.take_constructors());
            finishing.push(published);
        }
        let finishing = finishing.into_iter();
        let held: Vec<_> = match component.len() {
            1 => finishing.map(Published::finish_alone).collect(),
            _ => Cycle::of(finishing, |published, held| published.finish(held)),
        };
        for (&member, held) in component.iter().zip(held) {
            self.held[member] = Some(held);
        }
        constructors
    }
}
