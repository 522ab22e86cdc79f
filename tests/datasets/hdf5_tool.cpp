#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/hash.h"
#include "datasets/dataset_writer.h"
#include "datasets/image_dataset.h"
#include "datasets/loader.h"
#include "datasets/vocabulary.h"

// What the tests in Python run:
//   hdf5_tool write FILE TYPE   a dataset of 11 images [3, 5, 5] whose bytes count up, modulo 251
//   hdf5_tool read FILE...      prints as JSON what the reader makes of the files
//   hdf5_tool load FILE CACHE   as JSON [label, bytes of image] of every sample that one epoch of training
//   sees, with a
//                               cache of so many bytes
//   hdf5_tool words FILE        as JSON the words of a text, for tokens
//   hdf5_tool epoch FILE        one epoch: the number of images, and the most anonymous memory in use on its
//   way
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
  nlohmann::json json = {
      {"shape", {dataset.size(), dataset.channels(), dataset.height(), dataset.width()}},
      {"type", name_of(dataset.type())},
      {"range", {dataset.low(), dataset.high()}},
      {"labels", std::vector<std::int64_t>(dataset.labels().begin(), dataset.labels().end())},
      {"class_names", dataset.class_names()},
      {"classes", dataset.classes()},
      {"images", digests}};
  if (const ImageDataset* sources = dataset.sources()) {
    const at::Tensor bytes =
        ((read_sources(*sources, 0, sources->size()) + 1) * 127.5).round().to(at::kByte).contiguous();
    json["sources"] =
        std::vector(bytes.data_ptr<std::uint8_t>(), bytes.data_ptr<std::uint8_t>() + bytes.numel());
    json["paired"] = dataset.has_paired_sources();
  }
  if (const ImageDataset* embeddings = dataset.embeddings()) {
    const at::Tensor rows = read_embeddings(*embeddings, 0, embeddings->size() * embeddings->height());
    json["embeddings"] = std::vector<float>(rows.data_ptr<float>(), rows.data_ptr<float>() + rows.numel());
  }
  std::puts(json.dump().c_str());
}

void load(const std::string& path, std::int64_t cache_bytes) {
  const ImageDataset dataset = ImageDataset::attach(ImageDataset::inspect({path}), cache_bytes);
  Loader loader(dataset, {.micro_batch = 8, .threads = 3});
  nlohmann::json samples = nlohmann::json::array();
  while (static_cast<std::int64_t>(samples.size()) < dataset.size()) {
    const Batch batch = loader.next();
    const at::Tensor bytes = ((batch.images + 1) * 127.5).round().to(at::kByte).contiguous();
    for (std::int64_t i = 0; i < 8 && static_cast<std::int64_t>(samples.size()) < dataset.size(); ++i) {
      const auto* first = bytes[i].data_ptr<std::uint8_t>();
      samples.push_back({batch.labels[i].item<std::int64_t>(), std::vector(first, first + bytes[i].numel())});
    }
  }
  std::puts(samples.dump().c_str());
}

/// "RssAnon" of this process: bytes in memory that belong to no file.
std::int64_t anonymous_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (std::int64_t kilobytes = 0; word == "RssAnon:" && status >> kilobytes) return kilobytes << 10;
  return -1;
}

void run_epoch(const std::string& path) {
  const ImageDataset dataset = ImageDataset::attach(ImageDataset::inspect({path}));
  constexpr std::int64_t micro_batch = 64;
  Loader loader(dataset, {.micro_batch = micro_batch, .flip = true, .threads = 2});
  std::int64_t images = 0, most = 0;
  for (; images < dataset.size(); images += micro_batch) {
    loader.next();
    if (images % (64 * micro_batch) == 0) most = std::max(most, anonymous_memory());
  }
  fmt::print("{} {}\n", images, most);
}

void words(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  fmt::print("{}\n", nlohmann::json(words_of(text)).dump());
}

}  // namespace
}  // namespace ganymede

int main(int count, char** words) {
  const std::vector<std::string> arguments(words + 1, words + count);
  try {
    if (arguments.at(0) == "write") ganymede::write(arguments.at(1), arguments.at(2));
    if (arguments.at(0) == "read") ganymede::read({arguments.begin() + 1, arguments.end()});
    if (arguments.at(0) == "load") ganymede::load(arguments.at(1), std::stoll(arguments.at(2)));
    if (arguments.at(0) == "epoch") ganymede::run_epoch(arguments.at(1));
    if (arguments.at(0) == "words") ganymede::words(arguments.at(1));
  } catch (const ganymede::Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return static_cast<int>(error.code());
  }
}
