#pragma once

#define OMPI_SKIP_MPICXX
#include <mpi.h>

#include <vector>

#include "distributed/communicator.h"

namespace ganymede {

/// An all-reduce or a reduce-scatter out of point-to-point messages, for few ranks: several times as fast there as
/// MPI_Iallreduce, whose library form moves on a small step a call. Each element is added up in rank order,
/// so the sum is a function of the rank count alone, and the same in both.
///
/// Of an all-reduce short tensors go whole from every rank to every other, and each adds up all. Of longer ones rank r
/// adds up the r-th part, which every other rank sends it, and sends the sum to all: 2 (n - 1) / n of the bytes, in
/// two rounds of messages. A reduce-scatter is the first of these rounds.
class MpiExchange {
 public:
  struct Group {
    MPI_Comm communicator;
    int rank, size;
  };
  /// What travels: flat tensors of at most 2^31 - 1 elements in all.
  struct Parts {
    std::vector<at::Tensor> of_rank;  ///< what each rank adds up, as it is here
    at::Tensor sum;                   ///< where this rank's sum goes; may be its own part
    bool spreads = false;             ///< whether the sums then go into the parts of all ranks
  };
  static Parts all_reduce(const Group& group, const at::Tensor& tensor);

  /// Starts. `scratch` is flat, of the parts' type, with scratch_size() elements; all stay untouched until test() is
  /// true. `tag` and `tag` + 1 are used by no other exchange under way in the group.
  MpiExchange(const Group& group, Parts parts, at::Tensor scratch, Reduction reduction, int tag);
  MpiExchange(const MpiExchange&) = delete;
  MpiExchange& operator=(const MpiExchange&) = delete;

  static std::int64_t scratch_size(const Group& group, const Parts& parts);

  /// Moves on without blocking; true once it is complete.
  bool test();
  /// Whether MPI still reads or writes the tensors.
  bool is_under_way() const { return stage_ != Stage::done; }

 private:
  enum class Stage { gathering, spreading, done };
  at::Tensor part(int rank) const { return parts_.of_rank[static_cast<std::size_t>(rank)]; }
  at::Tensor received(int rank) const;
  void send(const at::Tensor& part, int to, int tag);
  void receive(const at::Tensor& part, int from, int tag);
  void spread();
  void add_up() const;

  Group group_;
  Parts parts_;
  at::Tensor scratch_;
  Reduction reduction_;
  int tag_;
  Stage stage_ = Stage::gathering;
  std::vector<MPI_Request> requests_;
};

/// Throws Error(peer) unless `result` of the MPI function `call` is MPI_SUCCESS.
void check_mpi(int result, const char* call);
MPI_Datatype mpi_type_of(const at::Tensor& tensor);

}  // namespace ganymede
