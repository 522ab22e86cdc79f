#include "core/error.h"
#include "distributed/nccl_communicator.h"

namespace ganymede {
namespace {

[[noreturn]] void refuse() {
  fail(ExitCode::options, "this build has no NCCL: build the preset cuda, or run on the CPU");
}

}  // namespace

std::unique_ptr<Communicator> make_nccl_communicator(const MpiSession&, Communicator&, const std::string&,
                                                     at::Device, std::chrono::milliseconds) {
  refuse();
}

void prepare_nccl(const NcclEnvironment&) {}

std::string nccl_version() {
  return "none";
}

std::string gpu_identity(int) {
  refuse();
}

bool gpu_has_bf16(int) {
  refuse();
}

}  // namespace ganymede
