#include "launch/latent_packer.h"

#include <ATen/ATen.h>

#include "core/device.h"
#include "core/hash.h"
#include "datasets/companions.h"
#include "datasets/dataset_writer.h"
#include "datasets/text_companions.h"
#include "models/first_stages/first_stage.h"
#include "models/layers/weighted.h"

namespace ganymede {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view part_prefix = "block-";

std::span<const std::byte> bytes_of(const at::Tensor& tensor) {
  return {static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()};
}

}  // namespace

LatentPacker::LatentPacker(const Setting& setting)
    : setting_(setting),
      folder_(setting.out.string() + ".parts"),
      key_(hex(
          Xxh3::of(fmt::format("latents 1 {} {} {} {}", setting.first_stage, setting.images.digest(),
                               setting.batch, c10::toString(setting.activations.value_or(at::kFloat)))))) {
  begin_phase(setting_.network, false);
  setting_.process.together([&] {
    if (setting_.process.is_root()) create_folders(folder_);
  });
}

fs::path LatentPacker::path_of(std::int64_t block) const {
  return folder_ / fmt::format("{}{:07}.safetensors", part_prefix, block);
}

std::int64_t LatentPacker::images_of(std::int64_t block) const {
  return std::min(block_images, setting_.images.size() - block * block_images);
}

std::string LatentPacker::digest_of_images(std::int64_t block) const {
  Xxh3 hash;
  const std::int64_t begin = block * block_images, end = begin + images_of(block);
  for (std::int64_t first = begin; first < end; first += setting_.batch) {
    const at::Tensor x = read_sources(setting_.images, first, std::min(setting_.batch, end - first)).contiguous();
    hash.update(bytes_of(x));
  }
  return hex(hash.digest());
}

bool LatentPacker::is_there(std::int64_t block) const {
  const fs::path path = path_of(block);
  if (!size_of_file(path)) return false;
  try {
    const SafetensorsFile file = SafetensorsFile::open(path);
    const auto has = [&](const char* name, const std::string& value) {
      const auto note = file.metadata().find(name);
      return note != file.metadata().end() && note->second == value;
    };
    return has("key", key_) && has("digest", hex(Xxh3::of(bytes_of(file.read("latents"))))) &&
           has("images", digest_of_images(block));
  } catch (const Error& error) {
    if (error.code() != ExitCode::checkpoint) throw;
    return false;
  }
}

at::Tensor LatentPacker::sums_of(const at::Tensor& rows) const {
  at::Tensor sums = at::zeros({2, setting_.options.latent_channels}, at::kDouble);
  for (const at::Tensor& side : rows.to(at::kDouble).chunk(2, 1)) {
    at::Tensor mean = side, square = side.square();
    if (!setting_.options.quantises()) {
      const LatentMoments moments(side);
      mean = moments.mean;
      square = mean.square() + moments.log_variance.exp();
    }
    sums += at::stack({mean.sum({0, 2, 3}), square.sum({0, 2, 3})});
  }
  return sums;
}

void LatentPacker::encode(std::int64_t block) const {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> parts;
  Xxh3 seen;
  const std::int64_t begin = block * block_images, end = begin + images_of(block);
  const at::Device device = setting_.process.device();
  for (std::int64_t first = begin; first < end; first += setting_.batch) {
    setting_.process.note("encoding");
    const std::int64_t count = std::min(setting_.batch, end - first);
    const at::Tensor images = read_sources(setting_.images, first, count).contiguous();
    seen.update(bytes_of(images));
    const at::Tensor x = to_device(images.to(setting_.network.last_weight().scalar_type()), device);
    const at::Tensor both = setting_.network.encode(at::cat({x, x.flip(3)}), setting_.activations);
    parts.push_back(
        at::cat({both.narrow(0, 0, count), both.narrow(0, count, count)}, 1).to(at::kFloat).cpu());
  }
  const at::Tensor rows = at::cat(parts).contiguous();
  if (!(rows.abs().max().item<float>() < StoredLatents::range))
    fail(ExitCode::checkpoint,
         "latents of images {} to {} are not below {}: the first stage has diverged, give an earlier "
         "checkpoint",
         begin, end - 1, StoredLatents::range);
  const fs::path path = path_of(block), temporary = path.string() + ".tmp";
  write_safetensors(temporary, {{"latents", rows}, {"sums", sums_of(rows)}},
                    {{"key", key_}, {"digest", hex(Xxh3::of(bytes_of(rows)))}, {"images", hex(seen.digest())}});
  rename_durably(temporary, path);
}

