#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/hash.h"
#include "datasets/dataset_writer.h"
#include "datasets/image_dataset.h"

// What test_hdf5.py runs:
//   hdf5_tool write FILE TYPE   a dataset of 11 images [3, 5, 5] whose bytes count up, modulo 251
//   hdf5_tool read FILE...      prints as JSON what the reader makes of the files
namespace ganymede {
namespace {

void write(const std::string& path, const std::string& type) {
  DatasetDescription description{
      .count = 11, .channels = 3, .height = 5, .width = 5, .class_names = {"cat", "blåhaj"}};
  description.type = element_type_named(type).value();
  if (description.type != ElementType::uint8) description.low = -1, description.high = 2;
  description.provenance = {{"source", "a folder"}, {"resizer", "lanczos"}};
  std::vector<std::byte> images(static_cast<std::size_t>(11 * description.image_bytes()));
  for (std::size_t i = 0; i < images.size(); ++i) images[i] = static_cast<std::byte>(i % 251);
  DatasetWriter writer(path, description);
  writer.write_images(0, images);
  writer.write_labels(std::vector<std::int64_t>{0, 1, 0, 1, -1, 0, 0, 0, 1, 1, 1});
  writer.finish();
}

void read(const std::vector<std::filesystem::path>& paths) {
  const ImageDataset dataset = ImageDataset::attach(ImageDataset::inspect(paths));
  std::vector<std::byte> image(static_cast<std::size_t>(dataset.image_bytes()));
  std::vector<std::string> digests;
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    dataset.verify_block_of(i);
    dataset.read(i, image);
    std::string text;
    for (const std::byte byte : image) text += fmt::format("{:02x}", static_cast<unsigned>(byte));
    digests.push_back(text);
  }
  const nlohmann::json json = {
      {"shape", {dataset.size(), dataset.channels(), dataset.height(), dataset.width()}},
      {"type", name_of(dataset.type())},
      {"range", {dataset.low(), dataset.high()}},
      {"labels", std::vector<std::int64_t>(dataset.labels().begin(), dataset.labels().end())},
      {"class_names", dataset.class_names()},
      {"classes", dataset.classes()},
      {"images", digests}};
  std::puts(json.dump().c_str());
}

}  // namespace
}  // namespace ganymede

int main(int count, char** words) {
  const std::vector<std::string> arguments(words + 1, words + count);
  try {
    if (arguments.at(0) == "write") ganymede::write(arguments.at(1), arguments.at(2));
    if (arguments.at(0) == "read") ganymede::read({arguments.begin() + 1, arguments.end()});
  } catch (const ganymede::Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return static_cast<int>(error.code());
  }
}
