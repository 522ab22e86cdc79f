#include "launch/draw.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numeric>

#include "core/options.h"
#include "core/philox.h"

namespace ganymede {

std::vector<std::int64_t> every_class(std::int64_t count) {
  std::vector<std::int64_t> classes(static_cast<std::size_t>(count));
  std::iota(classes.begin(), classes.end(), 0);
  return classes;
}

std::vector<std::int64_t> read_classes(const std::string& text, std::int64_t count) {
  if (text.empty()) return {};
  if (text == "all") return every_class(count);
  std::vector<std::int64_t> classes;
  OptionSchema schema;
  schema.add("--classes", classes, "", {0, static_cast<double>(count - 1)}, "");
  schema.apply({{"--classes", {text, "command line"}}});
  return classes;
}

std::int64_t grid_columns(const Drawing& drawing) {
  if (drawing.columns > 0) return drawing.columns;
  const auto even = static_cast<std::int64_t>(std::ceil(std::sqrt(static_cast<double>(drawing.count))));
  const std::int64_t classes = std::ssize(drawing.classes);
  if (classes < 2 || classes > 16) return even;
  return std::max<std::int64_t>(even / classes, 1) * classes;
}

at::Tensor labels_of(const Drawing& drawing, std::int64_t first, std::int64_t count) {
  if (drawing.classes.empty())
    return RandomStream({.seed = drawing.seed, .phase = "sample", .stream = "label"})
        .integers(first, count, drawing.class_count);
  const auto classes = at::tensor(drawing.classes, at::kLong);
  return classes.index_select(0, at::arange(first, first + count, at::kLong).remainder(classes.numel()));
}

void draw(Process& process, Sampler& sampler, const Drawing& drawing,
          const std::function<void(std::int64_t, const at::Tensor&, const at::Tensor&)>& take) {
  const std::int64_t unit = sampler.granularity();
  // Each rank draws a run of whole units a round; rank 0 takes the rounds in order and never holds more than
  // one.
  const std::int64_t wanted_each = (drawing.count + process.size() - 1) / process.size();
  const std::int64_t part = (std::min(drawing.batch, wanted_each) + unit - 1) / unit * unit;
  const std::int64_t round = part * process.size();
  for (std::int64_t first = 0; first < drawing.count; first += round) {
    const std::int64_t own = first + part * process.rank();
    process.note("sampling");
    at::Tensor images = sampler.images(own, labels_of(drawing, own, part)).cpu().contiguous();
    std::vector<std::int64_t> shape = images.sizes().vec();
    shape[0] = round;
    at::Tensor all = at::empty(shape, images.options());
    process.world().all_gather(all, images)->wait();
    const std::int64_t wanted = std::min(round, drawing.count - first);
    if (process.is_root()) take(first, all.narrow(0, 0, wanted), labels_of(drawing, first, wanted));
  }
}

}  // namespace ganymede
