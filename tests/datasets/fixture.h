#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/philox.h"
#include "datasets/dataset_writer.h"
#include "datasets/image_dataset.h"

namespace ganymede {

/// A folder that goes away with the test.
class DatasetTest : public testing::Test {
 protected:
  DatasetTest() {
    std::string name = (std::filesystem::temp_directory_path() / "ganymede-datasets-XXXXXX").string();
    folder = ::mkdtemp(name.data());
  }
  ~DatasetTest() override { std::filesystem::remove_all(folder); }

  std::filesystem::path folder;
};

/// Bytes without a pattern, the same at every run.
inline std::vector<std::byte> random_bytes(std::int64_t count, std::uint64_t seed = 0) {
  const RandomStream stream({.seed = seed, .phase = "test"});
  std::vector<std::byte> bytes(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(stream.bits(i, 0));
  return bytes;
}

/// Writes a dataset; empty labels are left to the writer.
inline std::filesystem::path write_dataset(const std::filesystem::path& path,
                                           const DatasetDescription& description,
                                           std::span<const std::byte> images,
                                           const std::vector<std::int64_t>& labels = {}) {
  DatasetWriter writer(path, description);
  writer.write_images(0, images);
  if (!labels.empty()) writer.write_labels(labels);
  writer.finish();
  return path;
}

inline ImageDataset open_dataset(const std::vector<std::filesystem::path>& files) {
  return ImageDataset::attach(ImageDataset::inspect(files));
}

/// The message of the Error that `action` throws, after a check of its code.
inline std::string message_of(ExitCode code, const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

inline std::int64_t offset_of_images(const std::filesystem::path& path) {
  return layout_from_json(ImageDataset::inspect({path})).files.front().images.offset;
}

inline void flip_byte(const std::filesystem::path& path, std::int64_t offset) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(offset);
  const int byte = file.get();
  file.seekp(offset);
  file.put(static_cast<char>(byte ^ 0x10));
}

}  // namespace ganymede
