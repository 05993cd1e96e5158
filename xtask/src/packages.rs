//! What building and testing farcall needs from the system.
//!
//! To add a package: add a row to [`PACKAGES`].

/// A package of Debian and Ubuntu.
#[derive(Debug)]
pub(crate) struct Package {
    /// Its name there.
    pub(crate) name: &'static str,
    /// A program that tells, on other systems, whether what it contains is installed. Libraries have none.
    pub(crate) program: Option<&'static str>,
    /// What farcall needs it for.
    pub(crate) why: &'static str,
}

/// All packages, what is built with first, what only tests need last.
pub(crate) const PACKAGES: &[Package] = &[
    Package {
        name: "gcc",
        program: Some("gcc"),
        why: "linking of Rust programs; objects that tests link and load",
    },
    Package {
        name: "g++",
        program: Some("g++"),
        why: "the C++ standard library; objects that tests link and load",
    },
    Package {
        name: "llvm-22-dev",
        program: Some("llvm-config-22"),
        why: "the compiler: headers and libraries of LLVM 22",
    },
    Package {
        name: "libpolly-22-dev",
        program: None,
        why: "a library that llvm-config-22 names for linking",
    },
    Package {
        name: "libzstd-dev",
        program: None,
        why: "a library that llvm-config-22 names for linking",
    },
    Package {
        name: "zlib1g-dev",
        program: None,
        why: "a library that llvm-config-22 names for linking",
    },
    Package {
        name: "llvm-22",
        program: Some("llvm-dwarfdump-22"),
        why: "llvm-dwarfdump, which checks debug information in tests",
    },
    Package {
        name: "clang-22",
        program: Some("clang-22"),
        why: "C and C++ to bitcode and objects, in tests and the demo",
    },
    Package {
        name: "libclang-rt-22-dev",
        program: None,
        why: "the run-time library of programs that clang-22 builds",
    },
    Package {
        name: "lld-22",
        program: Some("ld.lld-22"),
        why: "a second linker, whose results tests compare with",
    },
    Package {
        name: "binutils",
        program: Some("readelf"),
        why: "readelf and objdump, which check images in tests",
    },
    Package {
        name: "elfutils",
        program: Some("eu-elflint"),
        why: "eu-elflint, which checks images in tests",
    },
    Package {
        name: "gcc-aarch64-linux-gnu",
        program: Some("aarch64-linux-gnu-gcc"),
        why: "C to objects for AArch64, which tests link and run",
    },
    Package {
        name: "g++-aarch64-linux-gnu",
        program: Some("aarch64-linux-gnu-g++"),
        why: "the same of C++",
    },
    Package {
        name: "qemu-user-static",
        program: Some("qemu-aarch64-static"),
        why: "runs them",
    },
    Package {
        name: "iproute2",
        program: Some("ip"),
        why: "ip, which joins network namespaces, in tests and the demo of machines",
    },
    Package {
        name: "gdb",
        program: Some("gdb"),
        why: "the debugger that tests drive",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_package_is_listed_once() {
        for (index, package) in PACKAGES.iter().enumerate() {
            assert!(
                PACKAGES[..index]
                    .iter()
                    .all(|other| other.name != package.name),
                "{}",
                package.name
            );
        }
    }
}
