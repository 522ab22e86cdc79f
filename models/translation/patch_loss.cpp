#include "models/translation/patch_loss.h"

#include "core/error.h"

namespace ganymede {

void PatchLoss::check(const std::string& name, const GanLoss& loss) {
  const GanLossNeeds needs = loss.needs();
  if (needs.means || needs.features || needs.autoencoder || needs.real_for_generator)
    fail(ExitCode::options,
         "gan.loss = {} compares whole images, and this discriminator judges each patch by itself: give one "
         "of "
         "hinge, logistic, lsgan, minimax",
         name);
  if (needs.relative)
    fail(ExitCode::options,
         "gan.loss = {} needs a critic whose slope is bounded, and here neither weights nor gradients are: "
         "give "
         "one of hinge, logistic, lsgan, minimax",
         name);
}

}  // namespace ganymede
