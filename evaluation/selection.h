#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/share.h"

namespace ganymede {

/// Throws Error(dataset) if `name` holds fewer images than asked for, or none.
void check_count(const std::string& name, std::int64_t size, std::int64_t count);

/// The `count` of `size` images that a score looks at, ascending: all of them, or a random subset by `seed`,
/// the same on every rank. Of fewer images a part of those of more. A place in this list is an image's
/// position. Throws as check_count().
std::vector<std::int64_t> select_images(std::int64_t size, std::int64_t count, std::uint64_t seed,
                                        const std::string& name);

/// The positions of a rank: whole units of `unit` images, of which the last may be cut; together they cover
/// [0, count), each position once, and differ by one unit at most.
Share share_of_positions(std::int64_t count, std::int64_t unit, int rank, int size);

}  // namespace ganymede
