// LLJIT, and LLVM's own way from IR to an object, as what farcall is compared with.
//
// What goes wrong ends the process, which is started by the bench.

#include <llvm/ExecutionEngine/Orc/CompileUtils.h>
#include <llvm/ExecutionEngine/Orc/LLJIT.h>
#include <llvm/ExecutionEngine/Orc/ObjectLinkingLayer.h>
#include <llvm/ExecutionEngine/Orc/MapperJITLinkMemoryManager.h>
#include <llvm/ExecutionEngine/Orc/MemoryMapper.h>
#include <llvm/Bitcode/BitcodeReader.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Target/TargetMachine.h>

using namespace llvm;
using namespace llvm::orc;

namespace {

// What clang sets at a level and the pipeline does not by itself.
PipelineTuningOptions tuning(bool optimizes) {
  PipelineTuningOptions options;
  options.LoopVectorization = options.SLPVectorization = optimizes;
  options.LoopUnrolling = options.LoopInterleaving = optimizes;
  options.CallGraphProfile = true;
  return options;
}

// LLVM's passes of a level over a module.
void optimize(Module &module, TargetMachine &machine) {
  LoopAnalysisManager loops;
  FunctionAnalysisManager functions;
  CGSCCAnalysisManager components;
  ModuleAnalysisManager modules;
  PassBuilder builder(&machine, tuning(true));
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(components);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, components, modules);
  builder.buildPerModuleDefaultPipeline(OptimizationLevel::O2).run(module, modules);
}

// As farcall compiles by default: any x86-64 processor, position-independent, the small code model.
JITTargetMachineBuilder target(CodeGenOptLevel level) {
  JITTargetMachineBuilder builder = cantFail(JITTargetMachineBuilder::detectHost());
  if (builder.getTargetTriple().isX86())
    builder.setCPU("x86-64");
  else
    builder.setCPU("generic");
  builder.getFeatures() = SubtargetFeatures();
  builder.setRelocationModel(Reloc::PIC_);
  builder.setCodeModel(CodeModel::Small);
  builder.setCodeGenOptLevel(level);
  return builder;
}

std::unique_ptr<Module> read(StringRef ir, LLVMContext &context) {
  return cantFail(parseBitcodeFile(MemoryBufferRef(ir, "ir"), context));
}

// How much JITLink's memory manager reserves at a time.
constexpr size_t RESERVED = 64 << 20;

// LLJIT with JITLink, set up as it is fastest: memory that is reserved in advance instead of mapped for each module, one context
// for all modules where no threads use them (both were measured), and no platform, which would look for constructors in each module.
struct Jit {
  std::unique_ptr<LLJIT> jit;
  std::unique_ptr<TargetMachine> machine;
  CodeGenOptLevel level;
  ResourceTrackerSP tracker;
  std::optional<ThreadSafeContext> shared;

  Jit(CodeGenOptLevel level, bool optimizes, unsigned n_threads) : level(level) {
    if (n_threads == 0)
      shared.emplace(std::make_unique<LLVMContext>());
    JITTargetMachineBuilder builder = target(level);
    machine = cantFail(builder.createTargetMachine());
    LLJITBuilder jits;
    jits.setJITTargetMachineBuilder(builder).setNumCompileThreads(n_threads);
    jits.setObjectLinkingLayerCreator([](ExecutionSession &session) {
      auto memory = MapperJITLinkMemoryManager::CreateWithMapper<InProcessMemoryMapper>(RESERVED);
      return std::make_unique<ObjectLinkingLayer>(session, cantFail(std::move(memory)));
    });
    jits.setPlatformSetUp(setUpInactivePlatform);
    jit = cantFail(jits.create());
    // Passes ask the target machine, which threads cannot share.
    if (optimizes)
      jit->getIRTransformLayer().setTransform([builder, this, n_threads](ThreadSafeModule module, MaterializationResponsibility &) mutable {
        std::unique_ptr<TargetMachine> own = n_threads ? cantFail(builder.createTargetMachine()) : nullptr;
        module.withModuleDo([&](Module &module) { optimize(module, own ? *own : *machine); });
        return Expected<ThreadSafeModule>(std::move(module));
      });
  }
};

} // namespace

extern "C" {

// A JIT that generates code at a level, 0 to 3, after LLVM's passes of O2 if it `optimizes`; lives as long as the process.
Jit *bench_lljit_create(unsigned level, bool optimizes, unsigned n_threads) {
  InitializeNativeTarget();
  InitializeNativeTargetAsmPrinter();
  return new Jit(static_cast<CodeGenOptLevel>(level), optimizes, n_threads);
}

// Adds a module of bitcode to those that `bench_lljit_clear` removes.
void bench_lljit_add(Jit *jit, const char *bytes, size_t length) {
  if (!jit->tracker)
    jit->tracker = jit->jit->getMainJITDylib().createResourceTracker();
  ThreadSafeContext context = jit->shared ? *jit->shared : ThreadSafeContext(std::make_unique<LLVMContext>());
  auto module = context.withContextDo([&](LLVMContext *context) { return read({bytes, length}, *context); });
  cantFail(jit->jit->addIRModule(jit->tracker, ThreadSafeModule(std::move(module), context)));
}

// Looks up all names at once, which compiles and links what defines them.
void bench_lljit_lookup(Jit *jit, const char *const *names, size_t count, uint64_t *addresses) {
  ExecutionSession &session = jit->jit->getExecutionSession();
  SymbolLookupSet wanted;
  SmallVector<SymbolStringPtr, 0> interned;
  for (size_t index = 0; index < count; index++) {
    interned.push_back(jit->jit->mangleAndIntern(names[index]));
    wanted.add(interned.back());
  }
  SymbolMap found = cantFail(session.lookup(makeJITDylibSearchOrder(&jit->jit->getMainJITDylib()), std::move(wanted)));
  for (size_t index = 0; index < count; index++)
    addresses[index] = found[interned[index]].getAddress().getValue();
}

// Removes all modules.
void bench_lljit_clear(Jit *jit) {
  if (jit->tracker)
    cantFail(jit->tracker->remove());
  jit->tracker = nullptr;
}

// The size of the object that LLVM makes of bitcode by itself: its passes of O2, its code generator.
size_t bench_llvm_object(Jit *jit, bool optimizes, const char *bytes, size_t length) {
  std::unique_ptr<TargetMachine> machine = cantFail(target(jit->level).createTargetMachine());
  LLVMContext context;
  std::unique_ptr<Module> module = read({bytes, length}, context);
  if (optimizes)
    optimize(*module, *machine);
  SmallVector<char, 0> object;
  raw_svector_ostream stream(object);
  legacy::PassManager generator;
  if (machine->addPassesToEmitFile(generator, stream, nullptr, CodeGenFileType::ObjectFile))
    abort();
  generator.run(*module);
  return object.size();
}
}