std::int64_t LatentPacker::encode_all() {
  Process& process = setting_.process;
  at::Tensor there = at::zeros({1}, at::kLong);
  for (std::int64_t first = 0; first < blocks(); first += process.size()) {
    const std::int64_t block = first + process.rank();
    process.together([&] {
      if (block >= blocks()) return;
      if (is_there(block))
        there += images_of(block);
      else
        encode(block);
    });
    if (process.is_root() && setting_.advance)
      setting_.advance(std::min((first + process.size()) * block_images, setting_.images.size()),
                       setting_.images.size());
  }
  process.world().all_reduce(there)->wait();
  return there.item<std::int64_t>();
}

LatentNotes LatentPacker::notes() const {
  at::Tensor sums = at::zeros({2, setting_.options.latent_channels}, at::kDouble);
  for (std::int64_t block = 0; block < blocks(); ++block)
    sums += SafetensorsFile::open(path_of(block)).read("sums");
  const std::int64_t side = setting_.options.latent_size();
  sums /= static_cast<double>(2 * setting_.images.size() * side * side);
  at::Tensor variance = (sums[1] - sums[0].square()).clamp_min(1e-12);
  // Which code is the nearest is a matter of distances: one scale for all channels leaves them in proportion.
  if (setting_.options.quantises()) variance = variance.mean().expand_as(variance);
  const at::Tensor deviation = variance.sqrt().contiguous();
  const auto vector = [](const at::Tensor& row) {
    return std::vector<double>(row.const_data_ptr<double>(), row.const_data_ptr<double>() + row.numel());
  };
  return {setting_.first_stage, vector(sums[0].contiguous()), vector(deviation.contiguous())};
}

LatentNotes LatentPacker::write() {
  Process& process = setting_.process;
  const std::int64_t side = setting_.options.latent_size(), together = 64;
  LatentNotes made;
  std::optional<DatasetWriter> writer;
  process.together([&] {
    if (!process.is_root()) return;
    made = notes();
    auto provenance = made.to_provenance();
    provenance["source"] = fs::path(setting_.images.files().front().layout().path).filename().string();
    provenance["latents_of"] = setting_.images.digest();
    DatasetDescription description{.type = ElementType::float32,
                                   .count = setting_.images.size(),
                                   .channels = StoredLatents::channels(setting_.options),
                                   .height = side,
                                   .width = side,
                                   .low = -StoredLatents::range,
                                   .high = StoredLatents::range,
                                   .class_names = setting_.images.class_names(),
                                   .provenance = provenance};
    describe_text(setting_.images, description);
    writer.emplace(setting_.out, description);
  });
  for (std::int64_t first = 0; first < blocks(); first += together)
    process.together([&] {
      if (!process.is_root()) return;
      process.note("writing");
      for (std::int64_t block = first; block < std::min(first + together, blocks()); ++block)
        writer->write_images(block * block_images,
                             bytes_of(SafetensorsFile::open(path_of(block)).read("latents")));
    });
  process.together([&] {
    if (!process.is_root()) return;
    writer->write_labels(setting_.images.labels());
    copy_text(setting_.images, *writer);
    writer->finish();
    std::vector<fs::path> parts;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder_))
      if (entry.path().filename().string().starts_with(part_prefix)) parts.push_back(entry.path());
    for (const fs::path& part : parts) fs::remove(part);
    std::error_code others;  // what is not ours stays, and the folder with it
    fs::remove(folder_, others);
  });
  return made;
}

}  // namespace ganymede
