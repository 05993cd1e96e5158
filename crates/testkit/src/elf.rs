//! What an ELF file needs and defines, in the words of `readelf`: an opinion that is not farcall's own.

use std::path::Path;

use crate::{Error, tools};

/// The `DT_NEEDED` entries of an executable or a shared object, in file order: `["libc.so.6"]`.
///
/// # Errors
///
/// When `readelf` is missing or refuses the file.
pub fn needed_libraries(path: &Path) -> Result<Vec<String>, Error> {
    let output = readelf("--dynamic", path)?;
    Ok(output
        .lines()
        .filter(|line| line.contains("(NEEDED)"))
        .filter_map(|line| Some(line.split_once('[')?.1.split_once(']')?.0.to_owned()))
        .collect())
}

/// The names in the symbol tables of an ELF file, static and dynamic, defined and undefined, without symbol versions.
///
/// Empty names are left out; a name that stands in both tables comes twice.
///
/// # Errors
///
/// When `readelf` is missing or refuses the file.
pub fn symbol_names(path: &Path) -> Result<Vec<String>, Error> {
    let output = readelf("--symbols", path)?;
    Ok(output
        .lines()
        .filter_map(symbol_name)
        .map(str::to_owned)
        .collect())
}

/// The name in one line of `readelf --symbols`: `7: 0000000000001139  22 FUNC GLOBAL DEFAULT 14 main@V1`.
fn symbol_name(line: &str) -> Option<&str> {
    let mut columns = line.split_whitespace();
    let number = columns.next()?.strip_suffix(':')?;
    number.parse::<u64>().ok()?;
    let name = columns.nth(6)?;
    Some(name.split('@').next().unwrap_or(name))
}

fn readelf(option: &str, path: &Path) -> Result<String, Error> {
    let output = tools::run(
        "readelf",
        &[option.as_ref(), "--wide".as_ref(), path.as_os_str()],
    )?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_needs_libc_and_defines_itself() {
        crate::require_tools!("readelf");
        let this = std::env::current_exe().unwrap();
        assert!(
            needed_libraries(&this)
                .unwrap()
                .iter()
                .any(|name| name == "libc.so.6")
        );
        let names = symbol_names(&this).unwrap();
        assert!(names.iter().any(|name| name == "main"));
        assert!(names.iter().any(|name| name.contains("farcall_testkit")));
    }

    #[test]
    fn a_text_file_is_refused() {
        crate::require_tools!("readelf");
        let manifest = crate::paths::workspace_root().join("Cargo.toml");
        assert!(needed_libraries(&manifest).unwrap_or_default().is_empty());
    }
}
