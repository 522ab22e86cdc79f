#include "launch/report/comparison.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <bit>
#include <numeric>
#include <set>

#include "core/error.h"
#include "core/image_file.h"
#include "core/image_grid.h"
#include "core/philox.h"
#include "datasets/pixel_values.h"
#include "launch/report/page.h"

namespace ganymede {
namespace {

constexpr std::size_t largest_page = std::size_t{256} << 20;

RandomStream stream_of(std::uint64_t seed, std::string_view name) {
  return RandomStream({.seed = seed, .phase = "compare", .stream = name});
}

/// [C, H, W] in [-1, 1].
at::Tensor read_image(const ImageDataset& dataset, std::int64_t index) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(dataset.image_bytes()));
  dataset.verify_block_of(index);
  dataset.read(index, bytes);
  at::Tensor image = at::empty({dataset.height(), dataset.width(), dataset.channels()}, at::kFloat);
  PixelValues(dataset.type(), dataset.low(), dataset.high())
      .convert(bytes, dataset.channels(), dataset.height(), dataset.width(), false, at::kFloat,
               image.data_ptr());
  return image.permute({2, 0, 1});
}

std::string png_of(const at::Tensor& image) {
  const std::int64_t channels = image.size(0) < 3 ? 1 : 3;
  const at::Tensor pixels = image.narrow(0, 0, channels).permute({1, 2, 0}).contiguous();
  return encode_png({pixels.data_ptr<std::uint8_t>(), static_cast<std::size_t>(pixels.numel())},
                    image.size(2), image.size(1), channels);
}

/// The first of 32-bit draws whose number of ones is odd for what is real.
std::string tag_of(const RandomStream& random, std::uint64_t place, bool is_real) {
  for (std::uint32_t attempt = 0;; ++attempt)
    if (const auto tag = static_cast<std::uint32_t>(random.bits(place, attempt));
        (std::popcount(tag) % 2 == 1) == is_real)
      return fmt::format("{:08x}", tag);
}

void check_alike(const at::Tensor& real, const at::Tensor& generated) {
  if (real.sizes().slice(1) == generated.sizes().slice(1)) return;
  fail(ExitCode::options,
       "the real images have {} channels, rows and columns, the generated ones {}: who sees them would tell "
       "them apart by that alone; name a reference of the same size",
       fmt::join(real.sizes().slice(1), " x "), fmt::join(generated.sizes().slice(1), " x "));
}

}  // namespace

std::vector<bool> draw_places(std::int64_t count, std::uint64_t seed) {
  const RandomStream random = stream_of(seed, "place");
  std::vector<std::size_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, {}, [&](std::size_t place) { return random.bits(place, 0); });
  const std::size_t real = (order.size() + random.bits(order.size(), 0) % 2) / 2;
  std::vector<bool> is_real(order.size());
  for (std::size_t i = 0; i < real; ++i) is_real[order[i]] = true;
  return is_real;
}

at::Tensor draw_images(const ImageDataset& dataset, std::int64_t count, std::uint64_t seed,
                       std::string_view stream) {
  if (dataset.size() < count)
    fail(ExitCode::options,
         "{} different images are to be drawn, and the dataset of {} holds {}: lower --count", count,
         dataset.where(0), dataset.size());
  const RandomStream random = stream_of(seed, stream);
  std::set<std::int64_t> taken;
  std::vector<at::Tensor> images;
  for (std::int64_t i = 0; std::ssize(images) < count; ++i)
    if (const auto index = random.integers(i, 1, dataset.size()).item<std::int64_t>();
        taken.insert(index).second)
      images.push_back(to_bytes(read_image(dataset, index)));
  return images.empty() ? at::empty({0, dataset.channels(), dataset.height(), dataset.width()}, at::kByte)
                        : at::stack(images);
}

nlohmann::json comparison_data(const Comparison& comparison) {
  check_alike(comparison.real, comparison.generated);
  const RandomStream random = stream_of(comparison.seed, "tag");
  nlohmann::json images = nlohmann::json::array();
  std::int64_t next_real = 0, next_generated = 0;
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < comparison.is_real.size(); ++i) {
    const bool is_real = comparison.is_real[i];
    const std::string png =
        base64(png_of(is_real ? comparison.real[next_real++] : comparison.generated[next_generated++]));
    bytes += png.size();
    if (bytes > largest_page)
      fail(ExitCode::options, "{} images make a page of more than {} MiB: lower --count to {} or less",
           comparison.is_real.size(), largest_page >> 20, i);
    images.push_back({{"png", png}, {"tag", tag_of(random, i, is_real)}});
  }
  return {{"images", images},
          {"width", comparison.real.size(3)},
          {"height", comparison.real.size(2)},
          {"source", comparison.source},
          {"reference", comparison.reference},
          {"seed", comparison.seed}};
}

}  // namespace ganymede
