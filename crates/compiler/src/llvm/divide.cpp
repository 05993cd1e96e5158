// A module in parts that become images of their own, each when it is needed: the variables in one, functions in others.

#include "parts.h"

#include <llvm-c/Core.h>
#include <llvm/ADT/DenseMap.h>
#include <llvm/ADT/SmallString.h>
#include <llvm/Bitcode/BitcodeWriter.h>
#include <llvm/IR/Constants.h>
#include <llvm/IR/DebugInfoMetadata.h>
#include <llvm/IR/InstrTypes.h>
#include <llvm/IR/Module.h>
#include <llvm/Transforms/Utils/Cloning.h>
#include <llvm/Transforms/Utils/ValueMapper.h>

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

namespace {

using Emit = void (*)(void *, uint32_t, const char *, size_t);

// Moves a part's definitions into a module of its own, where all else is declared.
class Extraction final : public ValueMaterializer {
public:
  explicit Extraction(Module &from) : from(from), to(std::make_unique<Module>("", from.getContext())) {
    to->setTargetTriple(from.getTargetTriple());
    to->setDataLayout(from.getDataLayout());
    to->setSourceFileName(from.getSourceFileName());
    if (NamedMDNode *flags = from.getModuleFlagsMetadata())
      for (MDNode *flag : flags->operands())
        to->getOrInsertModuleFlagsMetadata()->addOperand(flag);
  }

  // The module with these definitions. They are declarations where they were.
  Module &move(ArrayRef<GlobalValue *> globals) {
    for (GlobalValue *global : globals)
      map[global] = shell(*global);
    for (GlobalValue *global : globals)
      fill(*global, *cast<GlobalValue>(map[global]));
    // What has to be inlined comes along, and what that has to.
    while (!inlined.empty()) {
      Function *function = inlined.pop_back_val();
      copy_body(*function, *cast<Function>(map[function]));
    }
    return *to;
  }

  // What a global of the module is in the part, when something refers to it.
  Value *materialize(Value *value) override {
    auto *global = dyn_cast<GlobalValue>(value);
    if (!global || global->getParent() != &from)
      return nullptr;
    auto *function = dyn_cast<Function>(global);
    bool comes_along = function && has_body(*function) && !function->empty() && function->hasFnAttribute(Attribute::AlwaysInline);
    GlobalValue *declared = declaration(*global);
    if (comes_along) {
      declared->setLinkage(GlobalValue::AvailableExternallyLinkage);
      inlined.push_back(function);
    }
    return declared;
  }

private:
  Module &from;
  std::unique_ptr<Module> to;
  ValueToValueMapTy map;
  SmallVector<Function *, 0> inlined;

  GlobalValue *declaration(const GlobalValue &global) {
    GlobalValue *declared;
    auto linkage = global.hasExternalWeakLinkage() ? GlobalValue::ExternalWeakLinkage : GlobalValue::ExternalLinkage;
    if (auto *type = dyn_cast<FunctionType>(global.getValueType())) {
      auto *function = Function::Create(type, linkage, global.getAddressSpace(), global.getName(), to.get());
      if (auto *source = dyn_cast<Function>(&global)) {
        function->copyAttributesFrom(source);
        function->setPersonalityFn(nullptr);
        function->setPrefixData(nullptr);
        function->setPrologueData(nullptr);
        function->clearGC();
      }
      declared = function;
    } else {
      auto *variable = new GlobalVariable(*to, global.getValueType(), false, linkage, nullptr, global.getName(), nullptr,
                                          global.getThreadLocalMode(), global.getAddressSpace());
      if (auto *source = dyn_cast<GlobalVariable>(&global))
        variable->copyAttributesFrom(source), variable->setConstant(source->isConstant());
      declared = variable;
    }
    declared->setVisibility(global.getVisibility());
    declared->setDSOLocal(global.isDSOLocal());
    return declared;
  }

  GlobalValue *shell(const GlobalValue &global) {
    if (auto *alias = dyn_cast<GlobalAlias>(&global)) {
      auto *made = GlobalAlias::create(alias->getValueType(), alias->getAddressSpace(), alias->getLinkage(), alias->getName(), to.get());
      made->copyAttributesFrom(alias);
      return made;
    }
    GlobalValue *made = declaration(global);
    made->setLinkage(global.getLinkage());
    if (auto *object = dyn_cast<GlobalObject>(&global); object && object->hasComdat()) {
      Comdat *comdat = to->getOrInsertComdat(object->getComdat()->getName());
      comdat->setSelectionKind(object->getComdat()->getSelectionKind());
      cast<GlobalObject>(made)->setComdat(comdat);
    }
    return made;
  }

  Constant *mapped(Constant *constant) { return MapValue(constant, map, FLAGS, nullptr, this); }

