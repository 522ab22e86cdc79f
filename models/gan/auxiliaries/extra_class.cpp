#include "models/gan/auxiliaries/extra_class.h"

#include "core/error.h"

namespace ganymede {
namespace {

class ExtraClass final : public GanAuxiliary {
  void describe(OptionSchema& schema) override {
    schema.add("extra_class.weight", weight_, "", {0, 1e6}, "weight in D's loss of the class of real images");
  }
  void check(const GanNetworks& networks, const GanLoss& loss) const override {
    check_class_head("extra_class", networks);
    if (!loss.needs().probabilities)
      fail(ExitCode::options,
           "gan.auxiliary = extra_class makes one of D's C + 1 probabilities that of a generated image, and "
           "gan.loss is none of probabilities: set it to logistic or minimax");
  }
  std::int64_t outputs(const GanNetworks& networks) const override { return networks.images().classes; }
  at::Tensor verdict(const at::Tensor& logits, const at::Tensor& outputs) const override {
    return logits + outputs.logsumexp(1);
  }
  at::Tensor discriminator(const AuxiliaryView& real, const AuxiliaryView&) const override {
    return weight_ * class_entropy(real.outputs, real.labels);
  }
  at::Tensor generator(const AuxiliaryView&) const override { return {}; }
  std::vector<std::pair<std::string, at::Tensor>> figures(const AuxiliaryView& real,
                                                          const AuxiliaryView&) const override {
    return {{"class_real", class_hits(real.outputs, real.labels)}};
  }

 private:
  double weight_ = 1;
};

}  // namespace

std::unique_ptr<GanAuxiliary> make_extra_class() {
  return std::make_unique<ExtraClass>();
}

}  // namespace ganymede
