#pragma once

#include "tests/models/small_denoiser.h"

/// What runs of SmallDenoiser are held to, whatever they train. Collective; failures are told to GoogleTest.
namespace ganymede::test {

/// Most that a tensor may be off (relative L2) where only rounding differs.
inline constexpr double denoiser_bound = 1e-9;

/// The state after a few steps on one rank.
NamedTensors train_alone(const SmallDenoiserOptions& options);
/// The largest relative L2 of a tensor. The bias of keys adds the same to all of a query's logits, which the softmax
/// takes away: its gradient is rounding, which Adam magnifies.
double difference(const NamedTensors& run, const NamedTensors& reference);

/// All ranks together train what one trains alone.
void expect_same_run(const SmallDenoiserOptions& options);
/// In float32 and bfloat16, bit for bit, on the ranks that there are.
void expect_repeats_and_resumes(const std::map<std::string, std::string>& changes);
/// In float32 and bfloat16 the loss falls by a fifth in 80 steps on the same few images.
void expect_learns_by_heart(const std::map<std::string, std::string>& changes);
/// By small_denoiser_recipe(), with a message that holds `what`.
void expect_refused(const std::map<std::string, std::string>& options, const std::string& what);

}  // namespace ganymede::test
