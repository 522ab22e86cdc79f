#pragma once

#include <cstdint>
#include <vector>

namespace ganymede {

/// Moving averages of weights whose profile over the updates is a power function (Karras et al., arXiv 2312.02696,
/// section 3.1): of the weights w(1) ... w(t) after each update
///
///     average(t) = sum_i (i^(g+1) - (i-1)^(g+1)) / t^(g+1) w(i)
///                = b average(t - 1) + (1 - b) w(t),   b = (1 - 1/t)^(g+1)
///
/// The exponent g is told as the profile's relative width: its standard deviation over t. Averages that were kept at
/// some updates are mixed into one of another width afterwards (there section 3.2, and appendix C), whose profile is
/// matched in the sense of least squares.

/// The widest profile is that of the plain mean, g = 0: 12^(-1/2).
inline constexpr double widest_power_profile = 0.28867;
/// Narrower ones would be the weights themselves.
inline constexpr double narrowest_power_profile = 1e-4;

/// g >= 0 of a relative width in (0, widest_power_profile], the root of
/// width = (g + 1)^(1/2) (g + 2)^(-1) (g + 3)^(-1/2).
double power_exponent(double width);

/// b above, for update = 1, 2, ...; 0 at the first.
double power_decay(double exponent, std::int64_t update);

/// Of an average after so many updates.
struct PowerProfile {
  double updates = 0, exponent = 0;
};

/// The integral of the product of two profiles p(x) = (g + 1) x^g / t^(g+1), 0 <= x <= t.
double inner_product(const PowerProfile& a, const PowerProfile& b);

struct ProfileMix {
  std::vector<double> weights;  ///< of the known averages
  double error = 0;             ///< norm of what the mix's profile differs by, over the wanted one's; to 1e-8
};

/// At least one known profile. What the known ones have twice counts once.
ProfileMix mix_profiles(const std::vector<PowerProfile>& known, const PowerProfile& wanted);

}  // namespace ganymede
