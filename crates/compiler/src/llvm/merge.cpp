// Modules that become one.

#include <llvm-c/Core.h>
#include <llvm/ADT/STLExtras.h>
#include <llvm/IR/Module.h>
#include <llvm/Linker/Linker.h>

using namespace llvm;

namespace {

// Assembly sees names that are kept to a module, and two modules may use the same ones. A group that such a name stands for
// is another group in each module.
bool is_mergeable(const Module &module) {
  auto has_group_of_its_own = [](const GlobalValue &global) { return global.hasLocalLinkage() && global.hasComdat(); };
  return module.getModuleInlineAsm().empty() && none_of(module.global_values(), has_group_of_its_own);
}

} // namespace

// Merges modules of one context, machine and layout into the first of them. Takes all of them, whether it can be done or not. Null when it
// cannot; why not is in the context's diagnostics.
extern "C" LLVMModuleRef farcall_merge(const LLVMModuleRef *raw, size_t count) {
  SmallVector<std::unique_ptr<Module>> modules;
  for (size_t at = 0; at != count; at++)
    modules.emplace_back(unwrap(raw[at]));
  if (modules.empty() || !all_of(modules, [](const auto &module) { return is_mergeable(*module); }))
    return nullptr;
  Linker linker(*modules.front());
  for (auto &module : drop_begin(modules))
    if (linker.linkInModule(std::move(module)))
      return nullptr;
  return wrap(modules.front().release());
}
