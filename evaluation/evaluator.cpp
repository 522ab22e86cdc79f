#include "evaluation/evaluator.h"

#include <bit>
#include <cmath>

#include "core/files.h"
#include "core/hash.h"
#include "core/strict_json.h"
#include "evaluation/shared_error.h"
#include "evaluation/statistics_file.h"

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
  if (statistics.pool && statistics.pool->mean.size(0) != extractor.dimensions)
    fail(ExitCode::dataset, "the statistics of {} have {} dimensions, the features of {} have {}", name,
         statistics.pool->mean.size(0), extractor.name, extractor.dimensions);
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
  PassOptions pass{.count = count, .seed = options_.seed, .batch = options_.batch, .blocks = blocks};
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
  check_size(metric, images.description());
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
  if (metric.needs.classes && (!images.labels().defined() || !reference_->labels().defined()))
    fail(ExitCode::dataset, "{} compares class by class: both sets need labels, and {} has none", metric.name,
         (images.labels().defined() ? *reference_ : images).description().name);
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
  if (!reference_) return;
  const ImageSetDescription& other = reference_->description();
  if (other.height != images.height || other.width != images.width || other.channels != images.channels)
    fail(ExitCode::dataset, "{} needs images of one size: those of {} are {} x {} x {}, of {} {} x {} x {}",
         metric.name, images.name, images.channels, images.height, images.width, other.name, other.channels,
         other.height, other.width);
}

std::string Evaluator::cache_key() const {
  const ImageSetDescription& images = reference_->description();
  if (images.key.empty() || options_.cache.empty()) return {};
  nlohmann::json extractor = extractor_protocol(extractor_.description());
  extractor.erase("origin");
  const PassRequest request = reference_request();
  return json_text({{"images", images.key},
                    {"count", options_.reference_count},
                    {"seed", options_.reference_count > 0 ? options_.seed : 0},
                    {"moments", request.moments},
                    {"spatial", request.spatial_moments},
                    {"extractor", extractor}});
}

namespace {

std::filesystem::path cache_path(const std::filesystem::path& folder, const std::string& key) {
  return folder / fmt::format("statistics-{}.npz", hex(Xxh3::of(key)));
}

}  // namespace

bool Evaluator::read_cache(const std::string& key) {
  ReferenceStatistics found;
  if (ranks_.rank() == 0) try {
      const std::filesystem::path path = cache_path(options_.cache, key);
      std::error_code unreachable;
      if (std::filesystem::exists(path, unreachable)) found = read_statistics(path);
    } catch (const Error&) {
      found = {};  // made anew
    }
  if (found.protocol.value("key", "") != key) found = {};
  const PassRequest request = reference_request();
  const bool is_whole = (found.pool || found.spatial) && (found.pool || !request.moments) &&
                        (found.spatial || !request.spatial_moments);
  if (ranks_.agree(is_whole ? 1 : 0) == 0) return false;
  broadcast_statistics(ranks_, found);
  statistics_ = std::move(found);
  return true;
}

void Evaluator::write_cache(const std::string& key) const {
  if (ranks_.rank() != 0) return;
  try {
    create_folders(options_.cache);
    write_statistics(cache_path(options_.cache, key), *statistics_);
  } catch (const Error& error) {
    if (options_.warn)
      options_.warn(fmt::format("the reference's statistics are not kept: {}", error.what()));
  }
}

ReferenceStatistics Evaluator::statistics_of_images(ImageSet& images, std::int64_t count) {
  PassRequest request{.moments = true, .spatial_moments = extractor_.offers().spatial};
  ImageFeatures features =
      feature_pass(ranks_, images, extractor_, request, pass_options("images", count, 1));
  nlohmann::json protocol{{"name", images.description().name},
                          {"images", images_protocol(images, features, options_.seed)},
                          {"extractor", extractor_protocol(extractor_.description())}};
  return statistics_of(ranks_, features, std::move(protocol));
}

void Evaluator::prepare_reference() {
  if (!reference_ || features_) return;
  const bool wants_images = needs([](const MetricNeeds& needs) { return needs.reference_images(); });
  const std::string key = cache_key();
  if (!wants_images && (statistics_ || (!key.empty() && read_cache(key)))) return;
  const PassRequest request = reference_request();
  ImageFeatures features = feature_pass(ranks_, *reference_, extractor_, request,
                                        pass_options("reference", options_.reference_count, 1));
  nlohmann::json protocol{{"name", reference_->description().name},
                          {"images", images_protocol(*reference_, features, options_.seed)},
                          {"extractor", extractor_protocol(extractor_.description())}};
  if (!key.empty()) protocol["key"] = key;
  if (request.moments || request.spatial_moments) {
    statistics_ = statistics_of(ranks_, features, std::move(protocol));
    if (!key.empty()) write_cache(key);
    features.blocks.clear();
    features.spatial.clear();
  } else {
    statistics_ = ReferenceStatistics{{}, {}, std::move(protocol)};
  }
  if (wants_images) features_ = std::move(features);
}

Evaluation Evaluator::evaluate(ImageSet& images, std::int64_t count) {
  const bool compares =
      std::ranges::any_of(options_.metrics, [](const Metric* metric) { return uses_reference(*metric); });
  if (compares) prepare_reference();
  PassRequest request;
  for (const Metric* metric : options_.metrics) request = request | metric->needs.images;
  if (count == 0) count = images.size();
  ImageFeatures scored =
      feature_pass(ranks_, images, extractor_, request, pass_options("images", count, blocks_for(count)));
  MetricInput input{
      ranks_,          scored,       features_ ? &*features_ : nullptr, statistics_ ? &*statistics_ : nullptr,
      options_.metric, options_.note};
  Evaluation evaluation;
  for (const Metric* metric : options_.metrics)
    for (Score& score : metric->compute(input)) {
      if (!std::isfinite(score.value))
        throw SharedError(ExitCode::checkpoint,
                          fmt::format("{} is not finite: the features are too large for it", score.name));
      evaluation.scores.push_back(std::move(score));
    }

  const ExtractorDescription& extractor = extractor_.description();
  std::int64_t reference_count = 0;
  nlohmann::json& protocol = evaluation.protocol;
  protocol = {{"images", images_protocol(images, scored, options_.seed)},
              {"extractor", extractor_protocol(extractor)},
              {"quantisation", "uint8: x * 127.5 + 128, clamped, truncated"},
              {"seed", options_.seed},
              {"ranks", ranks_.size()},
              {"batch", options_.batch}};
  if (compares) {
    protocol["reference"] = statistics_->protocol.value("images", statistics_->protocol);
    if (statistics_->pool) reference_count = statistics_->pool->fitted.count;
  }
  evaluation.warnings = score_warnings(extractor, scored.count(), reference_count);
  protocol["warnings"] = evaluation.warnings;
  return evaluation;
}

}  // namespace ganymede
