#pragma once

#include "core/error.h"

namespace ganymede {

/// An Error that every rank throws at the same point with the same message: none waits for another then, and
/// one of them speaks for all.
class SharedError : public Error {
 public:
  using Error::Error;
};

}  // namespace ganymede
