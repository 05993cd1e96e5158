// A module in parts that become images of their own, each when it is needed: the variables in one, functions in others.

#include "parts.h"

#include <llvm-c/Core.h>
#include <llvm/ADT/DenseMap.h>
#include <llvm/ADT/SmallString.h>
#include <llvm/ADT/StringSet.h>
#include <llvm/Bitcode/BitcodeWriter.h>
#include <llvm/IR/Constants.h>
#include <llvm/IR/DebugInfoMetadata.h>
#include <llvm/IR/InlineAsm.h>
#include <llvm/IR/InstIterator.h>
#include <llvm/IR/Instructions.h>
#include <llvm/IR/Module.h>
#include <llvm/IR/Operator.h>
#include <llvm/Transforms/Utils/Cloning.h>
#include <llvm/Transforms/Utils/ValueMapper.h>

using namespace llvm;
using namespace farcall;

namespace {

// Where variables are, constructors, and what must be with them.
constexpr uint32_t DATA = 0;

bool is_intrinsic(const GlobalValue &global) { return global.getName().starts_with("llvm."); }

bool has_body(const GlobalValue &global) { return !global.isDeclaration() && !global.hasAvailableExternallyLinkage(); }

// Whether it is called, and is no indirect function, which nobody knows before it is loaded.
bool is_code(const GlobalValue &global) { return isa<FunctionType>(global.getValueType()) && !isa<GlobalIFunc>(global); }

// Whether the parts that call it have its body too.
bool is_copied(const GlobalValue &global) {
  auto *function = dyn_cast<Function>(&global);
  return function && (function->hasFnAttribute(Attribute::AlwaysInline) || function->hasAvailableExternallyLinkage());
}

// Visits the symbols that assembly inside functions has as operands that are neither registers nor memory: code refers to them
// directly, as it can where they are defined.
void for_each_operand_symbol(const CallBase &call, function_ref<void(const Use &, GlobalValue &)> visit) {
  auto *assembly = dyn_cast<InlineAsm>(call.getCalledOperand());
  if (!assembly)
    return;
  auto is_symbol = [](StringRef code) { return is_contained({"i", "s", "S", "Ws", "X"}, code); };
  auto argument = call.arg_begin();
  for (const InlineAsm::ConstraintInfo &constraint : assembly->ParseConstraints()) {
    if (!constraint.hasArg())
      continue;
    if (auto *global = dyn_cast<GlobalValue>(argument->get()->stripInBoundsConstantOffsets()))
      if (all_of(constraint.Codes, is_symbol))
        visit(*argument, *global);
    ++argument;
  }
}

// Visits the distances from or to a symbol that constants have.
void for_each_distance(Value &value, function_ref<void(Value &)> visit) {
  for (User *user : value.users())
    if (auto *expression = dyn_cast<ConstantExpr>(user)) {
      if (expression->getOpcode() == Instruction::Sub)
        visit(*expression);
      else
        for_each_distance(*expression, visit);
    }
}

// Assembly may define and use what no one can see: that of the module, and that inside functions what is retained for it.
bool is_divisible(const Module &module) {
  SmallVector<GlobalValue *, 8> used;
  for (bool by_compiler : {false, true})
    collectUsedGlobalVariables(module, used, by_compiler);
  auto has_assembly = [](const Function &function) {
    return any_of(instructions(function), [](const Instruction &instruction) {
      auto *call = dyn_cast<CallBase>(&instruction);
      return call && call->isInlineAsm();
    });
  };
  bool is_named = any_of(used, [](const GlobalValue *global) { return global->hasLocalLinkage(); });
  return module.getModuleInlineAsm().empty() && !(is_named && any_of(module, has_assembly));
}

// Whether nothing is done with a variable but to read it.
bool is_only_read(const Value &value) {
  return all_of(value.users(), [](const User *user) { return isa<LoadInst>(user) || (isa<GEPOperator>(user) && is_only_read(*user)); });
}

// Whether it has to exist once, as code need not, of which there can be a better version.
bool is_state(const GlobalValue &global) {
  auto *variable = dyn_cast<GlobalVariable>(&global);
  return variable && has_body(global) &&
         (is_intrinsic(global) || !(variable->isConstant() || (variable->hasLocalLinkage() && is_only_read(*variable))));
}

// Whether LLVM itself reads it, as it does lists of constructors, or it says how far away something is.
bool needs_definition(const User &user) {
  if (const auto *global = dyn_cast<GlobalValue>(&user))
    return is_intrinsic(*global);
  if (const auto *expression = dyn_cast<ConstantExpr>(&user); expression && expression->getOpcode() == Instruction::Sub)
    return true;
  return isa<Constant>(user) && any_of(user.users(), [](const User *next) { return needs_definition(*next); });
}

// Whether a use of a function in its own part takes its address for others to see.
bool takes_address(const Use &use) {
  const User *user = use.getUser();
  if (const auto *call = dyn_cast<CallBase>(user)) {
    bool is_operand_symbol = false;
    for_each_operand_symbol(*call, [&](const Use &operand, GlobalValue &) { is_operand_symbol |= &operand == &use; });
    return !call->isCallee(&use) && !is_operand_symbol;
  }
  // What an alias, an indirect function or a function (its personality) is made of has to be a definition.
  if (isa<BlockAddress>(user) || isa<DSOLocalEquivalent>(user) || isa<NoCFIValue>(user) || isa<GlobalAlias>(user) || isa<GlobalIFunc>(user) ||
      isa<Function>(user))
    return false;
  return !needs_definition(*user);
}

// Takes away what only has a meaning among objects that are linked together: groups of sections, what is dropped with
// something else, and edges of the call graph, which name all functions.
void forget_linking(Module &module) {
  for (GlobalObject &object : module.global_objects()) {
    object.setComdat(nullptr);
    object.eraseMetadata(LLVMContext::MD_associated);
  }
  if (NamedMDNode *flags = module.getNamedMetadata("llvm.module.flags")) {
    SmallVector<MDNode *, 8> kept;
    for (MDNode *flag : flags->operands())
      if (auto *key = dyn_cast<MDString>(flag->getOperand(1)); !key || key->getString() != "CG Profile")
        kept.push_back(flag);
    flags->clearOperands();
    for (MDNode *flag : kept)
      flags->addOperand(flag);
  }
}

// Puts functions where they have to be and not where they are asked to be: a linker says of a section where it begins and ends in its
// own image, and what is in the section has to be there.
void place_sections(Module &module, function_ref<void(GlobalValue &)> place_in_data) {
  StringSet<> sections;
  for (GlobalValue &global : module.global_values()) {
    StringRef name = global.getName();
    if (global.isDeclaration() && (name.consume_front("__start_") || name.consume_front("__stop_"))) {
      sections.insert(name);
      for_each_user(global, place_in_data);
    }
  }
  for (Function &function : module)
    if (function.hasSection() && sections.contains(function.getSection()))
      place_in_data(function);
}

} // namespace

