#pragma once

#include <c10/core/Event.h>

#include <map>
#include <optional>
#include <string>

#include "core/named_tensors.h"

namespace ganymede {

/// Copies of tensors as they are at one moment, in host memory that the next copy uses again: memory that was never
/// touched costs the kernel more time than the copying. Copies keep the order of elements in memory, so that they go
/// at memory's speed; page-locked memory where the tensors are a GPU's.
class HostCopy {
 public:
  /// A copy under way or done.
  struct Copied {
    NamedTensors tensors;
    /// On a GPU: the copies are done once this has happened. What the current stream does next to the tensors comes
    /// after them, so the host need not wait before it goes on.
    std::shared_ptr<c10::Event> arrived;

    /// Whether the copies hold what was asked for.
    bool is_there() const { return !arrived || arrived->query(); }
  };

  /// The copies before must no longer be in use, but for those of names that do not come again.
  Copied take(const NamedTensors& tensors);
  /// Bytes that the copies hold.
  std::int64_t bytes() const;

 private:
  std::map<std::string, at::Tensor> memory_;
};

}  // namespace ganymede
