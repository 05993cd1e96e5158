// What dividing modules has in common.

#include "parts.h"

#include <llvm/ADT/DenseMap.h>
#include <llvm/IR/Constants.h>
#include <llvm/IR/Module.h>

using namespace llvm;

// The functions and variables that use a value, in their initializers and instructions, through constants.
void farcall::for_each_user(Value &value, function_ref<void(GlobalValue &)> visit) {
  SmallVector<User *, 16> pending(value.users());
  SmallPtrSet<User *, 16> seen;
  while (!pending.empty()) {
    User *user = pending.pop_back_val();
    if (auto *instruction = dyn_cast<Instruction>(user))
      visit(*instruction->getFunction());
    else if (auto *global = dyn_cast<GlobalValue>(user))
      visit(*global);
    else if (seen.insert(user).second)
      append_range(pending, user->users());
  }
}

// What the linker or LLVM wants in one object.
EquivalenceClasses<GlobalValue *> farcall::inseparable(Module &module) {
  EquivalenceClasses<GlobalValue *> groups;
  DenseMap<Comdat *, GlobalValue *> comdats;
  for (GlobalValue &global : module.global_values()) {
    groups.insert(&global);
    if (Comdat *comdat = const_cast<Comdat *>(global.getComdat()))
      groups.unionSets(comdats.try_emplace(comdat, &global).first->second, &global);
    // An alias and what finds an indirect function.
    if (!isa<GlobalObject>(global) || isa<GlobalIFunc>(global)) {
      auto *target = cast<Constant>(global.getOperand(0))->stripPointerCasts();
      if (const GlobalObject *object = global.getAliaseeObject())
        groups.unionSets(const_cast<GlobalObject *>(object), &global);
      if (auto *resolver = dyn_cast<GlobalValue>(target))
        groups.unionSets(resolver, &global);
    }
    auto *object = dyn_cast<GlobalObject>(&global);
    if (MDNode *associated = object ? object->getMetadata(LLVMContext::MD_associated) : nullptr)
      if (auto *with = dyn_cast_or_null<ValueAsMetadata>(associated->getOperand(0)))
        if (auto *other = dyn_cast<GlobalValue>(with->getValue()->stripPointerCasts()))
          groups.unionSets(other, &global);
    // A constructor is run only where the variable that it goes with is defined.
    if (!global.use_empty())
      for_each_user(global, [&](GlobalValue &user) {
        if (user.getName() == "llvm.global_ctors" || user.getName() == "llvm.global_dtors")
          groups.unionSets(&user, &global);
      });
  }
  for (Function &function : module)
    for (BasicBlock &block : function)
      if (BlockAddress *address = BlockAddress::lookup(&block))
        for_each_user(*address, [&](GlobalValue &user) { groups.unionSets(&function, &user); });
  return groups;
}

// Makes a definition one of another part.
void farcall::undefine(GlobalValue &global) {
  if (auto *function = dyn_cast<Function>(&global)) {
    function->deleteBody();
    function->setComdat(nullptr);
  } else if (auto *variable = dyn_cast<GlobalVariable>(&global)) {
    variable->setInitializer(nullptr);
    variable->setLinkage(GlobalValue::ExternalLinkage);
    variable->setComdat(nullptr);
  } else {
    Module &module = *global.getParent();
    GlobalValue *fresh;
    if (auto *type = dyn_cast<FunctionType>(global.getValueType()))
      fresh = Function::Create(type, GlobalValue::ExternalLinkage, global.getAddressSpace(), "", &module);
    else
      fresh = new GlobalVariable(module, global.getValueType(), false, GlobalValue::ExternalLinkage, nullptr, "", nullptr,
                                 global.getThreadLocalMode(), global.getAddressSpace());
    fresh->setVisibility(global.getVisibility());
    fresh->setDSOLocal(global.isDSOLocal());
    fresh->takeName(&global);
    global.replaceAllUsesWith(fresh);
    global.eraseFromParent();
  }
}
