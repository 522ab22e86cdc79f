#pragma once

#include <unistd.h>

#include <cstdlib>
#include <stdexcept>

namespace ganymede {

/// Root may read and write anything: become somebody else while this lives.
class OrdinaryUser {
 public:
  OrdinaryUser() : before_(::geteuid()) {
    if (before_ == 0 && ::seteuid(65534) != 0) throw std::runtime_error("cannot give up root");
  }
  ~OrdinaryUser() {
    if (::seteuid(before_) != 0) std::abort();
  }
  OrdinaryUser(const OrdinaryUser&) = delete;
  OrdinaryUser& operator=(const OrdinaryUser&) = delete;

 private:
  uid_t before_;
};

}  // namespace ganymede
