//! Names as their source language writes them. Fully static programs have none without the feature `demangle`: they
//! are to be small.

/// The name of a symbol as C++ or Rust writes it; `None` when it is not mangled.
#[cfg(any(feature = "demangle", not(target_feature = "crt-static")))]
#[must_use]
pub fn demangle(name: &str) -> Option<String> {
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        return Some(format!("{rust:#}"));
    }
    if !name.starts_with("_Z") {
        return None;
    }
    cpp_demangle::Symbol::new(name).ok()?.demangle().ok()
}

/// `None`: this program has no names of C++ and Rust.
#[cfg(not(any(feature = "demangle", not(target_feature = "crt-static"))))]
#[must_use]
pub fn demangle(_name: &str) -> Option<String> {
    None
}

/// A type in C++ from the mangled name in its `std::type_info`.
pub(crate) fn demangle_type(name: &str) -> String {
    let demangled = demangle(&format!("_ZTI{name}"));
    let own = demangled
        .as_deref()
        .and_then(|name| name.strip_prefix("typeinfo for "));
    own.unwrap_or(name).to_owned()
}

#[cfg(all(test, any(feature = "demangle", not(target_feature = "crt-static"))))]
mod tests {
    use super::{demangle, demangle_type};

    #[test]
    fn types_of_exceptions() {
        assert_eq!(demangle_type("St13runtime_error"), "std::runtime_error");
        assert_eq!(demangle_type("i"), "int");
        assert_eq!(demangle_type("?"), "?");
    }

    #[test]
    #[cfg_attr(
        miri,
        ignore = "cpp_demangle compares addresses of vtables, of which Miri has several"
    )]
    fn names_of_both_languages() {
        assert_eq!(demangle("_Z3addid").as_deref(), Some("add(int, double)"));
        assert_eq!(
            demangle("_ZN3std5alloc17h0123456789abcdefE").as_deref(),
            Some("std::alloc")
        );
        assert_eq!(demangle("printf"), None);
        assert_eq!(demangle("_Z"), None);
    }
}
