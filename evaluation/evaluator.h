#pragma once

#include <filesystem>
#include <memory>

#include "evaluation/metric.h"
#include "evaluation/protocol.h"
#include "evaluation/reference_cache.h"

namespace ganymede {

struct EvaluatorOptions {
  std::vector<const Metric*> metrics = {};
  MetricOptions metric = {};
  std::int64_t batch = 64;   ///< images a rank looks at at once
  std::uint64_t seed = 0;    ///< of subsets and splits
  std::int64_t blocks = 10;  ///< of images, for error bars: 33 MB a block and rank at D = 2,048; 1 = none
  std::int64_t reference_count = 0;  ///< 0 = all
  std::filesystem::path cache = {};  ///< folder of the reference's statistics; empty = none are kept
  bool statistics = false;           ///< also those of what is scored, from the same pass
  std::int64_t most_pixel_bytes = PassOptions{}.most_pixel_bytes;
  std::function<void(std::string_view activity)> note = {};
  /// Told of this rank's images of "images" or "reference", first that none is done.
  std::function<void(std::string_view what, std::int64_t done, std::int64_t total)> advance = {};
  /// Asked after each batch: whether to give up. What one rank says counts for all.
  std::function<bool()> stop = {};
  /// Told, on rank 0, what could not be kept.
  std::function<void(const std::string& text)> warn = {};
};

/// Scores with all that they depend on.
struct Evaluation {
  std::vector<Score> scores;
  nlohmann::json protocol;
  std::vector<std::string> warnings;
  std::optional<ReferenceStatistics> statistics = {};  ///< if wanted: of what was scored, as a reference

  /// {"metrics": {NAME: {"value": .., "error": .., "features": .., ...}}, "protocol": {..}}
  nlohmann::json to_json() const;
};

/// Scores sets of images against one reference, with all ranks. What the reference leaves is kept between
/// calls: its statistics, and its features where a metric needs them.
///
///     Evaluator evaluator(ranks, *extractor, options);
///     evaluator.set_reference(reference);      // images, or read_statistics()
///     evaluator.check(images, 50000);          // on every rank, within Process::together
///     const Evaluation evaluation = evaluator.evaluate(images, 50000);
class Evaluator {
 public:
  Evaluator(Communicator& ranks, FeatureExtractor& extractor, EvaluatorOptions options);

  /// `reference` must outlive this.
  void set_reference(ImageSet& reference) { reference_ = &reference; }
  /// Statistics of other images or programs. Throws Error(dataset) where they were made with another network,
  /// resize or precision, as far as they say.
  void set_reference(ReferenceStatistics statistics);

  /// Throws Error(options) where extractor, reference and metrics do not fit together, Error(dataset) for too
  /// few images. No collective; the same on every rank.
  void check(const ImageSet& images, std::int64_t count) const;

  /// What a score of `count` of the images (0 = all) depends on, but for their digest. Makes the reference
  /// ready. Collective; throws SharedError.
  nlohmann::json protocol(const ImageSet& images, std::int64_t count);

  /// Scores `count` of the images (0 = all). Collective; throws SharedError.
  Evaluation evaluate(ImageSet& images, std::int64_t count);

  /// The statistics of a set of images, by the metrics' needs, as a reference. Collective.
  ReferenceStatistics statistics_of_images(ImageSet& images, std::int64_t count);

 private:
  bool needs(bool (*of)(const MetricNeeds&)) const;
  PassRequest reference_request() const;
  PassRequest scored_request() const;
  PassRequest statistics_request() const;
  nlohmann::json protocol_of(const ImageSet& images, const ImageFeatures& features) const;
  std::vector<std::string> warnings_for(const std::vector<Score>& scores, std::int64_t images,
                                        std::int64_t reference) const;
  PassOptions pass_options(std::string_view what, std::int64_t count, std::int64_t blocks) const;
  void check_size(const Metric& metric, const ImageSetDescription& images) const;
  void check_same_size(const Metric& metric, const ImageSetDescription& images) const;
  void check_classes(const Metric& metric, const ImageSet& images, std::int64_t count) const;
  void check_pairs(const Metric& metric, const ImageSet& images, std::int64_t count) const;
  void check_likelihood(const Metric& metric, const ImageSet& images) const;
  /// Whether anything but a likelihood is asked for: whether the images themselves are looked at.
  bool looks_at_images() const;
  void check_metric(const Metric& metric, const ImageSet& images, std::int64_t count) const;
  std::int64_t blocks_for(std::int64_t count) const;
  void prepare_reference();
  ReferenceCache cache() const;

  Communicator& ranks_;
  FeatureExtractor& extractor_;
  EvaluatorOptions options_;
  ImageSet* reference_ = nullptr;
  std::optional<ReferenceStatistics> statistics_;
  std::optional<ImageFeatures> features_;
};

}  // namespace ganymede
