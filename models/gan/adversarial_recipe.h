#pragma once

#include "models/method.h"

namespace ganymede {

/// `settings` choose what the method is made of: gan.network, gan.loss, gan.auxiliary.
std::unique_ptr<MethodRecipe> make_adversarial_recipe(const Settings& settings);

}  // namespace ganymede
