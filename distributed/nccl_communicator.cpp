#include "distributed/nccl_communicator.h"

#include <c10/core/Event.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <nccl.h>
#include <sched.h>

#include <future>

#include "core/error.h"
#include "distributed/collective_checks.h"

namespace ganymede {
namespace {

using Clock = std::chrono::steady_clock;

ncclDataType_t type_of(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return ncclFloat32;
    case at::kDouble:
      return ncclFloat64;
    case at::kLong:
      return ncclInt64;
    default:
      return ncclUint8;
  }
}

/// The library that is loaded may be another than the one that was compiled against.
void check_version() {
  int version = 0;
  if (ncclGetVersion(&version) == ncclSuccess && version >= NCCL_VERSION_CODE) return;
  fail(ExitCode::options,
       "NCCL {} is loaded, but {} is needed: take the older libnccl.so.2 out of LD_LIBRARY_PATH and "
       "LD_PRELOAD",
       version, NCCL_VERSION_CODE);
}

/// NCCL's communicator: one thread at a time uses it, and no call of it blocks.
class Connection {
 public:
  Connection(int rank, int size, const ncclUniqueId& id, std::chrono::milliseconds deadline)
      : deadline_(deadline) {
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    settle(ncclCommInitRankConfig(&communicator_, size, id, rank, &config), "ncclCommInitRankConfig");
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() {
    if (!communicator_) return;
    // Leaving in order takes all ranks; with an error under way there is no order.
    try {
      if (std::uncaught_exceptions() == 0) {
        settle(ncclCommFinalize(communicator_), "ncclCommFinalize");
        ncclCommDestroy(communicator_);
        return;
      }
    } catch (const Error&) {
      return;
    }
    abort();
  }

  ncclComm_t get() const { return communicator_; }

  /// Waits until NCCL is done with the call that gave `result`.
  void settle(ncclResult_t result, const char* call) {
    const Clock::time_point end = Clock::now() + deadline_;
    for (int spins = 0; result == ncclInProgress; ++spins) {
      if (Clock::now() > end) broken(call, fmt::format("nothing within {} s", deadline_.count() / 1000));
      if (spins > 64) sched_yield();
      if (const ncclResult_t query = state(result); query != ncclSuccess) result = query;
    }
    if (result != ncclSuccess) broken(call, ncclGetErrorString(result));
  }

  /// Throws if a collective under way has failed.
  void check() {
    ncclResult_t result = ncclSuccess;
    if (const ncclResult_t query = state(result); query != ncclSuccess) result = query;
    if (result != ncclSuccess && result != ncclInProgress) broken("a collective", ncclGetErrorString(result));
  }

 private:
  ncclResult_t state(ncclResult_t& result) const {
    if (!communicator_) return ncclRemoteError;  // aborted
    return ncclCommGetAsyncError(communicator_, &result);
  }

  [[noreturn]] void broken(const char* call, const std::string& why) {
    const char* detail = communicator_ ? ncclGetLastError(communicator_) : nullptr;
    const std::string text = detail && *detail ? fmt::format(" ({})", detail) : "";
    abort();
    fail(ExitCode::peer,
         "NCCL, {}: {}{}: a rank, its GPU or the network was lost; see the launcher's output "
         "(NCCL_DEBUG=INFO tells more), "
         "then start again: the run resumes from its last checkpoint",
         call, why, text);
  }

  /// Aborting has been seen to hang: it gets a thread of its own and two seconds, after which the process
  /// ends without it.
  void abort() {
    if (!communicator_) return;
    std::promise<void> promise;
    std::future<void> aborted = promise.get_future();
    std::thread([communicator = communicator_, promise = std::move(promise)]() mutable {
      ncclCommAbort(communicator);
      promise.set_value();
    }).detach();
    aborted.wait_for(std::chrono::seconds(2));
    communicator_ = nullptr;
  }

  ncclComm_t communicator_ = nullptr;
  std::chrono::milliseconds deadline_;
};

class NcclWork final : public Work {
 public:
  NcclWork(std::vector<at::Tensor> tensors, c10::Stream stream, Connection& connection)
      : tensors_(std::move(tensors)), stream_(stream), connection_(connection) {}
  NcclWork(const NcclWork&) = delete;
  NcclWork& operator=(const NcclWork&) = delete;
  ~NcclWork() override {
    if (awaited_) return;
    // Nothing of the current stream comes after the collective: the allocator waits for it before the memory
    // is used again.
    for (const at::Tensor& tensor : tensors_)
      c10::cuda::CUDACachingAllocator::recordStream(tensor.storage().data_ptr(),
                                                    c10::cuda::CUDAStream(stream_));
  }

  void begin() { begin_.record(stream_); }
  void end() { end_.record(stream_); }

  bool test() override {
    connection_.check();
    return end_.query();
  }
  void wait() override {
    end_.block(c10::cuda::getCurrentCUDAStream(stream_.device_index()).unwrap());
    awaited_ = true;
  }
  double seconds() const override {
    end_.synchronize();
    return begin_.elapsedTime(end_) / 1000;  // from milliseconds
  }

