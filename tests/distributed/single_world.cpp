#include "tests/distributed/world.h"

namespace ganymede::test {

Communicator& world() {
  static const std::unique_ptr<Communicator> alone = make_single_communicator();
  return *alone;
}

at::Device device() {
  return at::kCPU;
}

}  // namespace ganymede::test
