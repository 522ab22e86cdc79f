#include "tests/fuzz/readers.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <stdexcept>

#include "core/checkpoint_store.h"
#include "core/files.h"
#include "core/hash.h"
#include "core/image_file.h"
#include "core/options.h"
#include "core/safetensors.h"
#include "core/weights_file.h"
#include "datasets/archive_source.h"
#include "datasets/companions.h"
#include "datasets/image_dataset.h"
#include "datasets/npz_source.h"
#include "datasets/pixel_values.h"
#include "evaluation/npz_file.h"

namespace ganymede {
namespace {

/// Two readings that say the same have the same digest: each piece goes in with its length.
class Yield {
 public:
  void add(std::span<const std::byte> bytes) {
    const std::uint64_t size = bytes.size();
    hash_.update(std::as_bytes(std::span(&size, 1)));
    hash_.update(bytes);
  }
  void add(std::string_view text) { add(std::as_bytes(std::span(text))); }
  template <class Number>
    requires std::is_arithmetic_v<Number>
  void add(Number number) {
    hash_.update(std::as_bytes(std::span(&number, 1)));
  }
  void add(const at::Tensor& tensor) {
    add(TensorType::of(tensor).text());
    add({static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()});
  }
  std::uint64_t digest() const { return hash_.digest(); }

 private:
  Xxh3 hash_;
};

/// Options of every kind that components have.
struct SomeOptions {
  bool flip = false;
  std::int64_t steps = 1000, batch = 64;
  double lr = 2e-4, limit = 0;
  std::string loss = "hinge", growth;
  std::vector<std::int64_t> layers{3, 4};
  OptionSchema schema;

  SomeOptions() {
    schema.add("train.steps", steps, "steps", {0, 1e12}, "length of the run", OnResume::free);
    schema.add("train.batch", batch, "images", {1, 65536}, "of all ranks");
    schema.add("data.flip", flip, "mirror each image with probability 1/2");
    schema.add("generator.lr", lr, "", {0, 1}, "learning rate");
    schema.add("generator.limit", limit, "", {}, "any number");
    schema.add("gan.loss", loss, {"hinge", "logistic"}, "what is learned");
    schema.add("gan.layers", layers, "layers", {1, 1000}, "which");
    schema.add("growth.batch", growth, {}, "by resolution");
  }
};

constexpr std::int64_t most_bytes = 16 << 20;

void add_images(Yield& yield, const ImageDataset& set) {
  for (const std::int64_t number : {set.size(), set.channels(), set.height(), set.width(), set.classes()}) yield.add(number);
  yield.add(name_of(set.type()));
  yield.add(set.low());
  yield.add(set.high());
  for (const std::int64_t label : set.labels()) yield.add(label);
  for (const std::string& name : set.class_names()) yield.add(name);
  std::vector<std::byte> image(static_cast<std::size_t>(set.image_bytes()));
  const std::int64_t count = std::min(set.size(), most_bytes / set.image_bytes());
  set.advise(0, count);
  for (std::int64_t i = 0; i < count; ++i) {
    set.prefetch(i);
    set.verify_block_of(i);
    set.read(i, image);
    yield.add(image);
  }
}

void add_source(Yield& yield, ImageSource& source) {
  for (const std::int64_t label : source.contents().labels) yield.add(label);
  for (const std::string& name : source.contents().class_names) yield.add(name);
  std::int64_t left = most_bytes;
  source.read([&](std::int64_t index, const std::vector<std::byte>& stored) {
    left -= std::ssize(stored);
    yield.add(index);
    yield.add(source.decode(index, stored, 0).values);
    return left > 0;
  });
}

}  // namespace

std::uint64_t read_recipe_file(const std::filesystem::path& path) {
  SomeOptions options, again;
  options.schema.apply(read_recipe(path.string()));
  const std::string text = options.schema.to_recipe();
  again.schema.apply(parse_recipe(text, "what was printed"));
  if (again.schema.to_recipe() != text) throw std::logic_error("options do not read back:\n" + text);
  Yield yield;
  yield.add(text);
  return yield.digest();
}

std::uint64_t read_dataset_file(const std::filesystem::path& path) {
  const std::string layout = ImageDataset::inspect({path});
  const ImageDataset dataset = ImageDataset::attach(layout, 1 << 20);
  Yield yield;
  add_images(yield, dataset);
  for (const ImageDataset* companion : {dataset.sources(), dataset.embeddings()})
    if (companion != nullptr) add_images(yield, *companion);
  yield.add(dataset.has_paired_sources());
  for (const std::int64_t side : dataset.levels())
    add_images(yield, ImageDataset::attach(ImageDataset::inspect({path}, side), 1 << 20));
  return yield.digest();
}

std::uint64_t read_safetensors_file(const std::filesystem::path& path) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  Yield yield;
  std::map<std::string, at::Tensor> tensors;
  for (const auto& [name, entry] : file.tensors()) {
    tensors.emplace(name, file.read(name));
    yield.add(name);
    yield.add(tensors.at(name));
  }
  for (const auto& [key, text] : file.metadata()) {
    yield.add(key);
    yield.add(text);
  }
  std::map<std::string, at::Tensor> at_once;
  yield.add(file.read_all([&](const std::string& name) {
    return at_once.emplace(name, at::empty_like(tensors.at(name))).first->second;
  }));
  for (const auto& [name, tensor] : tensors) {
    Yield one, other;
    one.add(tensor);
    other.add(at_once.at(name));
    if (one.digest() != other.digest()) throw std::logic_error(name + " reads differently at once");
  }
  return yield.digest();
}

std::uint64_t read_checkpoint_folder(const std::filesystem::path& folder) {
  const Manifest manifest = read_manifest(folder);
  if (Manifest::parse(manifest.to_text(), "what was printed").to_text() != manifest.to_text())
    throw std::logic_error("a manifest does not read back");
  Yield yield;
  yield.add(manifest.step);
  yield.add(manifest.header.dump());
  for (const auto& [name, tensor] : read_tensors(folder, manifest)) {
    yield.add(name);
    yield.add(tensor);
  }
  verify_shards(folder, manifest);
  return yield.digest();
}

std::uint64_t read_weights_file(const std::filesystem::path& path) {
  const WeightsFile file = WeightsFile::open(path);
  Yield yield;
  yield.add(name_of(file.format()));
  for (const auto& [name, type] : file.tensors()) {
    yield.add(name);
    yield.add(file.read(name));
  }
  yield.add(file.digest());
  return yield.digest();
}

std::uint64_t read_npz_file(const std::filesystem::path& path) {
  Yield yield;
  constexpr std::int64_t limit = 16 << 20;
  for (const auto& [name, array] : read_npz(path, {"mu", "sigma", "protocol"}, limit).arrays) {
    yield.add(name);
    yield.add(array);
  }
  NpzSource source(path);
  source.scan_range();
  add_source(yield, source);
  return yield.digest();
}

std::uint64_t read_archive_file(const std::filesystem::path& path) {
  Yield yield;
  ArchiveSource source(path, "");
  add_source(yield, source);
  return yield.digest();
}

std::uint64_t read_picture_file(const std::filesystem::path& path) {
  const std::string bytes = read_text_file(path, most_bytes);
  Yield yield;
  for (const int channels : {0, 1, 3}) {
    const Pixels pixels = decode_image(std::as_bytes(std::span(bytes)), "picture", channels);
    yield.add(pixels.width);
    yield.add(std::as_bytes(std::span(pixels.values)));
  }
  return yield.digest();
}

}  // namespace ganymede
