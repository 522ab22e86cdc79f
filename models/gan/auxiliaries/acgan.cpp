#include "models/gan/auxiliaries/acgan.h"

#include "core/error.h"

namespace ganymede {
namespace {

class AuxiliaryClassifier final : public GanAuxiliary {
  void describe(OptionSchema& schema) override {
    schema.add("acgan.real_weight", real_, "", {0, 1e6}, "weight in D's loss of the class of real images");
    schema.add("acgan.fake_weight", fake_, "", {0, 1e6},
               "weight in D's loss of the class of generated images");
    schema.add("acgan.generator_weight", generator_, "", {0, 1e6},
               "weight in G's loss of the class of generated images");
  }
  void check(const GanNetworks& networks, const GanLoss&) const override {
    check_class_head("acgan", networks);
    if (!networks.conditioning().generator)
      fail(ExitCode::options,
           "gan.auxiliary = acgan asks the generator for a class that it is not told: set the network's "
           "conditioning to generator");
  }
  std::int64_t outputs(const GanNetworks& networks) const override { return networks.images().classes; }
  at::Tensor discriminator(const AuxiliaryView& real, const AuxiliaryView& fake) const override {
    return real_ * class_entropy(real.outputs, real.labels) +
           fake_ * class_entropy(fake.outputs, fake.labels);
  }
  at::Tensor generator(const AuxiliaryView& fake) const override {
    return generator_ * class_entropy(fake.outputs, fake.labels);
  }
  std::vector<std::pair<std::string, at::Tensor>> figures(const AuxiliaryView& real,
                                                          const AuxiliaryView& fake) const override {
    return {{"class_real", class_hits(real.outputs, real.labels)},
            {"class_fake", class_hits(fake.outputs, fake.labels)}};
  }

 private:
  double real_ = 1, fake_ = 1, generator_ = 1;
};

}  // namespace

std::unique_ptr<GanAuxiliary> make_acgan() {
  return std::make_unique<AuxiliaryClassifier>();
}

}  // namespace ganymede
