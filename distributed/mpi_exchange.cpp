#include "distributed/mpi_exchange.h"

#include <ATen/ATen.h>

#include "core/error.h"

namespace ganymede {
namespace {

// Up to here a second round of messages costs more than the bytes it saves.
constexpr std::size_t short_bytes = 16 * 1024;

}  // namespace

void check_mpi(int result, const char* call) {
  if (result == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(result, text, &length);
  fail(ExitCode::peer,
       "{}: {}: a rank or the network was lost; see the launcher's output, then start again: the run "
       "resumes from its last checkpoint",
       call, std::string_view(text, static_cast<std::size_t>(length)));
}

MPI_Datatype mpi_type_of(const at::Tensor& tensor) {
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

MpiExchange::MpiExchange(const Group& group, at::Tensor tensor, at::Tensor scratch, Reduction reduction,
                         int tag)
    : group_(group),
      tensor_(std::move(tensor)),
      scratch_(std::move(scratch)),
      reduction_(reduction),
      tag_(tag),
      short_(is_short(tensor_)) {
  for (int other = 0; other < group_.size; ++other)
    if (other != group_.rank) receive(received(other), other, tag_);
  for (int other = 0; other < group_.size; ++other)
    if (other != group_.rank) send(short_ ? tensor_ : part(other), other, tag_);
}

bool MpiExchange::is_short(const at::Tensor& tensor) {
  return tensor.nbytes() <= short_bytes;
}

std::int64_t MpiExchange::scratch_size(const Group& group, const at::Tensor& tensor) {
  const std::int64_t row = is_short(tensor) ? tensor.numel() : tensor.numel() / group.size + 1;
  return row * (group.size - 1);
}

at::Tensor MpiExchange::part(int rank) const {
  const std::int64_t count = tensor_.numel(), first = count * rank / group_.size;
  return tensor_.narrow(0, first, count * (rank + 1) / group_.size - first);
}

at::Tensor MpiExchange::received(int rank) const {
  const std::int64_t row = rank < group_.rank ? rank : rank - 1;
  const std::int64_t width = scratch_.numel() / (group_.size - 1);
  return scratch_.narrow(0, row * width, short_ ? tensor_.numel() : part(group_.rank).numel());
}

void MpiExchange::send(const at::Tensor& part, int to, int tag) {
  check_mpi(MPI_Isend(part.data_ptr(), static_cast<int>(part.numel()), mpi_type_of(part), to, tag,
                      group_.communicator, &requests_.emplace_back()),
            "MPI_Isend");
}

void MpiExchange::receive(const at::Tensor& part, int from, int tag) {
  check_mpi(MPI_Irecv(part.data_ptr(), static_cast<int>(part.numel()), mpi_type_of(part), from, tag,
                      group_.communicator, &requests_.emplace_back()),
            "MPI_Irecv");
}

bool MpiExchange::test() {
  while (stage_ != Stage::done) {
    int complete = 0;
    check_mpi(
        MPI_Testall(static_cast<int>(requests_.size()), requests_.data(), &complete, MPI_STATUSES_IGNORE),
        "MPI_Testall");
    if (!complete) return false;
    requests_.clear();
    if (stage_ == Stage::gathering && !short_) {
      spread();
    } else {
      if (short_) add_up(tensor_);
      stage_ = Stage::done;
    }
  }
  return true;
}

void MpiExchange::spread() {
  stage_ = Stage::spreading;
  const at::Tensor own = part(group_.rank);
  for (int other = 0; other < group_.size; ++other)
    if (other != group_.rank) receive(part(other), other, tag_ + 1);
  add_up(own);
  for (int other = 0; other < group_.size; ++other)
    if (other != group_.rank) send(own, other, tag_ + 1);
}

void MpiExchange::add_up(at::Tensor own) const {
  const at::NoGradGuard no_grad;
  const auto join = [&](at::Tensor target, const at::Tensor& a, const at::Tensor& b) {
    reduction_ == Reduction::sum ? at::add_out(target, a, b) : at::maximum_out(target, a, b);
  };
  // The ranks before this one first: rank order.
  for (int other = 1; other < group_.rank; ++other) join(received(0), received(0), received(other));
  if (group_.rank > 0) join(own, received(0), own);
  for (int other = group_.rank + 1; other < group_.size; ++other) join(own, own, received(other));
}

}  // namespace ganymede
