//! What is compiled.

use std::fs;
use std::path::{Path, PathBuf};

use farcall_benches::{N_TINY, tiny_file, tiny_ir};
use farcall_compiler::inkwell::context::Context;
use farcall_compiler::inkwell::memory_buffer::MemoryBuffer;
use farcall_testkit::{Level, Program, real};

/// What inputs are called.
pub(crate) const NAME: &str = "module";

/// The triple and the layout that front ends write into IR, so that nobody has to add them.
const TARGET: &str = "target triple = \"x86_64-unknown-linux-gnu\"\n\
    target datalayout = \"e-m:e-p270:32:32-p271:32:32-p272:64:64-i64:64-i128:128-f80:128-n8:16:32:64-S128\"\n";

/// Work for Lua that allocates, compares, concatenates and calls.
const SCRIPT: &str = "
local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end
local sum = fib(33)
local state, list = 42, {}
for i = 1, 400000 do state = (state * 1103515245 + 12345) % 2147483648; list[i] = state end
table.sort(list)
local words = {}
for i = 1, 200000 do words[#words + 1] = (list[i] .. ':' .. i):upper():sub(2, -2) end
local text = table.concat(words, ' ')
for word in text:gmatch('%d+') do sum = sum + #word end
print(sum)
";

/// Files.
#[derive(Debug)]
pub(crate) struct Artefacts {
    folder: tempfile::TempDir,
}

impl Artefacts {
    pub(crate) fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..N_TINY {
            let ir = format!("{TARGET}{}", tiny_ir(number));
            let context = Context::create();
            let text = MemoryBuffer::create_from_memory_range_copy(ir.as_bytes(), "tiny");
            let module = context.create_module_from_ir(text).unwrap();
            let bitcode = module.write_bitcode_to_memory();
            fs::write(folder.path().join(tiny_file(number)), bitcode.as_slice()).unwrap();
        }
        fs::write(folder.path().join("script.lua"), SCRIPT).unwrap();
        Self { folder }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn tiny(&self) -> PathBuf {
        self.folder().join(tiny_file(0))
    }

    pub(crate) fn script(&self) -> PathBuf {
        self.folder().join("script.lua")
    }

    /// A folder for a cache that does not exist yet.
    pub(crate) fn cache(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }
}

/// SQLite's IR that the passes of `-O2` have been over.
pub(crate) fn optimized_sqlite() -> PathBuf {
    real::sqlite()
        .unwrap()
        .bitcode(Level::O2)
        .unwrap()
        .remove(0)
}

/// SQLite's IR that these passes are yet to go over.
pub(crate) fn sqlite() -> PathBuf {
    for_passes(real::sqlite().unwrap()).remove(0)
}

/// A program's IR as clang gives it to the passes of `-O2`.
pub(crate) fn for_passes(program: Program) -> Vec<PathBuf> {
    let program = program.flag("-Xclang").flag("-disable-llvm-passes");
    program.bitcode(Level::O2).unwrap()
}
