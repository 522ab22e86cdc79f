#include "distributed/mpi.h"

#include <ATen/ATen.h>
#include <sched.h>

#include <functional>
#include <vector>

#include "core/error.h"
#include "distributed/collective_checks.h"
#include "distributed/mpi_exchange.h"

namespace ganymede {
namespace {

// Of an all-reduce by messages.
constexpr std::int64_t longest_exchange = std::int64_t{1} << 18;

void check_host(const at::Tensor& tensor) {
  check_collective(tensor);
  TORCH_CHECK(tensor.is_cpu(), "MPI's collectives take host tensors");
}

void check_host_parts(const at::Tensor& whole, const at::Tensor& part, int ranks) {
  check_parts(whole, part, ranks);
  check_host(whole);
  check_host(part);
  TORCH_CHECK(part.numel() <= longest_piece, "a part of ", part.numel(),
              " elements is longer than MPI counts");
}

using Clock = std::chrono::steady_clock;

/// Memory for what other ranks send. It is used again, for fresh memory costs a page fault every 4 KiB.
class ScratchPool {
 public:
  at::Tensor take(std::int64_t count, at::ScalarType type) {
    const auto bytes = count * static_cast<std::int64_t>(c10::elementSize(type));
    const auto enough =
        std::ranges::find_if(free_, [&](const at::Tensor& memory) { return memory.numel() >= bytes; });
    if (enough == free_.end()) return at::empty({bytes}, at::kByte);
    at::Tensor memory = std::move(*enough);
    free_.erase(enough);
    return memory;
  }
  void give_back(std::vector<at::Tensor>& memory) {
    for (at::Tensor& tensor : memory)
      if (free_.size() < most) free_.push_back(std::move(tensor));
    memory.clear();
  }

 private:
  static constexpr std::size_t most = 64;
  std::vector<at::Tensor> free_;
};

class MpiWork final : public Work {
 public:
  /// `free_since`: when the group's last collective ended.
  MpiWork(std::vector<at::Tensor> tensors, const MpiSession& session, std::string what,
          std::shared_ptr<Clock::time_point> free_since, std::shared_ptr<ScratchPool> pool)
      : tensors_(std::move(tensors)),
        session_(session),
        what_(std::move(what)),
        free_since_(std::move(free_since)),
        pool_(std::move(pool)) {}
  MpiWork(const MpiWork&) = delete;
  MpiWork& operator=(const MpiWork&) = delete;
  ~MpiWork() override {
    // MPI goes on writing to what an exception abandoned: its memory is never given back.
    if (ended_) return;
    new std::vector<at::Tensor>(std::move(tensors_));
    new std::vector<at::Tensor>(std::move(scratch));
    for (auto& exchange : exchanges) exchange.release();
  }
  /// Its parts: it is complete when all of them are.
  std::vector<MPI_Request> requests;
  std::vector<std::unique_ptr<MpiExchange>> exchanges;
  std::vector<at::Tensor> scratch;
  std::function<void()> finish;  ///< what is left to do then; may be empty

  bool test() override {
    if (ended_) return true;
    int complete = 0;
    check_mpi(MPI_Testall(static_cast<int>(requests.size()), requests.data(), &complete, MPI_STATUSES_IGNORE),
              what_.c_str());
    // Every exchange moves on, also behind one that waits.
    for (auto& exchange : exchanges)
      if (!exchange->test()) complete = 0;
    if (complete) end();
    return complete != 0;
  }

  void wait() override {
    WaitObserver* observer = session_.observer();
    if (observer) observer->enter(what_, largest_bytes(tensors_));
    for (int spins = 0; !test(); ++spins)
      if (spins > 500) sched_yield();
    if (observer) observer->leave();
  }

  double seconds() const override { return seconds_; }

 private:
  void end() {
    ended_ = true;
    if (finish) finish();
    pool_->give_back(scratch);
    const Clock::time_point now = Clock::now();
    seconds_ = std::chrono::duration<double>(now - std::max(begun_, *free_since_)).count();
    *free_since_ = now;
  }

