#pragma once

#include "models/encoders/encoding_method.h"

namespace ganymede {

/// What the recipes of methods that encode share: the generator of `gan.network`, and EncodingOptions.
class EncodingRecipe : public MethodRecipe {
 public:
  /// `name`: of the method.
  EncodingRecipe(std::string name, const Settings& settings);
  void describe(OptionSchema& schema) override;
  void check(std::int64_t micro_batch) const override;
  void check_sampling(const SampleOptions& options) const override;
  std::vector<std::string> warnings(std::int64_t steps) const override;
  ImageSpec images() const override { return networks_->images(); }
  std::vector<std::pair<std::string, std::int64_t>> parameter_counts() const override;

 protected:
  virtual void describe_own(OptionSchema& schema) = 0;
  virtual void check_own() const = 0;
  /// As the method has them.
  virtual EncodingNetworks make() const = 0;
  /// Updates of the encoder a step.
  virtual std::int64_t encoder_updates() const { return 1; }

  const GanNetworks& networks() const { return *networks_; }
  const EncodingOptions& options() const { return options_; }
  const std::string& network_name() const { return network_; }

 private:
  std::string name_, network_ = "dcgan";
  std::unique_ptr<GanNetworks> networks_;
  EncodingOptions options_;
};

}  // namespace ganymede
