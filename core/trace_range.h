#pragma once

namespace ganymede {

/// Names what this thread does until the end of the block, for Nsight Systems (an NVTX range; ranges nest).
/// Does nothing in a build without CUDA.
class TraceRange {
 public:
  /// `name` outlives the range.
  explicit TraceRange(const char* name);
  ~TraceRange();
  TraceRange(const TraceRange&) = delete;
  TraceRange& operator=(const TraceRange&) = delete;
};

}  // namespace ganymede