  std::vector<at::Tensor> tensors_;
  const MpiSession& session_;
  std::string what_;
  std::shared_ptr<Clock::time_point> free_since_;
  std::shared_ptr<ScratchPool> pool_;
  Clock::time_point begun_ = Clock::now();
  double seconds_ = 0;
  bool ended_ = false;
};

class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator(MPI_Comm communicator, MpiSession& session, std::string name)
      : communicator_(communicator), session_(session), name_(std::move(name)) {
    MPI_Comm_set_errhandler(communicator_, MPI_ERRORS_RETURN);
    MPI_Comm_rank(communicator_, &rank_);
    MPI_Comm_size(communicator_, &size_);
    MPI_Comm host;
    check_mpi(MPI_Comm_split_type(communicator_, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &host),
              "MPI_Comm_split_type");
    MPI_Comm_rank(host, &local_rank_);
    MPI_Comm_size(host, &local_size_);
    MPI_Comm_free(&host);
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int local_rank() const override { return local_rank_; }
  int local_size() const override { return local_size_; }
  const std::string& name() const override { return name_; }

  std::unique_ptr<Work> all_reduce(at::Tensor tensor, Reduction reduction) override {
    check_host(tensor);
    auto work = start({tensor}, "all_reduce");
    if (exchanges()) {
      const at::Tensor flat = flattened(tensor);
      // One piece is added up while others travel.
      const std::int64_t piece = std::min(session_.piece(), longest_exchange);
      for (std::int64_t first = 0; first < flat.numel(); first += piece)
        exchange(
            MpiExchange::all_reduce(group(), flat.narrow(0, first, std::min(piece, flat.numel() - first))),
            reduction, *work);
      return work;
    }
    const MPI_Op operation = reduction == Reduction::sum ? MPI_SUM : MPI_MAX;
    for_pieces(
        tensor,
        [&](char* data, int count, MPI_Datatype type, MPI_Request* request) {
          check_mpi(MPI_Iallreduce(MPI_IN_PLACE, data, count, type, operation, communicator_, request),
                    "MPI_Iallreduce");
        },
        *work);
    return work;
  }

  std::unique_ptr<Work> reduce_scatter(at::Tensor output, at::Tensor input) override {
    check_host_parts(input, output, size_);
    auto work = start({output, input}, "reduce_scatter");
    if (exchanges()) {
      const std::int64_t piece =
          std::max<std::int64_t>(std::min(session_.piece(), longest_exchange) / size_, 1);
      for (std::int64_t first = 0; first < output.numel(); first += piece)
        exchange(scattered(output, input, first, std::min(piece, output.numel() - first)), Reduction::sum,
                 *work);
      return work;
    }
    work->requests.resize(1);
    // MPI's receives nothing into what it sends.
    at::Tensor received = output;
    if (is_part_of(input, output, rank_)) {
      received = scratch_for(*work, output.numel(), output.scalar_type());
      work->finish = [=] { flattened(output).copy_(received); };
    }
    check_mpi(
        MPI_Ireduce_scatter_block(input.data_ptr(), received.data_ptr(), static_cast<int>(output.numel()),
                                  mpi_type_of(input), MPI_SUM, communicator_, work->requests.data()),
        "MPI_Ireduce_scatter_block");
    return work;
  }

  std::unique_ptr<Work> all_gather(at::Tensor output, at::Tensor input) override {
    check_host_parts(output, input, size_);
    auto work = start({output, input}, "all_gather");
    work->requests.resize(1);
    const int count = static_cast<int>(input.numel());
    const void* sent = is_part_of(output, input, rank_) ? MPI_IN_PLACE : input.data_ptr();
    check_mpi(MPI_Iallgather(sent, count, mpi_type_of(input), output.data_ptr(), count, mpi_type_of(input),
                             communicator_, work->requests.data()),
              "MPI_Iallgather");
    return work;
  }

  std::unique_ptr<Work> broadcast(at::Tensor tensor, int root) override {
    check_host(tensor);
    check_root(root, size_);
    auto work = start({tensor}, "broadcast");
    for_pieces(
        tensor,
        [&](char* data, int count, MPI_Datatype type, MPI_Request* request) {
          check_mpi(MPI_Ibcast(data, count, type, root, communicator_, request), "MPI_Ibcast");
        },
        *work);
    return work;
  }

  void barrier() override {
    auto work = start({}, "barrier");
    work->requests.resize(1);
    check_mpi(MPI_Ibarrier(communicator_, work->requests.data()), "MPI_Ibarrier");
    work->wait();
  }

  std::unique_ptr<Communicator> duplicate(const std::string& name) override {
    MPI_Comm copy;
    check_mpi(MPI_Comm_dup(communicator_, &copy), "MPI_Comm_dup");
    return std::make_unique<MpiCommunicator>(copy, session_, name);
  }

 private:
  std::unique_ptr<MpiWork> start(std::vector<at::Tensor> tensors, const char* collective) {
    return std::make_unique<MpiWork>(std::move(tensors), session_, fmt::format("{} {}", collective, name_),
                                     free_since_, pool_);
  }

  bool exchanges() const { return size_ > 1 && size_ <= session_.most_exchanging(); }
  MpiExchange::Group group() const { return {communicator_, rank_, size_}; }
  static at::Tensor flattened(const at::Tensor& tensor) {
    return tensor.detach().as_strided({tensor.numel()}, {1});
  }

  /// Elements [first, first + count) of each rank's part.
  MpiExchange::Parts scattered(const at::Tensor& output, const at::Tensor& input, std::int64_t first,
                               std::int64_t count) const {
    MpiExchange::Parts parts{{}, flattened(output).narrow(0, first, count), false};
    for (int rank = 0; rank < size_; ++rank)
      parts.of_rank.push_back(flattened(input).narrow(0, rank * output.numel() + first, count));
    return parts;
  }

  at::Tensor scratch_for(MpiWork& work, std::int64_t count, at::ScalarType type) {
    work.scratch.push_back(pool_->take(count, type));
    const auto bytes = count * static_cast<std::int64_t>(c10::elementSize(type));
    return work.scratch.back().narrow(0, 0, bytes).view(type);
  }

  void exchange(const MpiExchange::Parts& parts, Reduction reduction, MpiWork& work) {
    const at::Tensor memory =
        scratch_for(work, MpiExchange::scratch_size(group(), parts), parts.sum.scalar_type());
    work.exchanges.push_back(std::make_unique<MpiExchange>(group(), parts, memory, reduction, next_tag()));
  }

  /// Exchanges under way have tags of their own: they need not take their second step in the same order
  /// everywhere.
  int next_tag() { return tag_ = (tag_ + 2) % 32000; }

  template <class Launch>
  void for_pieces(const at::Tensor& tensor, Launch launch, MpiWork& work) const {
    const std::int64_t piece = session_.piece();
    const std::int64_t pieces = (tensor.numel() + piece - 1) / piece;
    work.requests.resize(static_cast<std::size_t>(pieces), MPI_REQUEST_NULL);
    char* data = static_cast<char*>(tensor.data_ptr());
    for (std::int64_t i = 0; i < pieces; ++i) {
      const std::int64_t count = std::min(piece, tensor.numel() - i * piece);
      launch(data + i * piece * static_cast<std::int64_t>(tensor.element_size()), static_cast<int>(count),
             mpi_type_of(tensor), &work.requests[static_cast<std::size_t>(i)]);
    }
  }

  MPI_Comm communicator_;
  MpiSession& session_;
  std::string name_;
  std::shared_ptr<Clock::time_point> free_since_ = std::make_shared<Clock::time_point>();
  std::shared_ptr<ScratchPool> pool_ = std::make_shared<ScratchPool>();
  int tag_ = 0;
  int rank_ = 0, size_ = 1, local_rank_ = 0, local_size_ = 1;
};

}  // namespace

MpiSession::MpiSession(std::int64_t piece) : piece_(piece) {
  // One thread communicates. The watchdog's may call MPI_Abort while this one waits in MPI, which takes more than
  // MPI_THREAD_SERIALIZED by the letter; MPI_THREAD_MULTIPLE would lock in every call. end_process() ends the
  // process without the call where it does not return.
  int provided = 0;
  if (MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided) != MPI_SUCCESS)
    fail(ExitCode::peer, "MPI_Init_thread failed: start the program with mpirun, or with srun --mpi=pmix");
}

MpiSession::~MpiSession() {
  MPI_Finalize();
}

std::unique_ptr<Communicator> MpiSession::world() {
  return std::make_unique<MpiCommunicator>(MPI_COMM_WORLD, *this, "world");
}

void MpiSession::abort(int code) {
  MPI_Abort(MPI_COMM_WORLD, code);
}

}  // namespace ganymede
