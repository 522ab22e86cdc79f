#include "distributed/mpi_diagnostics.h"
#include "distributed/nccl_communicator.h"

#include <ATen/Context.h>
#include <torch/headeronly/version.h>

#include "core/files.h"
#include "core/hash.h"
#include "datasets/hdf5_file.h"
#include "launch/doctor/checks.h"

namespace ganymede {
namespace {

std::string cuda_text() {
  if (!at::globalContext().hasCUDART()) return "no CUDA";
  const long version = at::globalContext().versionCUDART();
  return fmt::format("CUDA {}.{}, NCCL {}", version / 1000, version / 10 % 100, nccl_version());
}

/// What runs is compared byte by byte: a rebuilt program on one host has the same version.
std::string versions_text() {
  return fmt::format("ganymede {} ({}), libtorch {}, {}, HDF5 {}, {}", GANYMEDE_VERSION,
                     hex(digest_of_file("/proc/self/exe")), TORCH_VERSION, mpi_version(), hdf5_version(),
                     cuda_text());
}

}  // namespace

Verdict examine_versions(ExaminedJob& job) {
  std::string text;
  if (auto failed = job.failures_of([&] { text = versions_text(); })) return *failed;
  const std::vector<int> unlike = job.unlike_first(text);
  if (unlike.empty()) return all_well(text);
  std::vector<std::string> notes = job.gather(text);
  return failure(
      ExitCode::options,
      fmt::format("{} runs other versions than rank 0: install the same program and libraries on every "
                  "host: {}",
                  places_text(unlike, job.hosts()), notes_text(notes, job.hosts())));
}

}  // namespace ganymede