// Divides a module: `groups` has a number from 1 for each of its functions, in their order, and functions of one number are to be
// one part. Writes for each global, in the module's order, functions, variables, aliases and indirect functions, the
// number of its part, whether others than the module's own parts see it, and whether it is hidden from all that are not of their scope. All that is left of the module's names is visible to its
// parts, and nothing is dropped because nobody uses it.
extern "C" void farcall_divide(LLVMModuleRef raw, const uint32_t *groups, uint32_t *parts, bool *exported, bool *hidden) {
  Module &module = *unwrap(raw);
  bool is_divided = is_divisible(module);
  if (is_divided)
    forget_linking(module);
  EquivalenceClasses<GlobalValue *> classes = inseparable(module);
  for (Function &function : module) {
    // A distance is known where both ends are defined.
    for_each_distance(function, [&](Value &distance) {
      for_each_user(distance, [&](GlobalValue &user) {
        if (isa<GlobalVariable>(user))
          classes.unionSets(&function, &user);
      });
    });
    for (Instruction &instruction : instructions(function))
      if (auto *call = dyn_cast<CallBase>(&instruction))
        for_each_operand_symbol(*call, [&](const Use &, GlobalValue &symbol) {
          if (has_body(symbol))
            classes.unionSets(&function, &symbol);
        });
  }
  DenseMap<GlobalValue *, uint32_t> placed;
  auto leader = [&](GlobalValue &global) { return classes.getLeaderValue(&global); };
  auto place_in_data = [&](GlobalValue &global) { placed[leader(global)] = DATA; };
  for (GlobalValue &global : module.global_values())
    if (isa<GlobalIFunc>(global) || is_state(global))
      place_in_data(global);
  place_sections(module, place_in_data);
  for (Function &function : module) {
    uint32_t group = *groups++;
    if (is_divided && has_body(function))
      placed.try_emplace(leader(function), group);
  }
  auto part = [&](GlobalValue &global) { return placed.lookup(leader(global)); };

  for (GlobalValue &global : module.global_values()) {
    *parts++ = part(global);
    bool is_visible = !global.hasLocalLinkage() && global.hasName();
    *exported++ = is_visible;
    *hidden++ = global.hasHiddenVisibility();
    if (!has_body(global) || is_intrinsic(global))
      continue;
    if (global.hasLinkOnceLinkage())
      global.setLinkage(global.hasLinkOnceODRLinkage() ? GlobalValue::WeakODRLinkage : GlobalValue::WeakAnyLinkage);
    bool is_shared = is_visible || (is_divided && is_code(global) && any_of(global.uses(), takes_address));
    if (!is_shared && is_divided)
      for_each_user(global, [&](GlobalValue &user) { is_shared |= part(user) != part(global) || is_copied(user); });
    if (!is_shared)
      continue;
    if (!is_visible) {
      // Not by its own name: LLVM knows what functions of some names do.
      global.setName(global.getName() + ".local");
      global.setLinkage(GlobalValue::ExternalLinkage);
    }
    // A protected one would be taken for one of its users' images.
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
    // What has to be inlined, or may be, comes along, and what that needs.
    while (!copied.empty()) {
      Function *function = copied.pop_back_val();
      copy_body(*function, *cast<Function>(map[function]));
    }
    return *to;
  }

  // What a global of the module is in the part, when something refers to it.
  Value *materialize(Value *value) override {
    auto *global = dyn_cast<GlobalValue>(value);
    if (!global || global->getParent() != &from)
      return nullptr;
    GlobalValue *declared = declaration(*global);
    // Another image's variable has a place that is known neither when this one is linked nor when it is loaded.
    if (declared->isThreadLocal() && !global->isDeclaration())
      declared->setThreadLocalMode(GlobalValue::GeneralDynamicTLSModel);
    if (!global->isDeclaration() && is_copied(*global)) {
      declared->setLinkage(GlobalValue::AvailableExternallyLinkage);
      copied.push_back(cast<Function>(global));
    }
    return declared;
  }

private:
  Module &from;
  std::unique_ptr<Module> to;
  ValueToValueMapTy map;
  SmallVector<Function *, 0> copied;
  SmallPtrSet<DICompileUnit *, 1> units;

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
      if (auto *source = dyn_cast<GlobalVariable>(&global)) {
        variable->copyAttributesFrom(source);
        variable->setConstant(source->isConstant());
      }
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
    return made;
  }

  Constant *mapped(Constant *constant) { return MapValue(constant, map, FLAGS, nullptr, this); }

  void fill(GlobalValue &old, GlobalValue &made) {
    if (auto *function = dyn_cast<Function>(&old)) {
      auto &fresh = cast<Function>(made);
      if (is_copied(*function))
        return copy_body(*function, fresh);
      fresh.copyAttributesFrom(function);
      fresh.copyMetadata(function, 0);
      fresh.stealArgumentListFrom(*function);
      fresh.splice(fresh.end(), function);
      RemapFunction(fresh, map, FLAGS, nullptr, this);
      list_units(fresh);
    } else if (auto *variable = dyn_cast<GlobalVariable>(&old)) {
      auto &fresh = cast<GlobalVariable>(made);
      fresh.copyMetadata(variable, 0);
      fresh.setInitializer(mapped(variable->getInitializer()));
      fresh.setExternallyInitialized(variable->isExternallyInitialized());
    } else {
      cast<GlobalAlias>(made).setAliasee(mapped(cast<GlobalAlias>(old).getAliasee()));
    }
  }

  // LLVM drops all debug information of a module that does not list a unit which something is described in: that of the
  // function, or of what was inlined.
  void list_units(const Function &function) {
    auto list = [&](DICompileUnit *unit) {
      if (unit && units.insert(unit).second)
        to->getOrInsertNamedMetadata("llvm.dbg.cu")->addOperand(unit);
    };
    if (const DISubprogram *subprogram = function.getSubprogram())
      list(subprogram->getUnit());
    for (const Instruction &instruction : instructions(function))
      for (const DILocation *at = instruction.getDebugLoc(); at; at = at->getInlinedAt())
        list(at->getScope()->getSubprogram()->getUnit());
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
  }

  static constexpr RemapFlags FLAGS = RF_ReuseAndMutateDistinctMDs;
};

