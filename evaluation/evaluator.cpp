#include "evaluation/evaluator.h"

#include <bit>
#include <cmath>

#include "core/strict_json.h"
#include "evaluation/classes.h"
#include "evaluation/neighbourhoods.h"
#include "evaluation/selection.h"
#include "evaluation/shared_error.h"

namespace ganymede {
namespace {

bool uses_reference(const Metric& metric) {
  return metric.needs.statistics || metric.needs.reference_images();
}

}  // namespace

nlohmann::json Evaluation::to_json() const {
  nlohmann::json figures = nlohmann::json::object();
  for (const Score& score : scores) {
    nlohmann::json figure{{"value", score.value}, {"features", protocol.at("extractor").at("name")}};
    if (score.error) figure["error"] = *score.error;
    if (!score.details.empty()) figure["details"] = score.details;
    figures[score.name] = figure;
  }
  return {{"metrics", figures}, {"protocol", protocol}};
}

Evaluator::Evaluator(Communicator& ranks, FeatureExtractor& extractor, EvaluatorOptions options)
    : ranks_(ranks), extractor_(extractor), options_(std::move(options)) {}

void Evaluator::set_reference(ReferenceStatistics statistics) {
  const ExtractorDescription& extractor = extractor_.description();
  const std::string name = statistics.protocol.value("name", "the reference");
  if (const auto there = statistics.protocol.find("extractor"); there != statistics.protocol.end())
    if (const std::string text = extractor_differences(*there, extractor_protocol(extractor)); !text.empty())
      fail(ExitCode::dataset,
           "the statistics of {} were made otherwise: {}: score with the same --features and --resize, or "
           "name "
           "the reference's images",
           name, text);
  const auto check_dimensions = [&](const std::optional<FeatureStatistics>& part, std::string_view which,
                                    std::int64_t expected) {
    if (part && expected > 0 && part->mean.size(0) != expected)
      fail(ExitCode::dataset, "the {}statistics of {} have {} dimensions, the {}features of {} have {}",
           which, name, part->mean.size(0), which, extractor.name, expected);
  };
  check_dimensions(statistics.pool, "", extractor.dimensions);
  check_dimensions(statistics.spatial, "spatial ", extractor.spatial_dimensions);
  statistics_ = std::move(statistics);
}

bool Evaluator::needs(bool (*of)(const MetricNeeds&)) const {
  return std::ranges::any_of(options_.metrics, [&](const Metric* metric) { return of(metric->needs); });
}

PassRequest Evaluator::reference_request() const {
  PassRequest request;
  for (const Metric* metric : options_.metrics) request = request | metric->needs.reference;
  return request;
}

std::int64_t Evaluator::blocks_for(std::int64_t count) const {
  // Of fewer than four images a block would tell nothing of the spread.
  return options_.blocks > 1 && count >= 4 * options_.blocks ? options_.blocks : 1;
}

PassOptions Evaluator::pass_options(std::string_view what, std::int64_t count, std::int64_t blocks) const {
  PassOptions pass{.count = count,
                   .seed = options_.seed,
                   .batch = options_.batch,
                   .blocks = blocks,
                   .most_pixel_bytes = options_.most_pixel_bytes};
  pass.stop = options_.stop;
  pass.advance = [this, what](std::int64_t done, std::int64_t total) {
    if (options_.note) options_.note("features");
    if (options_.advance) options_.advance(what, done, total);
  };
  return pass;
}

void Evaluator::check(const ImageSet& images, std::int64_t count) const {
  check_count(images.description().name, images.size(), count);
  if (reference_) check_count(reference_->description().name, reference_->size(), options_.reference_count);
  for (const Metric* metric : options_.metrics)
    check_metric(*metric, images, count > 0 ? count : images.size());
}

void Evaluator::check_metric(const Metric& metric, const ImageSet& images, std::int64_t count) const {
  const ExtractorDescription& extractor = extractor_.description();
  const FeatureRequest offers = extractor_.offers(), wanted = metric.needs.images.features();
  if (wanted.logits && !offers.logits)
    fail(ExitCode::options,
         "{} needs class probabilities, and the network '{}' has none: give weights by --features",
         metric.name, extractor.name);
  if (wanted.spatial && !offers.spatial)
    fail(ExitCode::options,
         "{} needs spatial features, and the network '{}' has none: give weights by --features", metric.name,
         extractor.name);
  if (!metric.needs.extractor.empty() && !extractor.name.starts_with(metric.needs.extractor))
    fail(ExitCode::options, "{} is computed of {} features, not of '{}': give its weights by --features",
         metric.name, metric.needs.extractor, extractor.name);
  if (metric.needs.blocks > blocks_for(count))
    fail(ExitCode::options, "{} needs {} blocks of images or more, each of four: raise --blocks or --count",
         metric.name, metric.needs.blocks);
  if (const std::int64_t least = metric.needs.images_per_dimension * extractor.dimensions; count < least)
    fail(
        ExitCode::options,
        "{} needs {} images for the {} dimensions of '{}', and {} are scored: raise --count, or leave it out",
        metric.name, least, extractor.dimensions, extractor.name, count);
  check_size(metric, images.description());
  if (metric.needs.paths && !images.has_paths())
    fail(ExitCode::options, "{} follows paths between latents: score a run of a generator, not images",
         metric.name);
  if (metric.needs.likelihood) check_likelihood(metric, images);
  if (!uses_reference(metric)) return metric.check ? metric.check(options_.metric, count, 0) : void();
  if (!reference_ && !statistics_)
    fail(ExitCode::options, "{} compares with a reference: name it by --reference", metric.name);
  if (!reference_) {
    if (metric.needs.reference_images())
      fail(ExitCode::options, "{} needs the reference's images, and {} holds statistics alone", metric.name,
           statistics_->protocol.value("name", "--reference"));
    if (metric.needs.reference.spatial_moments ? !statistics_->spatial : !statistics_->pool)
      fail(ExitCode::dataset, "{} lacks {}, which {} needs",
           statistics_->protocol.value("name", "the reference"),
           metric.needs.reference.spatial_moments ? "mu_s and sigma_s" : "mu and sigma", metric.name);
  }
  if (metric.needs.classes) check_classes(metric, images, count);
  if (metric.needs.pairs) check_pairs(metric, images, count);
  std::int64_t reference = 0;
  if (reference_) reference = options_.reference_count > 0 ? options_.reference_count : reference_->size();
  if (metric.check) metric.check(options_.metric, count, reference);
}

void Evaluator::check_size(const Metric& metric, const ImageSetDescription& images) const {
  const auto [least, pyramid] = std::pair(metric.needs.least_side, metric.needs.pyramid);
  if (std::min(images.height, images.width) < least)
    fail(ExitCode::dataset, "{} needs images of {} pixels a side at least, and those of {} have {} x {}",
         metric.name, least, images.name, images.width, images.height);
  if (!pyramid) return;
  if (images.height != images.width || images.height < 16 ||
      !std::has_single_bit(static_cast<std::uint64_t>(images.height)))
    fail(ExitCode::dataset,
         "{} needs square images of 16, 32, 64, ... pixels a side, and those of {} have {} x {}", metric.name,
         images.name, images.width, images.height);
  if (reference_) check_same_size(metric, images);
}

void Evaluator::check_same_size(const Metric& metric, const ImageSetDescription& images) const {
  const ImageSetDescription& other = reference_->description();
  if (other.height != images.height || other.width != images.width || other.channels != images.channels)
    fail(ExitCode::dataset, "{} needs images of one size: those of {} are {} x {} x {}, of {} {} x {} x {}",
         metric.name, images.name, images.channels, images.height, images.width, other.name, other.channels,
         other.height, other.width);
}

void Evaluator::check_classes(const Metric& metric, const ImageSet& images, std::int64_t count) const {
  if (!images.labels().defined() || !reference_->labels().defined())
    fail(ExitCode::dataset, "{} compares class by class: both sets need labels, and {} has none", metric.name,
         (images.labels().defined() ? *reference_ : images).description().name);
  const auto chosen = [&](const ImageSet& set, std::int64_t wanted) {
    return selected_labels(set, select_images(set.size(), wanted > 0 ? wanted : set.size(), options_.seed,
                                              set.description().name));
  };
  const at::Tensor own = chosen(images, count), theirs = chosen(*reference_, options_.reference_count);
  if (common_classes(own, theirs).scored.empty())
    fail(ExitCode::dataset,
         "{} compares class by class: no class has two of the {} images of {} and two of the {} of {}",
         metric.name, own.numel(), images.description().name, theirs.numel(), reference_->description().name);
}

void Evaluator::check_pairs(const Metric& metric, const ImageSet& images, std::int64_t count) const {
  if (!reference_)
    fail(ExitCode::options, "{} compares image by image: name the originals, not their statistics",
         metric.name);
  if (images.description().kind == "samples")
    fail(ExitCode::options, "{} compares reconstructions with their originals: drawn images have none",
         metric.name);
  const std::int64_t others = options_.reference_count > 0 ? options_.reference_count : reference_->size();
  if (images.size() != reference_->size() || count != others)
    fail(ExitCode::dataset,
         "{} compares image by image: {} of {} images of {} are scored, and {} of {} of {} are originals",
         metric.name, count, images.size(), images.description().name, others, reference_->size(),
         reference_->description().name);
  check_same_size(metric, images.description());
}

void Evaluator::check_likelihood(const Metric& metric, const ImageSet& images) const {
  if (!images.has_likelihood())
    fail(ExitCode::options,
         "{} is of a run that gives images themselves a likelihood: of diffusion.process = ddpm, without a "
         "first stage, sources or captions",
         metric.name);
  if (!reference_)
    fail(ExitCode::options, "{} is of the reference's images: name them by --reference", metric.name);
  check_same_size(metric, images.description());
  if (images.labels().defined() && !reference_->labels().defined())
    fail(ExitCode::dataset, "{} is of images with their class, and {} has no labels", metric.name,
         reference_->description().name);
}

bool Evaluator::looks_at_images() const {
  return options_.statistics || std::ranges::any_of(options_.metrics, [](const Metric* metric) {
           return !metric->needs.likelihood;
         });
}

ReferenceCache Evaluator::cache() const {
  const ImageSetDescription& images = reference_->description();
  if (images.key.empty()) return {ranks_, {}, {}};
  nlohmann::json extractor = extractor_protocol(extractor_.description());
  extractor.erase("origin");
  const PassRequest request = reference_request();
  return {ranks_, options_.cache,
          json_text({{"images", images.key},
                     {"count", options_.reference_count},
                     {"seed", options_.reference_count > 0 ? options_.seed : 0},
                     {"moments", request.moments},
                     {"spatial", request.spatial_moments},
                     {"extractor", extractor}})};
}

ReferenceStatistics Evaluator::statistics_of_images(ImageSet& images, std::int64_t count) {
  ImageFeatures features =
      feature_pass(ranks_, images, extractor_, statistics_request(), pass_options("images", count, 1));
  return statistics_of(ranks_, features, protocol_of(images, features));
}

PassRequest Evaluator::statistics_request() const {
  return {.moments = true, .spatial_moments = extractor_.offers().spatial};
}

nlohmann::json Evaluator::protocol_of(const ImageSet& images, const ImageFeatures& features) const {
  return {{"name", images.description().name},
          {"images", images_protocol(images, features, options_.seed)},
          {"extractor", extractor_protocol(extractor_.description())}};
}

void Evaluator::prepare_reference() {
  if (!reference_ || features_) return;
  const bool wants_images = needs([](const MetricNeeds& needs) { return needs.reference_images(); });
  if (!wants_images && statistics_) return;
  const ReferenceCache kept = cache();
  const PassRequest request = reference_request();
  if (!wants_images && (statistics_ = kept.read(request))) return;
  ImageFeatures features = feature_pass(ranks_, *reference_, extractor_, request,
                                        pass_options("reference", options_.reference_count, 1));
  nlohmann::json protocol = protocol_of(*reference_, features);
  if (!kept.key().empty()) protocol["key"] = kept.key();
  if (request.moments || request.spatial_moments) {
    statistics_ = statistics_of(ranks_, features, std::move(protocol));
    kept.write(*statistics_, options_.warn);
    features.blocks.clear();
    features.spatial.clear();
  } else {
    statistics_ = ReferenceStatistics{{}, {}, std::move(protocol)};
  }
  if (wants_images) features_ = std::move(features);
}

nlohmann::json Evaluator::protocol(const ImageSet& images, std::int64_t count) {
  const bool compares =
      std::ranges::any_of(options_.metrics, [](const Metric* metric) { return uses_reference(*metric); });
  if (compares) prepare_reference();
  const std::int64_t scored = !looks_at_images() ? 0 : count > 0 ? count : images.size();
  nlohmann::json protocol{{"images", images_protocol(images, scored, options_.seed)},
                          {"extractor", extractor_protocol(extractor_.description())},
                          {"quantisation", "uint8: x * 127.5 + 128, clamped, truncated"},
                          {"seed", options_.seed},
                          {"ranks", ranks_.size()},
                          {"batch", options_.batch}};
  if (reference_ && needs([](const MetricNeeds& needs) { return needs.likelihood; }))
    protocol["reference"] = images_protocol(
        *reference_, options_.reference_count > 0 ? options_.reference_count : reference_->size(),
        options_.seed);
  if (compares) protocol["reference"] = statistics_->protocol.value("images", statistics_->protocol);
  return protocol;
}

Evaluation Evaluator::evaluate(ImageSet& images, std::int64_t count) {
  Evaluation evaluation{.scores = {}, .protocol = protocol(images, count), .warnings = {}};
  if (count == 0) count = images.size();
  ImageFeatures scored;
  if (looks_at_images())
    scored = feature_pass(ranks_, images, extractor_, scored_request(),
                          pass_options("images", count, blocks_for(count)));
  std::optional<Neighbourhoods> neighbours;
  if (features_ && features_->pool.defined() && scored.pool.defined())
    neighbours.emplace(ranks_, scored, *features_,
                       std::max(options_.metric.pr_neighbours, options_.metric.dc_neighbours));
  MetricInput input{ranks_,
                    images,
                    scored,
                    features_ ? &*features_ : nullptr,
                    statistics_ ? &*statistics_ : nullptr,
                    neighbours ? &*neighbours : nullptr,
                    options_.metric,
                    options_.note,
                    reference_,
                    options_.reference_count,
                    options_.batch};
  for (const Metric* metric : options_.metrics)
    for (Score& score : metric->compute(input)) {
      if (!std::isfinite(score.value))
        throw SharedError(ExitCode::checkpoint,
                          fmt::format("{} is not finite: the features are too large for it", score.name));
      evaluation.scores.push_back(std::move(score));
    }

  if (looks_at_images()) evaluation.protocol["images"]["digest"] = scored.digest;
  const std::int64_t reference_count = statistics_ && statistics_->pool ? statistics_->pool->fitted.count : 0;
  evaluation.warnings = warnings_for(evaluation.scores, scored.count(), reference_count);
  evaluation.protocol["warnings"] = evaluation.warnings;
  if (options_.statistics) evaluation.statistics = statistics_of(ranks_, scored, protocol_of(images, scored));
  return evaluation;
}

PassRequest Evaluator::scored_request() const {
  PassRequest request = options_.statistics ? statistics_request() : PassRequest{};
  for (const Metric* metric : options_.metrics) request = request | metric->needs.images;
  return request;
}

std::vector<std::string> Evaluator::warnings_for(const std::vector<Score>& scores, std::int64_t images,
                                                 std::int64_t reference) const {
  std::vector<std::string> warnings;
  if (needs([](const MetricNeeds& needs) { return needs.statistics; }))
    warnings = sample_warnings(extractor_.description(), images, reference);
  for (const Score& score : scores)
    if (!score.warning.empty()) warnings.push_back(score.warning);
  const bool looked = needs([](const MetricNeeds& needs) {
    const FeatureRequest features = needs.images.features();
    return features.pool || features.spatial || features.logits;
  });
  if (const std::string& caveat = extractor_.description().caveat; looked && !caveat.empty())
    warnings.push_back(caveat);
  return warnings;
}

}  // namespace ganymede
