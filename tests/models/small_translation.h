#pragma once

#include "models/method.h"

namespace ganymede::test {

/// A run of image translation with narrow networks on synthetic images, neither square nor with as many channels as
/// their sources; or of an autoencoder, whose images are their own sources.
struct SmallTranslationOptions {
  std::string method = "pix2pix";
  std::int64_t batch = 5;
  std::int64_t accumulate = 1;
  std::map<std::string, std::string> options = {};  ///< on top of the narrow networks'
  at::ScalarType dtype = at::kDouble;
  std::optional<at::ScalarType> activations = std::nullopt;
  bool few_images = false;  ///< the batch begins again with the same images in each step
};

/// The recipe of such a run, checked; throws what its options are refused with.
std::unique_ptr<MethodRecipe> small_translation_recipe(const SmallTranslationOptions& options);

class SmallTranslation {
 public:
  /// The communicators must outlive it.
  SmallTranslation(const SmallTranslationOptions& options, Communicator& gradients, Communicator& batch_norm);

  Method& method() { return *method_; }
  ImageSpec images() const { return recipe_->images(); }
  /// Rows first .. first + count - 1 of the data: sources, or images.
  at::Tensor sources(std::int64_t first, std::int64_t count) const;
  at::Tensor targets(std::int64_t first, std::int64_t count) const;
  /// The next steps; collective. Returns the last step's report, this rank's part.
  Figures train(std::int64_t steps);
  /// A copy of every tensor of every player, and of the method's own.
  NamedTensors state();
  /// As from a checkpoint of a run with the same options.
  void continue_from(SmallTranslation& other);

 private:
  Batch next();

  SmallTranslationOptions options_;
  std::unique_ptr<MethodRecipe> recipe_;
  int rank_, size_;
  std::unique_ptr<Method> method_;
  std::int64_t step_ = 0, taken_ = 0;
};

/// Expects of a run on all ranks: the report and the tensors of a run on one, to 1e-9, and the same bits on all ranks.
/// Collective, as the next two are.
void expect_as_on_one_rank(const SmallTranslationOptions& options, std::int64_t steps);
/// That it ends with the same bits again, and when continued at its last step.
void expect_repeats_and_continues(const SmallTranslationOptions& options, std::int64_t steps);
/// That a step sends what the method's costs tell.
void expect_costs_are_sent(const SmallTranslationOptions& options);

/// Expects Error(options) whose message says `what`.
void expect_refused(const std::string& what, const std::function<void()>& act);

}  // namespace ganymede::test