// Has functions of a part have the address that others know.
void publish_addresses(Module &part, const char *suffix) {
  SmallVector<GlobalValue *, 0> functions;
  for (GlobalValue &global : part.global_values())
    if (has_body(global) && is_code(global) && !global.hasLocalLinkage() && !global.hasHiddenVisibility() && any_of(global.uses(), takes_address))
      functions.push_back(&global);
  for (GlobalValue *global : functions) {
    auto *address = Function::Create(cast<FunctionType>(global->getValueType()), GlobalValue::ExternalLinkage, global->getAddressSpace(),
                                     global->getName() + suffix, &part);
    if (auto *function = dyn_cast_or_null<Function>(global->getAliaseeObject())) {
      address->setCallingConv(function->getCallingConv());
      address->setAttributes(function->getAttributes());
      address->removeFnAttr(Attribute::AlwaysInline);
      address->removeFnAttr(Attribute::OptimizeNone);
    }
    global->replaceUsesWithIf(address, [](Use &use) { return takes_address(use); });
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
      if (is_copied(*global)) {
        global->setLinkage(GlobalValue::AvailableExternallyLinkage);
        continue;
      }
      if (auto *object = dyn_cast<GlobalObject>(global))
        object->clearMetadata();
      if (global->isThreadLocal())
        global->setThreadLocalMode(GlobalValue::GeneralDynamicTLSModel);
      undefine(*global);
    }
  // Most of a large module is of no concern to its variables.
  for (GlobalObject &object : make_early_inc_range(module.global_objects()))
    if (object.isDeclaration() && object.use_empty())
      object.eraseFromParent();
  publish_addresses(module, suffix);
  write(module, DATA, sink, emit);
}
