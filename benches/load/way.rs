//! The contenders, and where each takes the code from.

/// A contender and where it takes the code from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// farcall, an image's bytes.
    Farcall,
    /// farcall, an image's file.
    FarcallFile,
    /// `dlopen` of a file.
    Dlopen,
    /// `dlopen` of a memfd that the bytes were written to.
    Memfd,
    /// LLJIT with JITLink, an object's bytes.
    JitLink,
    /// The crate `elf_loader`, bytes.
    ElfLoader,
    /// The crate `elf_loader`, a file.
    ElfLoaderFile,
}

impl Way {
    pub(crate) const ALL: [Self; 7] = [
        Self::Farcall,
        Self::FarcallFile,
        Self::Dlopen,
        Self::Memfd,
        Self::JitLink,
        Self::ElfLoader,
        Self::ElfLoaderFile,
    ];

    /// Its name in the table, the chart and the file of figures, and that its process is started with.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Farcall => "farcall",
            Self::FarcallFile => "farcall, file",
            Self::Dlopen => "dlopen, file",
            Self::Memfd => "dlopen, memfd",
            Self::JitLink => "JITLink",
            Self::ElfLoader => "elf_loader",
            Self::ElfLoaderFile => "elf_loader, file",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|each| each.name() == name)
    }

    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::Farcall | Self::FarcallFile)
    }

    /// Whether it takes the code from a file.
    pub(crate) fn is_from_file(self) -> bool {
        matches!(self, Self::FarcallFile | Self::Dlopen | Self::ElfLoaderFile)
    }
}
