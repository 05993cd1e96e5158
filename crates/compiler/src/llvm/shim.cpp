// What LLVM's C interface cannot say: a code generator that is kept and given module after module.

#include <llvm-c/Core.h>
#include <llvm/ADT/SmallPtrSet.h>
#include <llvm/CodeGen/TargetSubtargetInfo.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Module.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Passes/StandardInstrumentations.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/Target/TargetMachine.h>
#include <llvm/Transforms/IPO/ElimAvailExtern.h>

#include <array>

using namespace llvm;

namespace {

// What passes over IR need.
struct Passes {
  PassBuilder builder;
  LoopAnalysisManager loops;
  FunctionAnalysisManager functions;
  CGSCCAnalysisManager components;
  ModuleAnalysisManager modules;

  Passes(TargetMachine *machine, PipelineTuningOptions tuning, PassInstrumentationCallbacks *callbacks)
      : builder(machine, tuning, std::nullopt, callbacks) {
    builder.registerModuleAnalyses(modules);
    builder.registerCGSCCAnalyses(components);
    builder.registerFunctionAnalyses(functions);
    builder.registerLoopAnalyses(loops);
    builder.crossRegisterProxies(loops, functions, components, modules);
  }

  // Forgets the module. Results hold references to results of the managers below.
  void clear() {
    modules.clear();
    components.clear();
    functions.clear();
    loops.clear();
  }
};

// The switches that clang sets at a level and the pipeline does not by itself.
PipelineTuningOptions tuning_of(unsigned level) {
  PipelineTuningOptions options;
  bool loops = level >= 2;
  options.LoopVectorization = options.SLPVectorization = loops;
  options.LoopUnrolling = options.LoopInterleaving = loops;
  options.CallGraphProfile = true;
  return options;
}

// What passes of the code generator still hold when they have run: by address what `llvm.used` names, locations of variables of
// the last function, and what a garbage collector has asked for. All of it is of a module that is gone by the next run.
bool leaves_traces(const Module &module) {
  return module.getNamedGlobal("llvm.used") || !module.debug_compile_units().empty() ||
         any_of(module, [](const Function &function) { return function.hasGC(); });
}

// Makes code by one set of options. Setting up a code generator takes longer than making code for a small module, so that one
// is kept: each run of its passes resets its state.
class Backend {
  std::unique_ptr<TargetMachine> machine;
  PassInstrumentationCallbacks callbacks;
  // Passes leave functions alone that are marked so.
  OptNoneInstrumentation optnone{false};
  PipelineTuningOptions tuning;
  OptimizationLevel level;
  // For modules without such functions, and for those with some: asking before each pass takes time.
  std::unique_ptr<Passes> passes[2];
  SmallVector<char, 0> object;
  raw_svector_ostream stream{object};
  legacy::PassManager generator;

public:
  // Whether there is a code generator that writes objects and knows nothing of a module before.
  bool usable;

  Backend(std::unique_ptr<TargetMachine> target, unsigned level)
      : machine(std::move(target)), tuning(tuning_of(level)),
        level(std::array{OptimizationLevel::O0, OptimizationLevel::O1, OptimizationLevel::O2, OptimizationLevel::O3}[level]),
        usable(!machine->addPassesToEmitFile(generator, stream, nullptr, CodeGenFileType::ObjectFile)) {
    optnone.registerCallbacks(callbacks);
  }

  std::string layout() const { return machine->createDataLayout().getStringRepresentation(); }

  // The passes are built for each module: LLVM's inliner moves its own away while it runs.
  void optimize(Module &module) {
    bool asks = any_of(module, [](const Function &function) { return function.hasOptNone(); });
    std::unique_ptr<Passes> &of_kind = passes[asks];
    if (!of_kind)
      of_kind = std::make_unique<Passes>(machine.get(), tuning, asks ? &callbacks : nullptr);
    PassBuilder &builder = of_kind->builder;
    ModulePassManager pipeline = level == OptimizationLevel::O0 ? builder.buildO0DefaultPipeline(level)
                                                                : builder.buildPerModuleDefaultPipeline(level);
    // Code generation wants no `available_externally` body, and O0 leaves them.
    pipeline.addPass(EliminateAvailableExternallyPass());
    pipeline.run(module, of_kind->modules);
    of_kind->clear();
  }

