#pragma once

#include "distributed/mpi.h"

namespace ganymede::test {

/// The session of a program with mpi_main.cpp.
MpiSession& mpi_session();

}  // namespace ganymede::test
