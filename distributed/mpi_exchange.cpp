#include "distributed/mpi_exchange.h"

#include <ATen/ATen.h>

#include <utility>

#include "core/error.h"
#include "core/share.h"

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

MpiExchange::Parts MpiExchange::all_reduce(const Group& group, const at::Tensor& tensor) {
  const auto ranks = static_cast<std::size_t>(group.size);
  if (tensor.nbytes() <= short_bytes) return {std::vector(ranks, tensor), tensor, false};
  Parts parts{{}, {}, true};
  for (int rank = 0; rank < group.size; ++rank) {
    const Share share = share_of(tensor.numel(), rank, group.size);
    parts.of_rank.push_back(tensor.narrow(0, share.first, share.count));
  }
  parts.sum = parts.of_rank[static_cast<std::size_t>(group.rank)];
  return parts;
}

MpiExchange::MpiExchange(const Group& group, Parts parts, at::Tensor scratch, Reduction reduction, int tag)
    : group_(group),
      parts_(std::move(parts)),
      scratch_(std::move(scratch)),
      reduction_(reduction),
      tag_(tag) {
  for (int other = 0; other < group_.size; ++other)
    if (other != group_.rank) receive(received(other), other, tag_);
  for (int other = 0; other < group_.size; ++other)
    if (other != group_.rank) send(part(other), other, tag_);
}

std::int64_t MpiExchange::scratch_size(const Group& group, const Parts& parts) {
  return parts.sum.numel() * (group.size - 1);
}

at::Tensor MpiExchange::received(int rank) const {
  const std::int64_t row = rank < group_.rank ? rank : rank - 1, width = parts_.sum.numel();
  return scratch_.narrow(0, row * width, width);
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
    if (stage_ == Stage::gathering && parts_.spreads) {
      spread();
    } else {
      if (stage_ == Stage::gathering) add_up();
      stage_ = Stage::done;
    }
  }
  return true;
}

void MpiExchange::spread() {
  stage_ = Stage::spreading;
  for (int other = 0; other < group_.size; ++other)
    if (other != group_.rank) receive(part(other), other, tag_ + 1);
  add_up();
  for (int other = 0; other < group_.size; ++other)
    if (other != group_.rank) send(parts_.sum, other, tag_ + 1);
}

void MpiExchange::add_up() const {
  const at::NoGradGuard no_grad;
  const auto join = [&](at::Tensor target, const at::Tensor& a, const at::Tensor& b) {
    reduction_ == Reduction::sum ? at::add_out(target, a, b) : at::maximum_out(target, a, b);
  };
  // The ranks before this one first: rank order.
  for (int other = 1; other < group_.rank; ++other) join(received(0), received(0), received(other));
  at::Tensor sum = part(group_.rank);
  if (group_.rank > 0) join(parts_.sum, received(0), std::exchange(sum, parts_.sum));
  for (int other = group_.rank + 1; other < group_.size; ++other)
    join(parts_.sum, std::exchange(sum, parts_.sum), received(other));
}

}  // namespace ganymede