  // The object's bytes, until the next call.
  ArrayRef<char> generate(Module &module) {
    object.clear();
    usable = !leaves_traces(module);
    generator.run(module);
    return object;
  }

  // See `common_subtarget`.
  std::string subtarget(const Module &module) const {
    SmallPtrSet<const Function *, 4> resolvers;
    for (const GlobalIFunc &indirect : module.ifuncs())
      resolvers.insert(indirect.getResolverFunction());

    const MCSubtargetInfo *first = nullptr;
    StringRef cpu;
    FeatureBitset common;
    for (const Function &function : module) {
      if (function.isDeclarationForLinker() || resolvers.contains(&function))
        continue;
      const MCSubtargetInfo *subtarget = machine->getSubtargetImpl(function);
      if (!first) {
        first = subtarget;
        cpu = subtarget->getCPU();
        common = subtarget->getFeatureBits();
      }
      if (subtarget->getCPU() != cpu)
        cpu = "";
      common &= subtarget->getFeatureBits();
    }

    std::string text = cpu.str();
    if (first)
      for (const SubtargetFeatureKV &feature : first->getAllProcessorFeatures())
        if (common.test(feature.Value))
          text.append(",").append(feature.Key);
    return text;
  }
};

} // namespace

// Options of a backend; the texts end in NUL. The levels, of code generation and of passes before it, are 0 to 3, `model` is a
// `CodeModel::Model`.
struct FarcallOptions {
  const char *triple, *cpu, *features;
  unsigned level, pass_level, model;
};

// A backend, or null and a message, the caller's to free.
extern "C" Backend *farcall_backend_create(const FarcallOptions *options, char **message) {
  std::string error;
  Triple triple(options->triple);
  const Target *target = TargetRegistry::lookupTarget(triple, error);
  std::unique_ptr<TargetMachine> machine;
  if (target) {
    TargetOptions settings;
    // Constructors in the order in which they run, as compiler drivers have it. `.ctors` runs backwards and is obsolete.
    settings.UseInitArray = true;
    machine.reset(target->createTargetMachine(triple, options->cpu, options->features, settings, Reloc::PIC_,
                                              static_cast<CodeModel::Model>(options->model),
                                              static_cast<CodeGenOptLevel>(options->level)));
  }
  if (machine) {
    // LLVM's fastest way without optimization, which on some machines is not its default.
    if (options->level == 0)
      machine->setGlobalISel(false);
    auto backend = std::make_unique<Backend>(std::move(machine), options->pass_level);
    if (backend->usable)
      return backend.release();
  }
  *message = LLVMCreateMessage(error.empty() ? "no code generator" : error.c_str());
  return nullptr;
}

extern "C" void farcall_backend_dispose(Backend *backend) { delete backend; }

// The data layout. A message, the caller's to free.
extern "C" char *farcall_backend_layout(const Backend *backend) { return LLVMCreateMessage(backend->layout().c_str()); }

extern "C" void farcall_backend_optimize(Backend *backend, LLVMModuleRef module) { backend->optimize(*unwrap(module)); }

// Whether it may be given another module. One that may not must be disposed before the last module's context is.
extern "C" bool farcall_backend_usable(const Backend *backend) { return backend->usable; }

// The object's size, and in `bytes` where it starts; it is the backend's, until the next call.
extern "C" size_t farcall_backend_generate(Backend *backend, LLVMModuleRef module, const char **bytes) {
  ArrayRef<char> object = backend->generate(*unwrap(module));
  *bytes = object.data();
  return object.size();
}

// The processor that all functions defined in the module are compiled for, empty where they differ or there are none, and
// the features that each of them has, implied ones too: `cpu,feature,feature`. A message, the caller's to free.
//
// What finds an indirect function has no say: it runs to ask the processor, and front ends give it no attributes.
extern "C" char *farcall_backend_subtarget(const Backend *backend, LLVMModuleRef module) {
  return LLVMCreateMessage(backend->subtarget(*unwrap(module)).c_str());
}
