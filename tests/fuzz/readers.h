#pragma once

#include <cstdint>
#include <filesystem>

namespace ganymede {

/// Each reads all of what somebody else may have made, as the program does, and returns the XXH3-64 of whatever it read:
/// names, types, values. An Error means that the file was refused; anything else that is thrown, and a contradiction
/// between two ways to read the same (std::logic_error), is a bug.

/// A recipe, into options of every kind; what these then print must read back as the same.
std::uint64_t read_recipe_file(const std::filesystem::path& path);
/// A dataset, ours or foreign: what `train` opens, and of its images, sources and embeddings the first 16 MiB each, all
/// held to their digests.
std::uint64_t read_dataset_file(const std::filesystem::path& path);
std::uint64_t read_safetensors_file(const std::filesystem::path& path);
/// A folder with manifest and shards.
std::uint64_t read_checkpoint_folder(const std::filesystem::path& folder);
/// Weights in any container.
std::uint64_t read_weights_file(const std::filesystem::path& path);
/// Arrays of images to be packed, and statistics of scores.
std::uint64_t read_npz_file(const std::filesystem::path& path);
/// A zip or tar of images to be packed.
std::uint64_t read_archive_file(const std::filesystem::path& path);
/// A JPEG or PNG.
std::uint64_t read_picture_file(const std::filesystem::path& path);

}  // namespace ganymede
