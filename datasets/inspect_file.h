#pragma once

#include <filesystem>

#include "datasets/dataset_layout.h"

namespace ganymede {

/// The layout of one dataset file: one of DatasetWriter's, or a foreign one with `images` or `imgs` [N, C, H,
/// W] or, where H, W > 4 >= C, [N, H, W, C] (without these, the largest of ProGAN's `data{r}x{r}`), and
/// `labels` [N] of the same types, contiguous or in chunks through known filters (chunk_filters.h), as
/// BigGAN-PyTorch's and StudioGAN's tools write them. Everything is held against the file's true size before
/// any memory is taken, and pixels of a few images are read both through libhdf5 and through the layout. What
/// cannot be read, or might be read wrongly, throws Error(dataset), naming file, object, what was expected
/// and what was found. `fingerprint` is left at zero. With `side`, the layout of the copies of the images
/// that have so many pixels along each side, and of nothing that comes with them. What comes with them may be
/// stored in any of these ways, digests or not, so that a script can add it to a packed file.
///
/// Uses libhdf5 in this process, which a damaged file may hang or crash: ImageDataset::inspect() guards it.
DatasetLayout inspect_file(const std::filesystem::path& path, std::int64_t side = 0);

}  // namespace ganymede
