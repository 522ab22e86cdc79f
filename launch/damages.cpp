#include "launch/damages.h"

#include <fmt/ranges.h>

namespace ganymede {

void Damages::check(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    if (error.code() != code_) throw;
    messages_.emplace_back(error.what());
  }
}

void Damages::report() const {
  if (!messages_.empty()) fail(code_, "{}", fmt::join(messages_, "; "));
}

}  // namespace ganymede
