#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>

namespace ganymede {

/// A collective under way. Its tensors stay alive and untouched until wait() returns or test() is true.
class Work {
 public:
  virtual ~Work() = default;
  /// Moves the collective on without blocking; true once it is complete.
  virtual bool test() = 0;
  /// On the host: until it is complete. On a GPU: what the current stream does next comes after the
  /// collective, and the host goes on at once.
  virtual void wait() = 0;
  /// Once it is complete: seconds from when it could start, which is its launch or the end of the collective
  /// before it in the group, to its completion. 0 where nothing travels.
  virtual double seconds() const { return 0; }
};

enum class Reduction { sum, max };

/// A group of ranks. Every method but rank, size, local_rank, local_size, name and check_health is
/// collective: all ranks of the group call it, from one thread each, in the same order, with tensors of the
/// same shape and type. Tensors are dense (contiguous in some memory format, the same on all ranks) and of
/// type float32, float64, int64 or uint8, on a device that the backend serves; there they belong to the
/// current stream. A group of one is an ordinary group. A lost peer ends the wait with Error(peer); a stuck
/// one is the watchdog's.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  /// Rank among the ranks on the same host: chooses the GPU.
  virtual int local_rank() const = 0;
  /// Number of ranks on this host.
  virtual int local_size() const = 0;
  /// What the group is for ("gradients"): the watchdog's reports say it.
  virtual const std::string& name() const = 0;

  /// In place: tensor = sum (or maximum) over ranks. The order of additions is a function of size and rank
  /// count only.
  virtual std::unique_ptr<Work> all_reduce(at::Tensor tensor, Reduction reduction = Reduction::sum) = 0;
  /// output (a size()-th of input) = this rank's part of the sum of the inputs: bit for bit all_reduce's where that
  /// adds up in rank order. `output` may be that part of `input` itself, the rest of which stays as it is.
  virtual std::unique_ptr<Work> reduce_scatter(at::Tensor output, at::Tensor input) = 0;
  /// output (size() times input) = the inputs of all ranks in rank order. `input` may be this rank's part of `output`.
  virtual std::unique_ptr<Work> all_gather(at::Tensor output, at::Tensor input) = 0;
  /// tensor = root's tensor.
  virtual std::unique_ptr<Work> broadcast(at::Tensor tensor, int root) = 0;
  /// Waits until every rank's host has come here.
  virtual void barrier() = 0;
  /// Throws Error(peer) where the group is known to have failed: whoever waits for a GPU calls it meanwhile,
  /// for there collectives fail while nobody waits for them.
  virtual void check_health() {}

  /// A second group of the same ranks whose collectives do not mix with this one's.
  virtual std::unique_ptr<Communicator> duplicate(const std::string& name) = 0;

  /// The largest value any rank gave: with flags, whether any rank raised it.
  std::int64_t agree(std::int64_t value);
  /// Root's text on every rank.
  std::string broadcast_text(const std::string& text, int root);
  /// Every rank's text, in rank order.
  std::vector<std::string> gather_texts(const std::string& text);
};

/// The group of this process alone.
std::unique_ptr<Communicator> make_single_communicator();

}  // namespace ganymede
