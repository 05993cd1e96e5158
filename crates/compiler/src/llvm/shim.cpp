// What LLVM's C interface cannot say.

#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>
#include <llvm/ADT/SmallPtrSet.h>
#include <llvm/CodeGen/TargetSubtargetInfo.h>
#include <llvm/IR/Module.h>
#include <llvm/Target/TargetMachine.h>

// Puts constructors into `.init_array`, in the order in which they run, as compiler drivers do. Target machines made
// through the C interface put them into `.ctors`, which runs backwards and is obsolete.
extern "C" void farcall_use_init_array(LLVMTargetMachineRef machine) {
  reinterpret_cast<llvm::TargetMachine *>(machine)->Options.UseInitArray = true;
}

// The processor that all functions defined in the module are compiled for, empty where they differ or there are none, and
// the features that each of them has, implied ones too: `cpu,feature,feature`. A message, the caller's to free.
//
// What finds an indirect function has no say: it runs to ask the processor, and front ends give it no attributes.
extern "C" char *farcall_common_subtarget(LLVMTargetMachineRef machine, LLVMModuleRef module) {
  auto &target = *reinterpret_cast<llvm::TargetMachine *>(machine);
  llvm::Module &functions = *llvm::unwrap(module);
  llvm::SmallPtrSet<const llvm::Function *, 4> resolvers;
  for (const llvm::GlobalIFunc &indirect : functions.ifuncs())
    resolvers.insert(indirect.getResolverFunction());

  const llvm::MCSubtargetInfo *first = nullptr;
  llvm::StringRef cpu;
  llvm::FeatureBitset common;
  for (const llvm::Function &function : functions) {
    if (function.isDeclarationForLinker() || resolvers.contains(&function))
      continue;
    const llvm::MCSubtargetInfo *subtarget = target.getSubtargetImpl(function);
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
    for (const llvm::SubtargetFeatureKV &feature : first->getAllProcessorFeatures())
      if (common.test(feature.Value))
        text.append(",").append(feature.Key);
  return LLVMCreateMessage(text.c_str());
}
