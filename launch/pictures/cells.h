#pragma once

#include "launch/pictures/picture.h"

namespace ganymede {

/// What the pictures share. Legend: n cells of C x H x W pixels, D numbers of a latent.

/// The latents [n, D] and labels [n] of images, by index.
at::Tensor latents_of_images(const LatentImages& latents, const std::vector<std::int64_t>& indices);
at::Tensor labels_of_images(const Drawing& drawing, const std::vector<std::int64_t>& indices);

/// Throws AgreedError(options) unless the picture goes into one PNG that such a sheet of cells fits in, and (storage)
/// unless that can be written. Collective.
void check_sheet(const PictureJob& job, std::int64_t rows, std::int64_t columns);

/// Cells first .. first + n - 1 of a picture, [n, C, H, W] in [-1, 1].
using DrawCells = std::function<at::Tensor(std::int64_t first, std::int64_t count)>;
/// Cells in order, as bytes [n, C, H, W].
using TakeCells = std::function<void(std::int64_t first, const at::Tensor& bytes)>;
/// Draws cells 0 .. count - 1 with all ranks and hands them to `take` in order, on rank 0. They are drawn in runs of
/// Drawing::batch, which are cut alike at any number of ranks: so the bytes are the same too. Collective.
void draw_cells(const PictureJob& job, std::int64_t count, const DrawCells& draw, const TakeCells& take);
/// All of them [count, C, H, W] on rank 0; undefined elsewhere.
at::Tensor drawn_cells(const PictureJob& job, std::int64_t count, const DrawCells& draw);

/// White bytes [count, C, H, W].
at::Tensor blank_cells(const PictureJob& job, std::int64_t count);
/// Writes rank 0's cells as one sheet. Collective.
void write_sheet(const PictureJob& job, const at::Tensor& cells, std::int64_t columns);

}  // namespace ganymede
