#include "launch/collapse_watch.h"

#include <ATen/ATen.h>

#include "core/spectrum.h"
#include "datasets/loader.h"
#include "launch/conditions.h"
#include "launch/draw.h"

namespace ganymede {
namespace {

constexpr std::int64_t looked_at = 32, most_classes = 8;

double real_distance(const ImageDataset& dataset) {
  const std::int64_t count = std::min(looked_at, dataset.size());
  Loader loader(dataset, {.micro_batch = count, .prefetch = 1, .threads = 1});
  return distance_within_classes(loader.next().images, at::zeros({count}, at::kLong));
}

}  // namespace

std::vector<std::int64_t> watched_classes(std::int64_t classes) {
  std::vector<std::int64_t> watched(static_cast<std::size_t>(std::min(classes, most_classes)));
  for (std::size_t i = 0; i < watched.size(); ++i)
    watched[i] = static_cast<std::int64_t>(i) * classes / static_cast<std::int64_t>(watched.size());
  return watched;
}

double distance_within_classes(const at::Tensor& images, const at::Tensor& labels) {
  const auto label = labels.accessor<std::int64_t, 1>();
  double sum = 0;
  std::int64_t pairs = 0;
  for (std::int64_t i = 0; i < images.size(0); ++i)
    for (std::int64_t j = 0; j < i; ++j)
      if (label[i] == label[j]) {
        sum += (images[i] - images[j]).square().mean().sqrt().item<double>();
        ++pairs;
      }
  return pairs == 0 ? 0 : sum / static_cast<double>(pairs);
}

CollapseWatch::CollapseWatch(Process& process, const RunOptions& options, const ImageDataset& dataset)
    : process_(process), options_(options), ranks_(process.world().duplicate("collapse")), dataset_(dataset) {
  process.together([&] {
    options.method->check_sampling({});
    if (!process.is_root()) return;
    real_distance_ = real_distance(dataset);
    if (!(real_distance_ > 0))
      fail(ExitCode::dataset,
           "collapse.action = {}: samples are held against images of the dataset, of which it takes two that "
           "differ: "
           "leave collapse.action = none",
           options.train.collapse_action);
  });
}

bool CollapseWatch::is_due(std::int64_t step) const {
  return step % options_.train.collapse_every == 0;
}

double CollapseWatch::spread_of(Method& method) {
  const std::uint64_t seed = static_cast<std::uint64_t>(options_.train.seed);
  SampleOptions sampling{.ema = false, .seed = seed};
  process_.together([&] { set_conditions(sampling, options_.method->images(), dataset_); });
  const auto sampler = method.sampler(sampling);
  const Drawing drawing{looked_at, looked_at, seed, watched_classes(options_.method->images().classes)};
  at::Tensor spread = at::zeros({}, at::kDouble);
  draw(process_, *sampler, drawing, [&](std::int64_t, const at::Tensor& images, const at::Tensor& labels) {
    spread.fill_(distance_within_classes(images, labels) / real_distance_);
  });
  ranks_->broadcast(spread, 0)->wait();
  return spread.item<double>();
}

Figures CollapseWatch::top_singular_values(Method& method) {
  std::vector<std::string> names;
  std::vector<at::Tensor> values;
  for (const Player* player : method.players())
    for (const auto& [name, weight] : player->weights(/*average=*/false)) {
      if (weight.dim() < 2) continue;
      const bool mine = static_cast<int>(names.size()) % process_.size() == process_.rank();
      names.push_back(fmt::format("top_singular/{}/{}", player->name(), name));
      values.push_back(mine ? top_singular_value(weight).cpu() : at::zeros({}, at::kDouble));
    }
  Figures figures;
  if (names.empty()) return figures;
  at::Tensor all = at::stack(values);
  ranks_->all_reduce(all)->wait();
  for (std::size_t i = 0; i < names.size(); ++i)
    figures.emplace_back(names[i], all[static_cast<std::int64_t>(i)].item<double>());
  return figures;
}

Figures CollapseWatch::look(Method& method, std::int64_t step, const Figures& figures) {
  process_.note("looking for collapse");
  spread_ = spread_of(method);
  if (spread_ >= options_.train.collapse_least_spread)
    memory_ = {step, 0};
  else if (memory_.sound_step >= 0)
    ++memory_.low_looks;
  Figures seen{{"spread", spread_}};
  const std::map<std::string, double> known(figures.begin(), figures.end());
  if (known.contains("real_logit") && known.contains("fake_logit"))
    seen.emplace_back("logit_gap", known.at("real_logit") - known.at("fake_logit"));
  for (auto& value : top_singular_values(method)) seen.push_back(std::move(value));
  return seen;
}

void CollapseWatch::judge(std::int64_t step) {
  if (memory_.low_looks < options_.train.collapse_patience) return;
  const std::string text = fmt::format(
      "the generator has collapsed: at step {} two samples of one class are {:.2g} times as far apart as two "
      "real "
      "images (collapse.least_spread = {}); at step {} they were far enough",
      step, spread_, options_.train.collapse_least_spread, memory_.sound_step);
  memory_.low_looks = 0;
  if (options_.train.collapse_action != "warn")
    throw Collapsed(text + ". Lower the learning rates, or add a gradient penalty", memory_.sound_step,
                    process_.is_root());
  if (process_.is_root()) print_error("warning: " + text);
}

}  // namespace ganymede
