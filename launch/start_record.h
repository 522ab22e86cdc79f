#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>

namespace ganymede {

/// How often a run was started from one of its checkpoints without getting to a newer one: rank 0's, in a file of the
/// run's folder. It breaks the loop of a run that is requeued for ever and always dies on the way from the same
/// checkpoint.
struct StartRecord {
  static constexpr const char* file_name = ".starts";
  /// Starts from a checkpoint that may fail before the one before it is taken.
  static constexpr std::int64_t most_failures = 2;

  std::int64_t step = -1;   ///< of the checkpoint
  std::int64_t starts = 0;  ///< from it
  std::int64_t last_step = std::numeric_limits<std::int64_t>::max();  ///< those of later steps have been given up

  /// What the folder has, or a record of nothing: also where it cannot be understood, as parse() does.
  static StartRecord read(const std::filesystem::path& run);
  static StartRecord parse(const std::string& text);
  std::string text() const;
  /// Durably. Throws Error(storage).
  void write(const std::filesystem::path& run) const;
  /// Of a run that got to a new checkpoint, or ended in order.
  static void drop(const std::filesystem::path& run) noexcept;
};

}  // namespace ganymede
