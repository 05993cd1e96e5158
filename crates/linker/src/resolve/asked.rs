//! Names that are to be exported, and are not.

use farcall_image::nearest;

use super::{Definition, Global, Resolved};
use crate::ExportList;
use crate::error::{Error, NotExported};
use crate::exports::demangle;
use crate::input::{Archive, Visibility};

/// What of the list has to be exported, and is not, in its order.
pub(super) fn missing(
    resolved: &Resolved<'_>,
    archives: &[Archive<'_>],
    list: &ExportList,
) -> Vec<Error> {
    let defined = || resolved.globals.iter().filter(|global| is_defined(global));
    let mut errors = Vec::new();
    for (name, is_meant) in list.asked() {
        if defined().any(|global| is_exported(global) && is_meant(global.name)) {
            continue;
        }
        errors.push(Error::NotExported {
            name: name.to_owned(),
            reason: reason(resolved, archives, name, is_meant),
        });
    }
    errors
}

fn reason(
    resolved: &Resolved<'_>,
    archives: &[Archive<'_>],
    name: &str,
    is_meant: impl Fn(&[u8]) -> bool,
) -> NotExported {
    let mut defined = resolved.globals.iter().filter(|global| is_defined(global));
    if let Some(hidden) = defined.clone().find(|global| is_meant(global.name)) {
        let object = match hidden.definition {
            Definition::Symbol { object, .. } => resolved.objects[object].name.clone(),
            Definition::Undefined | Definition::Linker(_) => "the linker".to_owned(),
        };
        return NotExported::Hidden { object };
    }
    for object in &resolved.objects {
        let mut locals = object.symbols.iter().take(object.first_global);
        if locals.any(|symbol| !symbol.name.is_empty() && is_meant(symbol.name)) {
            let object = object.name.clone();
            return NotExported::Local { object };
        }
    }
    let of_archive = |archive: &&Archive<'_>| {
        let mut names = archive.definitions.iter();
        names.any(|(defined, _)| is_meant(defined.name))
    };
    let mut inputs = archives.iter().filter(|archive| !archive.is_library);
    if let Some(archive) = inputs.find(of_archive) {
        let archive = archive.name.clone();
        return NotExported::NotLinked { archive };
    }
    // C++ programs call `_Z3addii` add, and so may who asks for it.
    let is_called_so = |global: &&Global<'_>| {
        let called = demangle(global.name);
        let rest = called.strip_prefix(name.as_bytes());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"("))
    };
    let called: Vec<_> = (defined.clone().filter(is_called_so).take(3))
        .map(|global| String::from_utf8_lossy(global.name).into_owned())
        .collect();
    let nearest = match called.is_empty() {
        true => nearest(
            name.as_bytes(),
            defined
                .by_ref()
                .filter(|global| !global.name.is_empty())
                .map(|global| global.name),
        ),
        false => called,
    };
    NotExported::Undefined { nearest }
}

fn is_defined(global: &Global<'_>) -> bool {
    global.definition != Definition::Undefined
}

fn is_exported(global: &Global<'_>) -> bool {
    global.visibility <= Visibility::Protected
}
