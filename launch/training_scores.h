#pragma once

#include "datasets/image_dataset.h"
#include "launch/recipe.h"
#include "launch/scoring.h"

namespace ganymede {

/// The scores of a run under training, by the options evaluate.*: of what its moving average draws, by all ranks.
/// Changes nothing in the run. The reference's statistics are kept in OUT/statistics.
class TrainingScores {
 public:
  struct Setting {
    Process& process;
    const RunOptions& options;
    const ImageDataset& dataset;
    Method& method;
    std::filesystem::path out;
  };
  struct Result {
    nlohmann::json line;   ///< {"step": .., "metrics": .., "protocol": .., "best": the best step so far}
    bool is_best = false;  ///< by the first score, of all of this protocol (protocol_differences())
  };

  /// Looks at weights and reference, so that what is wrong with them shows before the first step. Collective;
  /// throws AgreedError.
  explicit TrainingScores(const Setting& setting);

  /// Takes over what OUT/metrics.jsonl says of steps up to this one. Returns the best step, if there is one:
  /// by this protocol, or, before any score by it, by the last. Collective.
  std::optional<std::int64_t> go_on_from(std::int64_t step);
  /// Every evaluate.every steps and after the last, unless it has been done.
  bool is_due(std::int64_t step, std::int64_t total) const;
  /// Collective.
  Result evaluate(std::int64_t step);
  /// "fid 12.3": the newest; "" before any.
  const std::string& text() const { return text_; }

 private:
  struct Drawn {
    std::unique_ptr<Sampler> sampler;
    std::unique_ptr<ImageSet> images;
  };

  void open_reference();
  /// What is scored after this step. Collective.
  Drawn drawn(std::int64_t step) const;
  void take_over(const nlohmann::json& line);
  bool take(std::int64_t step, double value);

  Setting setting_;
  std::unique_ptr<Communicator> ranks_;
  std::unique_ptr<FeatureExtractor> extractor_;
  std::unique_ptr<ImageSet> reference_;
  std::optional<Evaluator> evaluator_;
  nlohmann::json protocol_;
  std::vector<const Metric*> metrics_;
  SampleOptions sampling_;
  Drawing drawing_;
  std::int64_t count_ = 0;       ///< of images that are scored
  std::int64_t last_step_ = -1;  ///< that has been scored
  std::optional<std::int64_t> best_step_;
  double best_ = 0;
  std::string text_;
};

/// The best step that the last score in OUT/metrics.jsonl up to this step tells of: what a run keeps that
/// scores no more. Collective.
std::optional<std::int64_t> last_best_step(Process& process, const std::filesystem::path& out,
                                           std::int64_t step);

}  // namespace ganymede
