// A module in parts that become images of their own, each when it is needed: the variables in one, functions in others.

#include "parts.h"

#include <llvm-c/Core.h>
#include <llvm-c/Error.h>
#include <llvm/ADT/DenseMap.h>
#include <llvm/Bitcode/BitcodeReader.h>
#include <llvm/IR/Constants.h>
#include <llvm/IR/InstrTypes.h>
#include <llvm/IR/Module.h>
#include <llvm/Support/MemoryBuffer.h>

using namespace llvm;
using namespace farcall;

namespace {

// Where variables are, constructors, and what must be with them.
constexpr uint32_t DATA = 0;

// Assembly may define and use what no one can see, and a group of sections may be known by the name of a local symbol.
bool is_divisible(const Module &module) {
  auto names_group = [](const GlobalValue &global) {
    return global.hasLocalLinkage() && global.hasComdat() && global.getComdat()->getName() == global.getName();
  };
  return none_of(module.global_values(), names_group) && module.getModuleInlineAsm().empty();
}

bool is_intrinsic(const GlobalValue &global) { return global.getName().starts_with("llvm."); }

bool has_body(const GlobalValue &global) { return !global.isDeclaration() && !global.hasAvailableExternallyLinkage(); }

// Whether LLVM itself reads it, as it does lists of constructors.
bool is_of_llvm(const User &user) {
  if (const auto *global = dyn_cast<GlobalValue>(&user))
    return is_intrinsic(*global);
  return isa<Constant>(user) && any_of(user.users(), [](const User *next) { return is_of_llvm(*next); });
}

// Whether a use of a function in its own part takes its address for others to see.
bool takes_address(const Use &use) {
  const User *user = use.getUser();
  if (const auto *call = dyn_cast<CallBase>(user))
    return !call->isCallee(&use);
  // What an alias, an indirect function or a function (its personality) is made of has to be a definition.
  if (isa<BlockAddress>(user) || isa<DSOLocalEquivalent>(user) || isa<NoCFIValue>(user) || isa<GlobalAlias>(user) || isa<GlobalIFunc>(user) ||
      isa<Function>(user))
    return false;
  return !is_of_llvm(*user);
}

} // namespace

// Divides a module: `groups` has a number from 1 for each of its functions, in their order, and functions of one number are to be
// one part. Writes for each global, in the module's order, functions, variables, aliases and indirect functions, the
// number of its part, and whether others than the module's own parts see it. All that is left of the module's names is visible to its
// parts, and nothing is dropped because nobody uses it.
extern "C" void farcall_divide(LLVMModuleRef raw, const uint32_t *groups, uint32_t *parts, bool *exported) {
  Module &module = *unwrap(raw);
  if (NamedMDNode *flags = module.getNamedMetadata("llvm.module.flags")) {
    // Edges of the call graph name all functions.
    SmallVector<MDNode *, 8> kept;
    for (MDNode *flag : flags->operands())
      if (auto *key = dyn_cast<MDString>(flag->getOperand(1)); !key || key->getString() != "CG Profile")
        kept.push_back(flag);
    flags->clearOperands();
    for (MDNode *flag : kept)
      flags->addOperand(flag);
  }
  EquivalenceClasses<GlobalValue *> classes = inseparable(module);
  DenseMap<GlobalValue *, uint32_t> placed;
  DenseMap<const GlobalValue *, uint32_t> group_of;
  for (Function &function : module)
    group_of[&function] = *groups++;
  auto leader = [&](GlobalValue &global) { return classes.getLeaderValue(&global); };
  auto is_data = [](const GlobalValue &global) { return isa<GlobalIFunc>(global) || (is_intrinsic(global) && isa<GlobalVariable>(global)); };
  for (GlobalValue &global : module.global_values())
    if (is_data(global))
      placed[leader(global)] = DATA;
  if (is_divisible(module))
    for (Function &function : module)
      if (has_body(function))
        placed.try_emplace(leader(function), group_of.lookup(&function));
  auto part = [&](GlobalValue &global) { return placed.lookup(leader(global)); };

  for (GlobalValue &global : module.global_values()) {
    *parts++ = part(global);
    bool is_visible = !global.hasLocalLinkage() && !global.hasHiddenVisibility();
    *exported++ = is_visible;
    if (!has_body(global) || is_intrinsic(global))
      continue;
    if (global.hasLinkOnceLinkage())
      global.setLinkage(global.hasLinkOnceODRLinkage() ? GlobalValue::WeakODRLinkage : GlobalValue::WeakAnyLinkage);
    if (is_visible)
      continue;
    bool is_shared = false;
    for_each_user(global, [&](GlobalValue &user) { is_shared |= part(user) != part(global); });
    if (!is_shared)
      continue;
    if (global.hasLocalLinkage()) {
      // Not by its own name: LLVM knows what functions of some names do.
      global.setName(global.getName() + ".local");
      global.setLinkage(GlobalValue::ExternalLinkage);
    }
    global.setVisibility(GlobalValue::DefaultVisibility);
  }
}

