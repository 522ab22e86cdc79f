#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "evaluation/feature_pass.h"
#include "evaluation/sharded_rows.h"
#include "evaluation/statistics.h"

namespace ganymede {

class Lpips;
class Neighbourhoods;

/// One figure of a metric.
struct Score {
  std::string name;
  double value = 0;
  std::optional<double> error = {};                   ///< what it is, `details` says
  nlohmann::json details = nlohmann::json::object();  ///< subsets, neighbours, ...
  std::string warning = {};                           ///< what who reads the figure should know
};

/// What metrics can be told; each has the default of the tool that its published figures come from.
struct MetricOptions {
  std::uint64_t seed = 0;
  std::int64_t kid_subsets = 100;
  std::int64_t kid_subset_size = 0;  ///< 0: 1000, or as many as there are
  std::int64_t is_splits = 10;
  std::int64_t pairs = 1000;  ///< of images that MS-SSIM compares
  std::int64_t pr_neighbours = 3, dc_neighbours = 5;
  const Lpips* lpips = nullptr;  ///< must outlive the scoring
};

/// What a metric is computed from, on every rank.
struct MetricInput {
  Communicator& ranks;
  ImageSet& set;  ///< what is scored
  ImageFeatures& images;
  ImageFeatures* reference = nullptr;               ///< where the metric needs the reference's images
  const ReferenceStatistics* statistics = nullptr;  ///< where it needs mean and covariance alone
  Neighbourhoods* neighbours = nullptr;             ///< where there are rows of both
  const MetricOptions& options;
  std::function<void(std::string_view activity)> note = {};  ///< told what begins; may be empty
  /// The reference itself, for metrics of a likelihood: how many of its images count (0 = all), and how many at once.
  ImageSet* reference_set = nullptr;
  std::int64_t reference_count = 0, batch = 64;

  void tell(std::string_view activity) const {
    if (note) note(activity);
  }
};

struct MetricNeeds {
  PassRequest images = {};
  PassRequest reference = {};             ///< of the reference's images; nothing where statistics do
  bool statistics = false;                ///< mean and covariance of the reference
  bool classes = false;                   ///< both sets have labels
  std::int64_t least_side = 0;            ///< pixels
  std::int64_t images_per_dimension = 0;  ///< scored images, at least
  bool pyramid = false;  ///< square images of one size on both sides, a power of two from 16 on
  bool pairs = false;    ///< sets of one length and size: image i of the one belongs to image i of the other
  bool paths = false;    ///< images that are drawn from latents
  /// A model that gives the reference's images a likelihood; nothing is drawn from it for this.
  bool likelihood = false;
  std::int64_t blocks = 1;  ///< least number that the pass keeps moments apart for
  /// What the extractor's name begins with; empty for any.
  std::string_view extractor = {};

  bool reference_images() const { return reference.rows || reference.images > 0 || reference.logits; }
};

/// One line of the table: a score, or several that are computed together.
struct Metric {
  std::string_view name;
  std::string_view help;
  bool lower_is_better = true;  ///< of the first score
  MetricNeeds needs = {};
  std::string_view leading = {};  ///< the name of the first score, where it is not the metric's
  /// Throws Error(options, dataset) where so many images of either set will not do; may be empty. `reference`
  /// is 0 where nobody knows.
  std::function<void(const MetricOptions& options, std::int64_t images, std::int64_t reference)> check;
  /// Collective; the scores are the same on every rank.
  std::function<std::vector<Score>(MetricInput& input)> compute;

  std::string first_score() const { return std::string(leading.empty() ? name : leading); }
};

std::span<const Metric> metrics();
/// Throws Error(options) that names the nearest, or lists all.
const Metric& find_metric(const std::string& name);

/// A figure that rank 0 knows, on all ranks. Collective.
double from_root(Communicator& ranks, double value);

}  // namespace ganymede