 private:
  std::vector<at::Tensor> tensors_;
  c10::Stream stream_;
  Connection& connection_;
  c10::Event begin_{at::kCUDA, c10::EventFlag::BACKEND_DEFAULT},
      end_{at::kCUDA, c10::EventFlag::BACKEND_DEFAULT};
  bool awaited_ = false;
};

class NcclCommunicator final : public Communicator {
 public:
  NcclCommunicator(const MpiSession& session, std::unique_ptr<Communicator> host, at::Device device,
                   std::chrono::milliseconds deadline)
      : session_(session),
        host_(std::move(host)),
        device_(device),
        deadline_(deadline),
        stream_(c10::cuda::getStreamFromPool(/*isHighPriority=*/true, device.index()).unwrap()) {
    check_version();
    const c10::cuda::CUDAGuard guard(device_);
    ncclUniqueId id{};
    // A rank 0 that fails here leaves the others in the broadcast, until it ends the job.
    if (rank() == 0 && ncclGetUniqueId(&id) != ncclSuccess)
      fail(ExitCode::peer,
           "ncclGetUniqueId: {}: name an interface that all hosts share in NCCL_SOCKET_IFNAME",
           ncclGetLastError(nullptr));
    const std::string text = host_->broadcast_text({id.internal, sizeof id.internal}, 0);
    std::copy(text.begin(), text.end(), id.internal);
    observed("connect", 0, [&] { connection_ = std::make_unique<Connection>(rank(), size(), id, deadline_); });
  }

  int rank() const override { return host_->rank(); }
  int size() const override { return host_->size(); }
  int local_rank() const override { return host_->local_rank(); }
  int local_size() const override { return host_->local_size(); }
  const std::string& name() const override { return host_->name(); }

  std::unique_ptr<Work> all_reduce(at::Tensor tensor, Reduction reduction) override {
    if (tensor.is_cpu()) return host_->all_reduce(tensor, reduction);
    check_collective(tensor);
    check_device(tensor);
    return launch({tensor}, "all_reduce", [&](ncclComm_t communicator, cudaStream_t stream) {
      return ncclAllReduce(tensor.data_ptr(), tensor.data_ptr(), count_of(tensor), type_of(tensor),
                           reduction == Reduction::sum ? ncclSum : ncclMax, communicator, stream);
    });
  }

  std::unique_ptr<Work> reduce_scatter(at::Tensor output, at::Tensor input) override {
    check_parts(input, output, size());
    if (input.is_cpu() && output.is_cpu()) return host_->reduce_scatter(output, input);
    check_device(output);
    check_device(input);
    return launch({output, input}, "reduce_scatter", [&](ncclComm_t communicator, cudaStream_t stream) {
      return ncclReduceScatter(input.data_ptr(), output.data_ptr(), count_of(output), type_of(output),
                               ncclSum, communicator, stream);
    });
  }

  std::unique_ptr<Work> all_gather(at::Tensor output, at::Tensor input) override {
    check_parts(output, input, size());
    if (input.is_cpu() && output.is_cpu()) return host_->all_gather(output, input);
    check_device(output);
    check_device(input);
    return launch({output, input}, "all_gather", [&](ncclComm_t communicator, cudaStream_t stream) {
      return ncclAllGather(input.data_ptr(), output.data_ptr(), count_of(input), type_of(input), communicator,
                           stream);
    });
  }

  std::unique_ptr<Work> broadcast(at::Tensor tensor, int root) override {
    if (tensor.is_cpu()) return host_->broadcast(tensor, root);
    check_collective(tensor);
    check_root(root, size());
    check_device(tensor);
    return launch({tensor}, "broadcast", [&](ncclComm_t communicator, cudaStream_t stream) {
      return ncclBroadcast(tensor.data_ptr(), tensor.data_ptr(), count_of(tensor), type_of(tensor), root,
                           communicator, stream);
    });
  }

  void barrier() override { host_->barrier(); }
  void check_health() override { connection_->check(); }

  std::unique_ptr<Communicator> duplicate(const std::string& name) override {
    return std::make_unique<NcclCommunicator>(session_, host_->duplicate(name), device_, deadline_);
  }

 private:
  static std::size_t count_of(const at::Tensor& tensor) { return static_cast<std::size_t>(tensor.numel()); }

  void check_device(const at::Tensor& tensor) const {
    TORCH_CHECK(tensor.device() == device_, "a tensor on ", tensor.device(), " among ranks that give ",
                device_);
  }

  /// Every rank or none tells of a wait: positions are compared by counting.
  template <class Act>
  void observed(const char* what, std::int64_t bytes, Act act) {
    WaitObserver* observer = session_.observer();
    if (observer) observer->enter(fmt::format("{} {}", what, name()), bytes);
    act();
    if (observer) observer->leave();
  }

  template <class Call>
  std::unique_ptr<Work> launch(std::vector<at::Tensor> tensors, const char* collective, Call call) {
    const c10::cuda::CUDAGuard guard(device_);
    const bool empty = tensors.front().numel() == 0;
    const std::int64_t bytes = largest_bytes(tensors);
    auto work = std::make_unique<NcclWork>(std::move(tensors), stream_, *connection_);
    c10::Event ready(at::kCUDA);
    ready.record(c10::cuda::getCurrentCUDAStream(device_.index()).unwrap());
    ready.block(stream_);
    work->begin();
    // Until NCCL has settled, its kernel may not be on the stream, and the end would be recorded before it.
    observed(collective, bytes, [&] {
      if (!empty)
        connection_->settle(call(connection_->get(), c10::cuda::CUDAStream(stream_).stream()), collective);
    });
    work->end();
    return work;
  }

  const MpiSession& session_;
  std::unique_ptr<Communicator> host_;
  at::Device device_;
  std::chrono::milliseconds deadline_;
  c10::Stream stream_;
  std::unique_ptr<Connection> connection_;
};

}  // namespace

std::unique_ptr<Communicator> make_nccl_communicator(const MpiSession& session, Communicator& host,
                                                     const std::string& name, at::Device device,
                                                     std::chrono::milliseconds deadline) {
  return std::make_unique<NcclCommunicator>(session, host.duplicate(name), device, deadline);
}

}  // namespace ganymede
