#include "distributed/mpi.h"

// The C interface alone: the deprecated C++ bindings are not linked.
#define OMPI_SKIP_MPICXX
#include <mpi.h>
#include <sched.h>

#include <vector>

#include "core/error.h"
#include "distributed/collective_checks.h"

namespace ganymede {
namespace {

void check(int result, const char* call) {
  if (result == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(result, text, &length);
  fail(ExitCode::peer,
       "{}: {}: a rank or the network was lost; see the launcher's output, then start again: the run "
       "resumes from its last checkpoint",
       call, std::string_view(text, static_cast<std::size_t>(length)));
}

MPI_Datatype type_of(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return MPI_FLOAT;
    case at::kDouble:
      return MPI_DOUBLE;
    case at::kLong:
      return MPI_INT64_T;
    default:
      return MPI_UINT8_T;
  }
}

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

class MpiWork final : public Work {
 public:
  MpiWork(std::vector<at::Tensor> tensors, const MpiSession& session, std::string what)
      : tensors_(std::move(tensors)), session_(session), what_(std::move(what)) {}
  MpiWork(const MpiWork&) = delete;
  MpiWork& operator=(const MpiWork&) = delete;
  ~MpiWork() override {
    // MPI goes on writing to what an exception abandoned: its memory is never given back.
    if (std::ranges::any_of(requests, [](MPI_Request request) { return request != MPI_REQUEST_NULL; }))
      new std::vector<at::Tensor>(std::move(tensors_));
  }
  std::vector<MPI_Request> requests;

  bool test() override {
    int complete = 0;
    check(MPI_Testall(static_cast<int>(requests.size()), requests.data(), &complete, MPI_STATUSES_IGNORE),
          what_.c_str());
    return complete != 0;
  }

  void wait() override {
    WaitObserver* observer = session_.observer();
    if (observer) observer->enter(what_);
    for (int spins = 0; !test(); ++spins)
      if (spins > 64) sched_yield();
    if (observer) observer->leave();
  }

 private:
  std::vector<at::Tensor> tensors_;
  const MpiSession& session_;
  std::string what_;
};

class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator(MPI_Comm communicator, MpiSession& session, std::string name)
      : communicator_(communicator), session_(session), name_(std::move(name)) {
    MPI_Comm_set_errhandler(communicator_, MPI_ERRORS_RETURN);
    MPI_Comm_rank(communicator_, &rank_);
    MPI_Comm_size(communicator_, &size_);
    MPI_Comm host;
    check(MPI_Comm_split_type(communicator_, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &host),
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
    const MPI_Op operation = reduction == Reduction::sum ? MPI_SUM : MPI_MAX;
    for_pieces(
        tensor,
        [&](char* data, int count, MPI_Datatype type, MPI_Request* request) {
          check(MPI_Iallreduce(MPI_IN_PLACE, data, count, type, operation, communicator_, request),
                "MPI_Iallreduce");
        },
        *work);
    return work;
  }

  std::unique_ptr<Work> reduce_scatter(at::Tensor output, at::Tensor input) override {
    check_host_parts(input, output, size_);
    auto work = start({output, input}, "reduce_scatter");
    work->requests.resize(1);
    check(MPI_Ireduce_scatter_block(input.data_ptr(), output.data_ptr(), static_cast<int>(output.numel()),
                                    type_of(input), MPI_SUM, communicator_, work->requests.data()),
          "MPI_Ireduce_scatter_block");
    return work;
  }

  std::unique_ptr<Work> all_gather(at::Tensor output, at::Tensor input) override {
    check_host_parts(output, input, size_);
    auto work = start({output, input}, "all_gather");
    work->requests.resize(1);
    const int count = static_cast<int>(input.numel());
    check(MPI_Iallgather(input.data_ptr(), count, type_of(input), output.data_ptr(), count, type_of(input),
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
          check(MPI_Ibcast(data, count, type, root, communicator_, request), "MPI_Ibcast");
        },
        *work);
    return work;
  }

  void barrier() override {
    auto work = start({}, "barrier");
    work->requests.resize(1);
    check(MPI_Ibarrier(communicator_, work->requests.data()), "MPI_Ibarrier");
    work->wait();
  }

  std::unique_ptr<Communicator> duplicate(const std::string& name) override {
    MPI_Comm copy;
    check(MPI_Comm_dup(communicator_, &copy), "MPI_Comm_dup");
    return std::make_unique<MpiCommunicator>(copy, session_, name);
  }

 private:
  std::unique_ptr<MpiWork> start(std::vector<at::Tensor> tensors, const char* collective) {
    return std::make_unique<MpiWork>(std::move(tensors), session_, fmt::format("{} {}", collective, name_));
  }

  template <class Launch>
  void for_pieces(const at::Tensor& tensor, Launch launch, MpiWork& work) const {
    const std::int64_t piece = session_.piece();
    const std::int64_t pieces = (tensor.numel() + piece - 1) / piece;
    work.requests.resize(static_cast<std::size_t>(pieces), MPI_REQUEST_NULL);
    char* data = static_cast<char*>(tensor.data_ptr());
    for (std::int64_t i = 0; i < pieces; ++i) {
      const std::int64_t count = std::min(piece, tensor.numel() - i * piece);
      launch(data + i * piece * static_cast<std::int64_t>(tensor.element_size()), static_cast<int>(count),
             type_of(tensor), &work.requests[static_cast<std::size_t>(i)]);
    }
  }

  MPI_Comm communicator_;
  MpiSession& session_;
  std::string name_;
  int rank_ = 0, size_ = 1, local_rank_ = 0, local_size_ = 1;
};

}  // namespace

MpiSession::MpiSession(std::int64_t piece) : piece_(piece) {
  // The watchdog's thread may call MPI_Abort while this one waits in MPI.
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