  void fill(GlobalValue &old, GlobalValue &made) {
    if (auto *function = dyn_cast<Function>(&old)) {
      auto &fresh = cast<Function>(made);
      if (function->hasFnAttribute(Attribute::AlwaysInline))
        return copy_body(*function, fresh);
      fresh.copyAttributesFrom(function);
      fresh.copyMetadata(function, 0);
      fresh.stealArgumentListFrom(*function);
      fresh.splice(fresh.end(), function);
      RemapFunction(fresh, map, FLAGS, nullptr, this);
      if (DISubprogram *subprogram = fresh.getSubprogram())
        to->getOrInsertNamedMetadata("llvm.dbg.cu")->addOperand(subprogram->getUnit());
    } else if (auto *variable = dyn_cast<GlobalVariable>(&old)) {
      auto &fresh = cast<GlobalVariable>(made);
      fresh.copyMetadata(variable, 0);
      fresh.setInitializer(mapped(variable->getInitializer()));
      fresh.setExternallyInitialized(variable->isExternallyInitialized());
    } else {
      cast<GlobalAlias>(made).setAliasee(mapped(cast<GlobalAlias>(old).getAliasee()));
    }
  }

  // For what more than one part has.
  void copy_body(Function &old, Function &made) {
    for (auto [argument, fresh] : zip(old.args(), made.args())) {
      fresh.setName(argument.getName());
      map[&argument] = &fresh;
    }
    auto linkage = made.getLinkage();
    SmallVector<ReturnInst *, 4> returns;
    CloneFunctionInto(&made, &old, map, CloneFunctionChangeType::DifferentModule, returns, "", nullptr, nullptr, this);
    made.setLinkage(linkage);
    if (made.hasAvailableExternallyLinkage())
      made.setComdat(nullptr);
  }

  static constexpr RemapFlags FLAGS = RF_ReuseAndMutateDistinctMDs;
};

// Has functions of a part have the address that others know.
void publish_addresses(Module &part, const char *suffix) {
  SmallVector<Function *, 0> functions;
  for (Function &function : part)
    if (has_body(function) && !function.hasLocalLinkage() && any_of(function.uses(), takes_address))
      functions.push_back(&function);
  for (Function *function : functions) {
    Function *address = Function::Create(function->getFunctionType(), GlobalValue::ExternalLinkage, function->getAddressSpace(),
                                         function->getName() + suffix, &part);
    address->setCallingConv(function->getCallingConv());
    address->setAttributes(function->getAttributes());
    address->removeFnAttr(Attribute::AlwaysInline);
    address->removeFnAttr(Attribute::OptimizeNone);
    function->replaceUsesWithIf(address, [](Use &use) { return takes_address(use); });
  }
}

void write(const Module &part, uint32_t number, void *sink, Emit emit) {
  SmallString<0> bytes;
  BitcodeWriter writer(bytes);
  writer.writeModule(part);
  writer.writeStrtab();
  emit(sink, number, bytes.data(), bytes.size());
}

} // namespace

// Writes each part of a module that was divided, by the numbers that that has written, as bitcode; `emit` is given its number and
// bytes. In a part `f` is the name of a function's code, and `f` with the suffix of its address, which is declared. What is left
// of the module is part 0.
extern "C" void farcall_extract(LLVMModuleRef raw, const uint32_t *parts, uint32_t n_parts, const char *suffix, void *sink, Emit emit) {
  Module &module = *unwrap(raw);
  std::vector<SmallVector<GlobalValue *, 1>> own(n_parts);
  for (GlobalValue &global : module.global_values())
    if (uint32_t part = *parts++; has_body(global))
      own[part].push_back(&global);
  // What is of the whole module is written once, with its variables.
  SmallVector<std::pair<DICompileUnit *, std::array<Metadata *, 4>>, 1> units;
  for (DICompileUnit *unit : module.debug_compile_units()) {
    units.push_back({unit, {unit->getRawEnumTypes(), unit->getRawRetainedTypes(), unit->getRawGlobalVariables(), unit->getRawImportedEntities()}});
    unit->replaceEnumTypes(nullptr);
    unit->replaceRetainedTypes(nullptr);
    unit->replaceGlobalVariables(nullptr);
    unit->replaceImportedEntities(nullptr);
  }
  for (uint32_t part = 1; part < n_parts; ++part) {
    Extraction extraction(module);
    Module &extracted = extraction.move(own[part]);
    publish_addresses(extracted, suffix);
    write(extracted, part, sink, emit);
  }
  for (auto &[unit, lists] : units) {
    unit->replaceEnumTypes(cast_or_null<MDTuple>(lists[0]));
    unit->replaceRetainedTypes(cast_or_null<MDTuple>(lists[1]));
    unit->replaceGlobalVariables(cast_or_null<MDTuple>(lists[2]));
    unit->replaceImportedEntities(cast_or_null<MDTuple>(lists[3]));
  }
  // Aliases while their functions are still there.
  for (uint32_t part = n_parts; part-- > 1;)
    for (GlobalValue *global : reverse(own[part])) {
      if (auto *function = dyn_cast<Function>(global);
          function && function->hasFnAttribute(Attribute::AlwaysInline) && !function->use_empty()) {
        function->setComdat(nullptr);
        function->setLinkage(GlobalValue::AvailableExternallyLinkage);
        continue;
      }
      if (auto *object = dyn_cast<GlobalObject>(global))
        object->clearMetadata();
      undefine(*global);
    }
  publish_addresses(module, suffix);
  write(module, DATA, sink, emit);
}
