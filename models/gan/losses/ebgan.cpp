#include "models/gan/losses/ebgan.h"

#include <ATen/ATen.h>

#include "models/layers/gather_rows.h"

namespace ganymede {
namespace {

/// An image's part of N f_PT [N].
at::Tensor pulling_away(const GanLogits& logits) {
  const at::Tensor& s = logits.fake_features;
  const at::Tensor unit = s / s.norm(2, {1}, /*keepdim=*/true).clamp_min(1e-12);
  const at::Tensor all = gather_rows(unit, logits.layout, logits.communicator);
  const at::Tensor squares = at::mm(unit, all.t()).square();
  const at::Tensor itself = at::arange(logits.layout.first, logits.layout.first + s.size(0),
                                       at::TensorOptions(at::kLong).device(s.device()));
  const double others = static_cast<double>(std::max<std::int64_t>(1, logits.layout.total - 1));
  return squares.scatter(1, itself.unsqueeze(1), 0).sum(1) / others;
}

// A logit is minus an energy.
class EnergyBased final : public GanLoss {
  void describe(OptionSchema& schema) override {
    schema.add("ebgan.margin", margin_, "", {0, 1e6}, "energy above which generated images are let be");
    schema.add("ebgan.pull_away", pull_away_, "", {0, 1e6}, "weight of the pulling-away term, 0 for none");
  }
  GanLossNeeds needs() const override { return {.autoencoder = true, .features = pull_away_ > 0}; }
  at::Tensor discriminator(const GanLogits& logits) const override {
    return at::relu(margin_ + logits.fake) - logits.real;
  }
  at::Tensor generator(const GanLogits& logits) const override {
    return pull_away_ > 0 ? pull_away_ * pulling_away(logits) - logits.fake : -logits.fake;
  }

 private:
  double margin_ = 1, pull_away_ = 0.1;
};

}  // namespace

std::unique_ptr<GanLoss> make_ebgan() {
  return std::make_unique<EnergyBased>();
}

}  // namespace ganymede
