#pragma once

#include "distributed/mpi.h"

namespace ganymede::test {

/// The session of a program with mpi_main.cpp.
MpiSession& mpi_session();

/// What world() is made of in this program: a group named "world" of all ranks.
std::unique_ptr<Communicator> make_world(MpiSession& session);

}  // namespace ganymede::test
