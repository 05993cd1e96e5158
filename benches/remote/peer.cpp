// An ORC controller over SimpleRemoteEPC, with `llvm-jitlink-executor` at the other end of a Unix socket, as what farcall is compared with.
//
// What goes wrong ends the process, which is started by the bench.

#include <llvm/ExecutionEngine/Orc/EHFrameRegistrationPlugin.h>
#include <llvm/ExecutionEngine/Orc/EPCDynamicLibrarySearchGenerator.h>
#include <llvm/ExecutionEngine/Orc/MapperJITLinkMemoryManager.h>
#include <llvm/ExecutionEngine/Orc/MemoryMapper.h>
#include <llvm/ExecutionEngine/Orc/ObjectLinkingLayer.h>
#include <llvm/ExecutionEngine/Orc/Shared/OrcRTBridge.h>
#include <llvm/ExecutionEngine/Orc/SimpleRemoteEPC.h>
#include <llvm/Support/MemoryBuffer.h>

using namespace llvm;
using namespace llvm::orc;

namespace {

using Memory = std::unique_ptr<jitlink::JITLinkMemoryManager>;

// How much memory is reserved at a time where it is shared.
constexpr size_t RESERVED = 64 << 20;

// Memory that both processes map: linked code is written where it will run, and no byte of it goes through the socket.
Expected<Memory> shared_memory(SimpleRemoteEPC &process) {
  SharedMemoryMapper::SymbolAddrs symbols;
  cantFail(process.getBootstrapSymbols({
      {symbols.Instance, rt::ExecutorSharedMemoryMapperServiceInstanceName},
      {symbols.Reserve, rt::ExecutorSharedMemoryMapperServiceReserveWrapperName},
      {symbols.Initialize, rt::ExecutorSharedMemoryMapperServiceInitializeWrapperName},
      {symbols.Deinitialize, rt::ExecutorSharedMemoryMapperServiceDeinitializeWrapperName},
      {symbols.Release, rt::ExecutorSharedMemoryMapperServiceReleaseWrapperName},
  }));
  return MapperJITLinkMemoryManager::CreateWithMapper<SharedMemoryMapper>(RESERVED, process, symbols);
}

// A session, set up once. Where no threads are wanted all is linked on the thread that asks, and on the one that listens.
struct Orc {
  SimpleRemoteEPC &process;
  ExecutionSession session;
  ObjectLinkingLayer layer;
  JITDylib &host;
  JITDylib &code;
  ResourceTrackerSP tracker;

  explicit Orc(std::unique_ptr<SimpleRemoteEPC> owned)
      : process(*owned), session(std::move(owned)), layer(session, process.getMemMgr()),
        host(session.createBareJITDylib("host")), code(session.createBareJITDylib("code")) {
    layer.addPlugin(cantFail(EHFrameRegistrationPlugin::Create(session)));
    // It defines what it has found in `host`, so that no name is asked for twice.
    host.addGenerator(cantFail(EPCDynamicLibrarySearchGenerator::GetForTargetProcess(session)));
    code.addToLinkOrder(host);
  }
};

} // namespace

extern "C" {

// A session with the executor at the other end of a socket; lives as long as the process.
Orc *bench_orc_create(int socket, bool shares_memory, bool has_threads) {
  std::unique_ptr<TaskDispatcher> tasks;
  if (has_threads)
    tasks = std::make_unique<DynamicThreadPoolTaskDispatcher>(std::nullopt);
  else
    tasks = std::make_unique<InPlaceTaskDispatcher>();
  SimpleRemoteEPC::Setup setup;
  if (shares_memory)
    setup.CreateMemoryManager = shared_memory;
  return new Orc(cantFail(SimpleRemoteEPC::Create<FDSimpleRemoteEPCTransport>(std::move(tasks), std::move(setup), socket)));
}

// Links an object, all that `bench_orc_unload` unloads, and looks a name up. The bytes stay as they are until then.
uint64_t bench_orc_load(Orc *orc, const char *bytes, size_t length, const char *name) {
  orc->tracker = orc->code.createResourceTracker();
  std::unique_ptr<MemoryBuffer> object = MemoryBuffer::getMemBuffer({bytes, length}, "object", false);
  cantFail(orc->layer.add(orc->tracker, std::move(object)));
  ExecutorSymbolDef symbol = cantFail(orc->session.lookup(makeJITDylibSearchOrder(&orc->code), orc->session.intern(name)));
  return symbol.getAddress().getValue();
}

// Calls an `int (void)`.
int32_t bench_orc_call(Orc *orc, uint64_t address) { return cantFail(orc->process.runAsVoidFunction(ExecutorAddr(address))); }

// Calls a function of the kind that ORC itself calls, which takes bytes and gives bytes: those of an `int` here.
int32_t bench_orc_call_wrapper(Orc *orc, uint64_t address) {
  shared::WrapperFunctionBuffer result = orc->process.callWrapper(ExecutorAddr(address), {});
  int32_t value = 0;
  if (result.size() == sizeof value)
    memcpy(&value, result.data(), sizeof value);
  return value;
}

// Gives back all that the object took.
void bench_orc_unload(Orc *orc) {
  cantFail(orc->tracker->remove());
  orc->tracker = nullptr;
}
}
