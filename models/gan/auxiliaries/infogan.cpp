#include "models/gan/auxiliaries/infogan.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>

#include "core/error.h"

namespace ganymede {
namespace {

class InfoGan final : public GanAuxiliary {
  void describe(OptionSchema& schema) override {
    schema.add("infogan.categorical", codes_.categories, "", {2, 1e6},
               "categories of each categorical code, at z's end");
    schema.add("infogan.continuous", codes_.continuous, "", {0, 4096},
               "continuous codes in (-1, 1), behind them");
    schema.add("infogan.deviation", deviation_, {"fixed", "learned"},
               "of a continuous code given an image: 1, or an output of Q");
    schema.add("infogan.categorical_weight", categorical_weight_, "", {0, 1e6},
               "weight of the information on categorical codes");
    schema.add("infogan.continuous_weight", continuous_weight_, "", {0, 1e6},
               "weight of the information on continuous codes");
  }
  void check(const GanNetworks& networks, const GanLoss&) const override {
    if (codes_.width() == 0)
      fail(ExitCode::options,
           "gan.auxiliary = infogan without codes: set infogan.categorical or infogan.continuous");
    if (const std::string setting = networks.setting_for_plain_latent(); !setting.empty())
      fail(ExitCode::options,
           "gan.auxiliary = infogan: the generator would not see the codes as drawn: set {}", setting);
    if (const std::int64_t latent = networks.generator()->latent_size(); codes_.width() >= latent)
      fail(ExitCode::options,
           "infogan's codes are {} numbers, and z has {}: at least one must be left for noise: widen "
           "the network's latent, or give fewer codes",
           codes_.width(), latent);
  }
  std::int64_t outputs(const GanNetworks&) const override {
    return codes_.width() + (learned() ? codes_.continuous : 0);
  }
  LatentCodes codes() const override { return codes_; }

  at::Tensor discriminator(const AuxiliaryView&, const AuxiliaryView& fake) const override {
    return generator(fake);
  }
  at::Tensor generator(const AuxiliaryView& fake) const override {
    at::Tensor sum = at::zeros({fake.outputs.size(0)}, fake.outputs.options());
    each_categorical(fake, [&](const at::Tensor& outputs, const at::Tensor& code) {
      sum = sum + categorical_weight_ * class_entropy(outputs, code);
    });
    return codes_.continuous > 0 ? sum + continuous_weight_ * gaussian_entropy(fake) : sum;
  }
  std::vector<std::pair<std::string, at::Tensor>> figures(const AuxiliaryView&,
                                                          const AuxiliaryView& fake) const override {
    std::vector<std::pair<std::string, at::Tensor>> figures;
    std::vector<at::Tensor> hits;
    each_categorical(fake, [&](const at::Tensor& outputs, const at::Tensor& code) {
      hits.push_back(class_hits(outputs, code));
    });
    if (!hits.empty()) figures.emplace_back("code_hits", at::stack(hits).mean(0));
    if (codes_.continuous > 0) figures.emplace_back("code_error", offsets(fake).square().mean(1));
    return figures;
  }

 private:
  bool learned() const { return deviation_ == "learned"; }

  /// Of each categorical code its outputs [N, categories] and its values [N].
  template <class F>
  void each_categorical(const AuxiliaryView& fake, const F& visit) const {
    std::int64_t place = 0;
    const at::Tensor codes = fake.z.slice(1, fake.z.size(1) - codes_.width());
    for (const std::int64_t count : codes_.categories) {
      visit(fake.outputs.narrow(1, place, count), codes.narrow(1, place, count).argmax(1));
      place += count;
    }
  }
  /// c - mu [N, continuous].
  at::Tensor offsets(const AuxiliaryView& fake) const {
    return fake.z.slice(1, fake.z.size(1) - codes_.continuous) -
           fake.outputs.narrow(1, codes_.width() - codes_.continuous, codes_.continuous);
  }
  at::Tensor gaussian_entropy(const AuxiliaryView& fake) const {
    const double constant = std::log(2 * std::numbers::pi) / 2;
    const at::Tensor square = offsets(fake).square() / 2;
    if (!learned()) return (square + constant).sum(1);
    const at::Tensor log_sigma = fake.outputs.slice(1, codes_.width());
    return (square * at::exp(-2 * log_sigma) + log_sigma + constant).sum(1);
  }

  LatentCodes codes_{.categories = {10}, .continuous = 2};
  std::string deviation_ = "fixed";
  double categorical_weight_ = 1, continuous_weight_ = 0.1;
};

}  // namespace

std::unique_ptr<GanAuxiliary> make_infogan() {
  return std::make_unique<InfoGan>();
}

}  // namespace ganymede
