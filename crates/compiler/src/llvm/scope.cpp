// What images of one scope have in common, in the code of each.

#include <llvm-c/Core.h>
#include <llvm/IR/InstrTypes.h>
#include <llvm/IR/Module.h>
#include <llvm/IR/Operator.h>

using namespace llvm;

namespace {

constexpr const char *HIDDEN = "farcall.hidden";

// Whether others may define it too, and one definition is as good as another.
bool is_weak(const GlobalValue &global) { return !isa<GlobalIFunc>(global) && (global.hasWeakLinkage() || global.hasLinkOnceLinkage()); }

// Whether assembly inside functions may refer to it directly, as it can only where it is defined.
bool is_in_assembly(const Value &value) {
  return any_of(value.users(), [](const User *user) {
    if (auto *call = dyn_cast<CallBase>(user))
      return call->isInlineAsm();
    return isa<GEPOperator>(user) && isa<Constant>(user) && is_in_assembly(*user);
  });
}

} // namespace

// Has code reach what another image of the scope may define through GOT and PLT: weak definitions, and what is hidden and
// defined elsewhere. A weak definition that is hidden is marked so, because LLVM takes what is hidden for what is near. An alias that is
// hidden has no room for a mark and stays so.
extern "C" void farcall_share_scope(LLVMModuleRef raw) {
  Module &module = *unwrap(raw);
  MDNode *empty = MDNode::get(module.getContext(), {});
  for (GlobalValue &global : module.global_values()) {
    if (global.getName().starts_with("llvm."))
      continue;
    bool is_elsewhere = global.isDeclaration() || global.hasAvailableExternallyLinkage();
    bool is_shared = is_weak(global) && !global.hasProtectedVisibility() && !is_in_assembly(global);
    if (!is_elsewhere && !is_shared)
      continue;
    if (global.hasHiddenVisibility()) {
      auto *object = dyn_cast<GlobalObject>(&global);
      if (!object)
        continue;
      if (is_shared)
        object->setMetadata(HIDDEN, empty);
      global.setVisibility(GlobalValue::DefaultVisibility);
    }
    if (is_shared)
      global.setDSOLocal(false);
  }
}

// Whether a definition is hidden from all but the images of its scope.
extern "C" bool farcall_is_marked_hidden(LLVMValueRef global) {
  auto *object = dyn_cast<GlobalObject>(unwrap(global));
  return object && !object->isDeclaration() && object->hasMetadata(HIDDEN);
}
