#pragma once

#include <filesystem>

#include "evaluation/statistics.h"

namespace ganymede {

/// Statistics in an .npz: mu [D] and sigma [D, D] float64, which pytorch-fid and its kin read; mu_s and
/// sigma_s of spatial features, as ADM's; the factor `half` and `half_s`, which save a matrix step; count;
/// and `protocol`, JSON as text. Written whole or not at all. Throws Error(storage).
void write_statistics(const std::filesystem::path& path, const ReferenceStatistics& statistics);

/// Ours, or anyone's with mu and sigma. A file without protocol gets one that says so: its name, and the
/// digest of its bytes. Throws Error(dataset) where the file is damaged, or holds no statistics.
ReferenceStatistics read_statistics(const std::filesystem::path& path);

/// Whether this is an .npz with mu and sigma.
bool holds_statistics(const std::filesystem::path& path);
/// Whether it is one with images, as `images` or `arr_0`.
bool holds_images(const std::filesystem::path& path);

}  // namespace ganymede
