#pragma once

#include <chrono>

#include "distributed/communicator.h"
#include "distributed/mpi.h"

namespace ganymede {

/// A second group of `host`'s ranks whose collectives on GPU tensors go through NCCL; those on host tensors,
/// and the barrier, go through a duplicate of `host`. Collective.
///
/// Each rank gives its GPU, `device`. Collectives run on a stream of the group's own, behind what the current
/// stream has been given so far. Several groups may have collectives under way at once: NCCL orders their
/// kernels as the hosts issued them, which is the same order on all ranks (prepare_nccl() asks for that).
///
/// No call blocks inside NCCL: each is polled for as long as NCCL is at it, at most `deadline`. A failure,
/// here or there, aborts this rank's group, which closes its connections, so that the other ranks'
/// check_health() and calls fail too; all throw Error(peer). The session's observer is told of each launch.
///
/// Throws Error(options) in a build without CUDA, Error(peer) where the ranks do not find each other.
std::unique_ptr<Communicator> make_nccl_communicator(const MpiSession& session, Communicator& host,
                                                     const std::string& name, at::Device device,
                                                     std::chrono::milliseconds deadline);

struct NcclEnvironment {
  int rank = 0;
  /// Several ranks use one GPU, which NCCL refuses on one host: each rank calls itself a host of its own, and
  /// the ranks talk through loopback sockets. For tests: slow.
  bool shared_gpu = false;
  /// Sums that repeat bit for bit: one algorithm and protocol, whatever NCCL measures.
  bool deterministic = false;
};

/// Sets the environment variables that NCCL reads once, unless they are set. Before the first communicator,
/// and before the process has other threads that read the environment.
void prepare_nccl(const NcclEnvironment& environment);

/// "2.28.9": of the library that is loaded; "none" in a build without CUDA.
std::string nccl_version();

/// What tells this host's GPU number `index` from all others: its UUID. Throws Error(options) in a build
/// without CUDA.
std::string gpu_identity(int index);

/// Whether this host's GPU number `index` multiplies bfloat16 matrices in its tensor cores: compute capability 8.0
/// on. Throws Error(options) in a build without CUDA.
bool gpu_has_bf16(int index);

}  // namespace ganymede
