#include "models/diffusion/diffusion_sampler.h"

#include <ATen/ATen.h>

#include <cmath>
#include <utility>

#include "core/device.h"
#include "core/error.h"
#include "core/philox.h"
#include "models/layers/weighted.h"

namespace ganymede {

void DrawOptions::describe(OptionSchema& schema) {
  schema.add("sampler.solver", solver, solver_names(), "how noise becomes an image", OnResume::free);
  schema.add("sampler.steps", steps, "steps", {1, 100000}, "from noise to image", OnResume::free);
  schema.add("sampler.spacing", spacing, {"trailing", "leading"},
             "which of the chain's times are used: the last of each stretch, or the first", OnResume::free);
  schema.add("sampler.offset", offset, "times", {0, 100000},
             "added to the times of sampler.spacing = leading", OnResume::free);
  schema.add("sampler.end", end, {"image", "first"},
             "what the last step leads to: the image, or the chain's first time, which has a little noise",
             OnResume::free);
  schema.add("sampler.eta", solver_options.eta, "", {0, 1}, "ddim's noise, 0 for none", OnResume::free);
  schema.add("sampler.variance", solver_options.variance, {"small", "large"},
             "of ddpm's steps, where the network does not learn it", OnResume::free);
  churn.describe(schema);
  schema.add("sampler.guidance", guidance, "", {0, 1000}, "weight of the label, 1 for no guidance",
             OnResume::free);
  schema.add("sampler.guidance_least", guidance_least, "", {0, no_limit},
             "least noise (sigma / alpha) with guidance", OnResume::free);
  schema.add("sampler.guidance_most", guidance_most, "", {0, no_limit},
             "most noise (sigma / alpha) with guidance, 1e9 for no limit", OnResume::free);
  schema.add("sampler.clip", clip, "each step's estimate of the image is clipped to [-1, 1]", OnResume::free);
}

void DrawOptions::check(const DiffusionProcess& process, bool leaves_out) const {
  path_of(process, *this);
  if (guidance != 1 && !leaves_out)
    fail(ExitCode::options,
         "sampler.guidance = {} needs a network that has learned without labels, sources or captions: train "
         "with "
         "classes and diffusion.label_dropout above 0, or with diffusion.source_dropout or text.dropout, or "
         "set "
         "sampler.guidance = 1",
         guidance);
  if (solver_options.eta > 0 && solver != "ddim")
    fail(ExitCode::options, "sampler.eta = {} is of sampler.solver = ddim, and it is {}: set one of them to its default",
         solver_options.eta, solver);
  if (churn.amount > 0 && !process.time_at(1))
    fail(ExitCode::options,
         "sampler.churn = {} adds noise of any size, and this process has that of whole times alone: train "
         "with "
         "diffusion.process = edm or flow, or draw by ddpm, or ddim with sampler.eta",
         churn.amount);
  if (churn.least > churn.most)
    fail(ExitCode::options, "sampler.churn_least = {} is above sampler.churn_most = {}", churn.least,
         churn.most);
  if (guidance_least > guidance_most)
    fail(ExitCode::options, "sampler.guidance_least = {} is above sampler.guidance_most = {}", guidance_least,
         guidance_most);
}

std::vector<PathPoint> path_of(const DiffusionProcess& process, const DrawOptions& options) {
  const std::int64_t length = process.chain_length();
  if (length == 0 && (options.offset > 0 || options.end != "image" || options.spacing != "trailing"))
    fail(ExitCode::options,
         "sampler.spacing = {}, sampler.offset = {} and sampler.end = {} are of whole times, and this process "
         "has none: leave them out",
         options.spacing, options.offset, options.end);
  if (options.offset > 0 && options.spacing != "leading")
    fail(ExitCode::options,
         "sampler.offset = {} is added to leading times: set sampler.spacing = leading, or leave it out",
         options.offset);
  at::Tensor times = process.path(options.steps, options.spacing) + options.offset;
  if (options.offset > 0 && times[0].item<double>() >= static_cast<double>(length))
    fail(ExitCode::options,
         "sampler.offset = {} makes time {} the first of {} steps, and ddpm.steps = {}: lower it",
         options.offset, times[0].item<double>(), options.steps, length);
  if (options.end == "first") times = at::cat({times, at::zeros({1}, at::kDouble)});
  const Coefficients c = process.coefficients(times);
  std::vector<PathPoint> path;
  for (std::int64_t i = 0; i < times.size(0); ++i)
    path.push_back({c.alpha[i].item<double>(), c.sigma[i].item<double>(), times[i].item<double>()});
  if (options.end == "image") path.push_back({});
  return path;
}

DiffusionSampler::DiffusionSampler(std::shared_ptr<Denoiser> network, const DiffusionProcess& process,
                                   const DrawOptions& options, Setting setting)
    : network_(std::move(network)),
      process_(process),
      options_(options),
      setting_(std::move(setting)),
      path_(path_of(process, options)) {
  begin_phase(*network_, false);
}

at::Tensor DiffusionSampler::noise(std::string_view stream, std::uint64_t step, std::int64_t first,
                                   std::int64_t count) const {
  const ImageSpec& spec = setting_.images;
  const RandomStream random({.seed = setting_.seed, .phase = "sample", .step = step, .stream = stream});
  const at::Tensor normal =
      random.normal(first, count, spec.channels * spec.height * spec.width, setting_.dtype)
          .view({count, spec.channels, spec.height, spec.width});
  return to_device(normal.contiguous(at::MemoryFormat::ChannelsLast), setting_.device);
}

bool DiffusionSampler::makes_same_noise(const DiffusionProcess& process) const {
  if (process.chain_length() != process_.chain_length()) return false;
  const auto is_near = [](double a, double b) {
    return std::abs(a - b) <= 1e-9 * std::max(1.0, std::abs(a));
  };
  return std::ranges::all_of(path_, [&](const PathPoint& point) {
    if (point.sigma == 0) return true;  // the image: nothing is asked of a classifier there
    const Coefficients c = process.coefficients(at::full({1}, point.time, at::kDouble));
    return is_near(point.alpha, c.alpha.item<double>()) && is_near(point.sigma, c.sigma.item<double>());
  });
}

void DiffusionSampler::guide_by(std::shared_ptr<NoisyClassifier> classifier, double scale) {
  const ImageSpec known = classifier->images(), &drawn = setting_.images;
  if (setting_.decode)
    fail(ExitCode::options,
         "--classifier: it has learned from images, and this run diffuses latents: leave it out");
  if (known.channels != drawn.channels || known.height != drawn.height || known.width != drawn.width)
    fail(ExitCode::options,
         "--classifier: it takes images of {} x {} x {}, and this run draws {} x {} x {}: train one on these",
         known.channels, known.height, known.width, drawn.channels, drawn.height, drawn.width);
  if (drawn.classes > 1 && known.classes != drawn.classes)
    fail(ExitCode::options,
         "--classifier: it tells {} classes apart, and this run has {}: train one on these", known.classes,
         drawn.classes);
  if (!makes_same_noise(classifier->process()))
    fail(ExitCode::options,
         "--classifier: it has learned with other noise: train one with this run's diffusion.process and the "
         "options of its noise");
  classifier_ = std::move(classifier);
  pull_ = scale;
}

at::Tensor DiffusionSampler::sources(std::int64_t first, std::int64_t count) const {
  if (!setting_.has_sources) return {};
  if (!setting_.sources)
    fail(ExitCode::options, "there are no sources to draw from: name a dataset of pairs, --conditions FILE");
  return setting_.sources(first, count).to(setting_.device, setting_.dtype);
}

at::Tensor DiffusionSampler::captions(std::int64_t first, std::int64_t count) const {
  return setting_.captions ? to_device(setting_.captions(first, count), setting_.device) : at::Tensor();
}

TextCondition DiffusionSampler::told_text(const at::Tensor& captions, std::int64_t count,
                                          bool also_without) const {
  if (!captions.defined() || !also_without) return {captions};
  TextCondition text{at::cat({captions, captions})};
  if (setting_.without_caption)
    text.without = at::arange(2 * count, captions.options().dtype(at::kLong)) >= count;
  return text;
}

Denoised DiffusionSampler::denoise(const at::Tensor& x, const PathPoint& point, const Way& way) {
  const std::int64_t count = x.size(0), none = setting_.images.classes;
  const double guidance = way.guidance;
  const Coefficients c = process_.coefficients(at::full({1}, point.time, at::kDouble));
  const at::Tensor seen = per_image(c.scale, x) * x;
  const bool in_interval = options_.guides_at(point);
  const bool guided = guidance != 1 && in_interval;
  const DenoiserContext context{setting_.activations, {}, told_text(way.captions, count, guided)};
  const auto run = [&](const at::Tensor& images, const at::Tensor& kinds) {
    const at::Tensor condition =
        to_device(c.condition.expand({images.size(0)}).contiguous(), setting_.device);
    return network_->forward(images, condition, kinds, context);
  };
  const auto beside = [&](const at::Tensor& source) {
    return source.defined() ? at::cat({seen, source}, 1) : seen;
  };
  const std::int64_t channels = x.size(1);
  at::Tensor out;
  if (guided) {
    const at::Tensor no_labels = setting_.without_label ? at::full_like(way.labels, none) : way.labels;
    const at::Tensor no_sources = setting_.without_source ? at::zeros_like(way.sources) : way.sources;
    out = run(at::cat({beside(way.sources), beside(no_sources)}), at::cat({way.labels, no_labels}));
  } else {
    out = run(beside(way.sources), way.labels);
  }
  Denoised result;
  // Guidance is of the image, not of the variance.
  if (process_.learns_variance()) result.variance = out.narrow(0, 0, count).narrow(1, channels, channels);
  out = out.narrow(1, 0, channels);
  if (guided) {
    const at::Tensor with = out.narrow(0, 0, count), without = out.narrow(0, count, count);
    out = without + guidance * (with - without);
  }
  result.image = per_image(c.keep, x) * x + per_image(c.gain, x) * out;
  const auto clipped = [&](const at::Tensor& image) { return options_.clip ? image.clamp(-1, 1) : image; };
  if (way.pull != 0 && in_interval && point.alpha > 0) {
    result.unpulled = clipped(result.image);
    result.pull = way.pull * classifier_->gradient(x, point.time, way.labels);
    result.image = result.image + (point.sigma * point.sigma / point.alpha) * result.pull;
  }
  result.image = clipped(result.image);
  return result;
}

DiffusionSampler::Way DiffusionSampler::way_of(std::int64_t first, const at::Tensor& labels) const {
  const std::int64_t count = labels.size(0);
  return {to_device(labels, setting_.device),
          sources(first, count),
          captions(first, count),
          options_.guidance,
          [this, first, count](std::string_view stream, std::uint64_t step) {
            return noise(stream, step, first, count);
          },
          pull_};
}

at::Tensor DiffusionSampler::shown(const at::Tensor& x) const {
  if (setting_.decode) return setting_.decode(x);
  return x.clamp(-1, 1).to(at::kFloat).contiguous(at::MemoryFormat::ChannelsLast);
}

at::Tensor DiffusionSampler::solve(const at::Tensor& noise, const Way& way) {
  const at::NoGradGuard no_grad;
  const auto solver = make_solver(options_.solver, options_.solver_options);
  // Where images shrink as noise grows, what little is left of them counts as noise.
  const PathPoint& start = path_.front();
  const double scale = start.alpha < 1 ? std::hypot(start.alpha, start.sigma) : start.sigma;
  at::Tensor x = noise * scale;
  for (std::size_t i = 0; i + 1 < path_.size(); ++i) {
    if (setting_.alive) setting_.alive("sampling");
    bool is_seen = !way.watch;
    PathPoint from = path_[i];
    if (const auto noisier = churned(options_.churn, process_, from, options_.steps)) {
      x = churn(options_.churn, x, from, *noisier, way.noise("churn", i + 1));
      from = *noisier;
    }
    x = solver->step(
        x, from, path_[i + 1],
        [&](const at::Tensor& at_x, const PathPoint& point) {
          const Denoised denoised = denoise(at_x, point, way);
          if (!std::exchange(is_seen, true)) way.watch(static_cast<std::int64_t>(i), denoised.image);
          return denoised;
        },
        [&] { return way.noise("step", i + 1); });
  }
  return shown(x);
}

at::Tensor DiffusionSampler::images(std::int64_t first, const at::Tensor& labels) {
  return solve(noise("noise", 0, first, labels.size(0)), way_of(first, labels));
}

at::Tensor DiffusionSampler::images_guided_by(double guidance, std::int64_t first, const at::Tensor& labels) {
  Way way = way_of(first, labels);
  way.guidance = guidance;
  return solve(noise("noise", 0, first, labels.size(0)), way);
}

at::Tensor DiffusionSampler::estimates(std::int64_t first, const at::Tensor& labels, std::int64_t columns) {
  TORCH_CHECK(columns >= 2 && columns <= steps() + 1, "2 to ", steps() + 1, " columns are expected");
  std::vector<at::Tensor> shown_so_far;
  Way way = way_of(first, labels);
  way.watch = [&](std::int64_t step, const at::Tensor& estimate) {
    if (step == std::ssize(shown_so_far) * steps() / (columns - 1)) shown_so_far.push_back(shown(estimate));
  };
  shown_so_far.push_back(solve(noise("noise", 0, first, labels.size(0)), way));
  return at::stack(shown_so_far, 1);
}

at::Tensor DiffusionSampler::latents(std::int64_t first, std::int64_t count) const {
  const ImageSpec& spec = setting_.images;
  return RandomStream({.seed = setting_.seed, .phase = "sample", .stream = "noise"})
      .normal(first, count, spec.channels * spec.height * spec.width, at::kDouble);
}

at::Tensor DiffusionSampler::images_of(const at::Tensor& latents, const at::Tensor& labels) {
  const ImageSpec& spec = setting_.images;
  const std::int64_t count = labels.size(0);
  const at::Tensor noised = latents.to(setting_.dtype)
                                .view({count, spec.channels, spec.height, spec.width})
                                .contiguous(at::MemoryFormat::ChannelsLast);
  const auto for_all = [count](const at::Tensor& row) {
    return row.defined() ? at::repeat_interleave(row, count, 0) : row;
  };
  return solve(
      to_device(noised, setting_.device),
      {to_device(labels, setting_.device), for_all(sources(0, 1)), for_all(captions(0, 1)), options_.guidance,
       [&](std::string_view stream, std::uint64_t step) {
         return noise(stream, step, 0, 1).expand({count, -1, -1, -1});
       },
       pull_});
}

at::Tensor DiffusionSampler::bits_per_dimension(std::int64_t first, const at::Tensor& images,
                                                const at::Tensor& labels) {
  const at::NoGradGuard no_grad;
  const at::Tensor x0 = to_device(images.to(at::kDouble), setting_.device);
  Way way = way_of(first, labels);
  way.guidance = 1;
  way.pull = 0;
  const std::int64_t count = x0.size(0);
  at::Tensor bits = process_.prior_bound(x0);
  for (std::int64_t t = process_.chain_length() - 1; t >= 0; --t) {
    if (setting_.alive) setting_.alive("likelihood");
    const auto time = static_cast<double>(t);
    const at::Tensor times = at::full({count}, time, at::kDouble);
    const Coefficients c = process_.coefficients(times);
    const PathPoint point{c.alpha[0].item<double>(), c.sigma[0].item<double>(), time};
    const at::Tensor eps = noise("bound", static_cast<std::uint64_t>(t), first, count).to(at::kDouble);
    const at::Tensor xt = point.alpha * x0 + point.sigma * eps;
    const at::Tensor seen = xt.to(setting_.dtype).contiguous(at::MemoryFormat::ChannelsLast);
    const Denoised denoised = denoise(seen, point, way);
    // A variance that is not learned is least or largest; the first step takes the least of the second in any case.
    const double fixed = options_.solver_options.variance == "large" && t > 0 ? 1 : -1;
    const at::Tensor v =
        denoised.variance.defined() ? denoised.variance.to(at::kDouble) : at::full_like(x0, fixed);
    bits = bits + process_.bound(x0, xt, denoised.image.to(at::kDouble), v, times);
  }
  return bits.cpu();
}

}  // namespace ganymede
