#pragma once

#include "launch/process.h"
#include "models/method.h"

namespace ganymede {

/// What to draw from a sampler.
struct Drawing {
  std::int64_t count = 0;
  std::int64_t batch = 64;  ///< most images that a rank draws at once, in whole units of the sampler's
  std::uint64_t seed = 0;
  std::vector<std::int64_t> classes = {};  ///< image i has class i mod size; empty: a random class each
  std::int64_t class_count = 1;            ///< number of classes for random ones
  std::int64_t columns = 0;                ///< of a grid; 0: grid_columns() chooses
};

std::vector<std::int64_t> every_class(std::int64_t count);
/// What --classes says: "all", "3,7", or nothing for random ones. Throws Error(options) for a class that is
/// not below `count`.
std::vector<std::int64_t> read_classes(const std::string& text, std::int64_t count);

/// How many columns a grid of the drawing has: where few classes are drawn in turn, a multiple of their
/// number, so that each column shows one of them; else about as many as rows.
std::int64_t grid_columns(const Drawing& drawing);

/// The label of image `index`, whoever draws it.
at::Tensor labels_of(const Drawing& drawing, std::int64_t first, std::int64_t count);

/// Draws images 0 .. count - 1 with all ranks and hands them to `take` (first index, images [N, C, H, W] in
/// [-1, 1], labels [N]) in order, on rank 0. Collective.
void draw(
    Process& process, Sampler& sampler, const Drawing& drawing,
    const std::function<void(std::int64_t first, const at::Tensor& images, const at::Tensor& labels)>& take);

}  // namespace ganymede
