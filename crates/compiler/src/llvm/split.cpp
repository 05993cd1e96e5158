// A module in parts, for which code is generated at the same time.

#include "parts.h"

#include <llvm-c/Core.h>
#include <llvm-c/Error.h>
#include <llvm/ADT/DenseMap.h>
#include <llvm/ADT/STLExtras.h>
#include <llvm/Bitcode/BitcodeReader.h>
#include <llvm/Bitcode/BitcodeWriter.h>
#include <llvm/IR/Module.h>
#include <llvm/Support/MemoryBuffer.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/Transforms/Utils/ModuleUtils.h>

using namespace llvm;
using namespace farcall;

namespace {

// Whether parts would mean the same as the whole: assembly may define and use what no one can see, retained variables are
// marked where they are defined, debug information is of a whole unit, and edges of the call graph name all functions.
bool is_separable(const Module &module) {
  // A group is known by the name of a symbol.
  auto names_group = [](const GlobalValue &global) {
    return global.hasLocalLinkage() && global.hasComdat() && global.getComdat()->getName() == global.getName();
  };
  return none_of(module.global_values(), names_group) && module.getModuleInlineAsm().empty() && !module.getNamedGlobal("llvm.used") &&
         module.debug_compile_units().empty() && !module.getModuleFlag("CG Profile");
}

} // namespace

// Divides a module into parts of at least `size` instructions and at most `most` of them. What more than one part refers to
// gets a name that no other module has. Writes a part's number for each global, in the module's order, functions,
// variables, aliases and indirect functions. How many parts there are: 1 when the module stays as it is.
extern "C" unsigned farcall_split(LLVMModuleRef raw, size_t size, unsigned most, uint16_t *parts) {
  Module &module = *unwrap(raw);
  // Counting takes a walk over all of them.
  SmallVector<size_t, 0> counts;
  size_t weight = 0;
  for (Function &function : module)
    weight += counts.emplace_back(function.getInstructionCount());
  unsigned n_parts = std::min<size_t>(weight / size, most);
  if (n_parts < 2 || !is_separable(module))
    return 1;
  // A hash of the names that it alone can define.
  std::string id = getUniqueModuleId(&module);
  if (id.empty())
    return 1;

  EquivalenceClasses<GlobalValue *> groups = inseparable(module);
  DenseMap<GlobalValue *, unsigned> placed;
  auto place = [&](GlobalValue &global, unsigned part) { placed.try_emplace(groups.getLeaderValue(&global), part); };
  // Neighbours stay together: most of what they refer to is near.
  size_t before = 0;
  for (auto [function, count] : zip_equal(module, counts)) {
    if (!function.isDeclaration())
      place(function, before * n_parts / weight);
    before += count;
  }
  // What is no function goes where it is used first.
  for (GlobalValue &global : module.global_values())
    for_each_user(global, [&](GlobalValue &user) {
      if (!isa<Function>(global))
        if (auto at = placed.find(groups.getLeaderValue(&user)); at != placed.end())
          place(global, at->second);
    });
  auto part = [&](GlobalValue &global) { return placed.lookup(groups.getLeaderValue(&global)); };

  for (GlobalValue &global : module.global_values()) {
    *parts++ = part(global);
    if (!global.hasLocalLinkage())
      continue;
    bool is_shared = false;
    for_each_user(global, [&](GlobalValue &user) { is_shared |= part(user) != part(global); });
    if (is_shared) {
      global.setName(global.getName() + id);
      global.setLinkage(GlobalValue::ExternalLinkage);
      global.setVisibility(GlobalValue::HiddenVisibility);
    }
  }
  return n_parts;
}

// Reads one part of a module that was divided, from the bitcode of all of it, which must outlive the call. Null, which is
// not to be expected, when that cannot be read.
extern "C" LLVMModuleRef farcall_read_part(LLVMContextRef context, const char *bitcode, size_t length, const uint16_t *parts,
                                           uint16_t number) {
  MemoryBufferRef buffer(StringRef(bitcode, length), "ir");
  Expected<std::unique_ptr<Module>> read = getLazyBitcodeModule(buffer, *unwrap(context));
  if (!read) {
    LLVMConsumeError(wrap(read.takeError()));
    return nullptr;
  }
  std::unique_ptr<Module> module = std::move(*read);
  SmallVector<GlobalValue *, 0> elsewhere;
  for (GlobalValue &global : module->global_values()) {
    if (*parts++ != number && !global.isDeclaration())
      elsewhere.push_back(&global);
  }
  // From the back: aliases of a function while it is still one.
  for (GlobalValue *global : reverse(elsewhere))
    undefine(*global);
  if (Error error = module->materializeAll()) {
    LLVMConsumeError(wrap(std::move(error)));
    return nullptr;
  }
  return wrap(module.release());
}