// Reads one part of a module that was divided, from the bitcode of all of it, which must outlive the call. In it `f` is the name
// of a function's code, and `f` with the suffix of its address, which is declared. Null when LLVM cannot read it.
extern "C" LLVMModuleRef farcall_read_division(LLVMContextRef context, const char *bitcode, size_t length, const uint32_t *parts,
                                               uint32_t number, const char *suffix) {
  MemoryBufferRef buffer(StringRef(bitcode, length), "ir");
  auto failed = [](Error error) -> LLVMModuleRef {
    LLVMConsumeError(wrap(std::move(error)));
    return nullptr;
  };
  Expected<std::unique_ptr<Module>> read = getLazyBitcodeModule(buffer, *unwrap(context));
  if (!read)
    return failed(read.takeError());
  std::unique_ptr<Module> module = std::move(*read);
  SmallVector<GlobalValue *, 0> elsewhere;
  SmallVector<Function *, 0> inlined;
  SmallVector<Function *, 0> own;
  for (GlobalValue &global : module->global_values()) {
    bool is_here = *parts++ == number;
    auto *function = dyn_cast<Function>(&global);
    if (is_here && function && has_body(*function))
      own.push_back(function);
    if (is_here || global.isDeclaration() || global.hasAvailableExternallyLinkage())
      continue;
    if (function && function->hasFnAttribute(Attribute::AlwaysInline))
      inlined.push_back(function);
    else
      elsewhere.push_back(&global);
  }
  auto leave = [](GlobalValue &global) {
    if (auto *object = dyn_cast<GlobalObject>(&global))
      object->clearMetadata();
    undefine(global);
  };
  // From the back: aliases of a function while it is still one.
  for (GlobalValue *global : reverse(elsewhere))
    leave(*global);
  for (Function *function : own)
    if (Error error = function->materialize())
      return failed(std::move(error));
  // What has to be inlined comes along, and what that has to.
  for (bool is_new = true; is_new;) {
    is_new = false;
    for (Function *&function : inlined)
      if (function && !function->use_empty()) {
        if (Error error = function->materialize())
          return failed(std::move(error));
        function->setComdat(nullptr);
        function->setLinkage(GlobalValue::AvailableExternallyLinkage);
        function = nullptr;
        is_new = true;
      }
  }
  for (Function *function : inlined)
    if (function)
      leave(*function);
  if (number != DATA) {
    module->setModuleInlineAsm("");
    for (const char *list : {"llvm.used", "llvm.compiler.used", "llvm.global_ctors", "llvm.global_dtors"})
      if (GlobalVariable *variable = module->getNamedGlobal(list); variable && variable->isDeclaration())
        variable->eraseFromParent();
  }
  if (Error error = module->materializeAll())
    return failed(std::move(error));
  for (Function *function : own) {
    if (function->hasLocalLinkage() || none_of(function->uses(), takes_address))
      continue;
    Function *address = Function::Create(function->getFunctionType(), GlobalValue::ExternalLinkage, function->getAddressSpace(),
                                         function->getName() + suffix, module.get());
    address->setCallingConv(function->getCallingConv());
    address->setAttributes(function->getAttributes());
    address->removeFnAttr(Attribute::AlwaysInline);
    address->removeFnAttr(Attribute::OptimizeNone);
    function->replaceUsesWithIf(address, [](Use &use) { return takes_address(use); });
  }
  return wrap(module.release());
}
