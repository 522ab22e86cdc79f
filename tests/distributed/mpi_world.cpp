#include "tests/distributed/mpi_session.h"
#include "tests/distributed/world.h"

namespace ganymede::test {

std::unique_ptr<Communicator> make_world(MpiSession& session) {
  return session.world();
}

at::Device device() {
  return at::kCPU;
}

}  // namespace ganymede::test
