// What LLVM's C interface cannot say.

#include <llvm-c/TargetMachine.h>
#include <llvm/Target/TargetMachine.h>

// Puts constructors into `.init_array`, in the order in which they run, as compiler drivers do. Target machines made
// through the C interface put them into `.ctors`, which runs backwards and is obsolete.
extern "C" void farcall_use_init_array(LLVMTargetMachineRef machine) {
  reinterpret_cast<llvm::TargetMachine *>(machine)->Options.UseInitArray = true;
}
