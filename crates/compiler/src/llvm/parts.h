// What dividing modules has in common.

#pragma once

#include <llvm/ADT/EquivalenceClasses.h>
#include <llvm/ADT/STLExtras.h>
#include <llvm/IR/GlobalValue.h>

namespace farcall {

// Visits the functions and variables that use a value, in their initializers and instructions, through constants.
void for_each_user(llvm::Value &value, llvm::function_ref<void(llvm::GlobalValue &)> visit);

// What the linker or LLVM wants in one object.
llvm::EquivalenceClasses<llvm::GlobalValue *> inseparable(llvm::Module &module);

// Makes a definition one of another part.
void undefine(llvm::GlobalValue &global);

} // namespace farcall
