#pragma once

#include <filesystem>

#include "datasets/dataset_layout.h"

namespace ganymede {

/// The layout of one dataset file: one of DatasetWriter's, or a foreign one with contiguous `images` or
/// `imgs` (and `labels`) of the same shapes and types, as BigGAN-PyTorch's tools can be told to write.
/// Everything is held against the file's true size before any memory is taken, and pixels of a few images are
/// read both through libhdf5 and through the layout. What cannot be read, or might be read wrongly, throws
/// Error(dataset), naming file, object, what was expected and what was found. `fingerprint` is left at zero.
///
/// Uses libhdf5 in this process, which a damaged file may hang or crash: ImageDataset::inspect() guards it.
DatasetLayout inspect_file(const std::filesystem::path& path);

}  // namespace ganymede
