// What the assembly of a module defines.

#include <llvm-c/Core.h>
#include <llvm/IR/Module.h>
#include <llvm/Object/ModuleSymbolTable.h>
#include <llvm/Support/raw_ostream.h>

using namespace llvm;

// The symbols that a module's own assembly defines for others: a line for each, `w` if it is weak and `g` if not, then its name.
// None where the assembly cannot be read. A message, the caller's to free.
extern "C" char *farcall_assembly_symbols(LLVMModuleRef module) {
  std::string text;
  raw_string_ostream lines(text);
  ModuleSymbolTable::CollectAsmSymbols(*unwrap(module), [&](StringRef name, object::BasicSymbolRef::Flags flags) {
    using object::BasicSymbolRef;
    if (flags & BasicSymbolRef::SF_Global && !(flags & BasicSymbolRef::SF_Undefined))
      lines << (flags & BasicSymbolRef::SF_Weak ? 'w' : 'g') << name << '\n';
  });
  return LLVMCreateMessage(text.c_str());
}
