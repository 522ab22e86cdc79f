#include "core/metrics/manifold_scores.h"

#include <ATen/ATen.h>

#include "core/error.h"
#include "core/metrics/neighbours.h"

namespace ganymede {
namespace {

at::Tensor squared_radii(const at::Tensor& features, std::int64_t k) {
  const at::Tensor indices = at::arange(features.size(0));
  NearestNeighbours search(features, indices, k, SelfMatch::skip);
  search.add(features, indices);
  return search.squared_radii();
}

double share(std::int64_t part, std::int64_t whole) {
  return static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

ManifoldCounts& ManifoldCounts::add_fakes(const BallMembership& in_real_balls) {
  fakes += in_real_balls.closed().size(0);
  in_real += in_real_balls.closed().gt(0).sum().item<std::int64_t>();
  balls += in_real_balls.open().sum().item<std::int64_t>();
  return *this;
}

ManifoldCounts& ManifoldCounts::add_reals(const BallMembership& in_fake_balls, const at::Tensor& radii) {
  reals += in_fake_balls.closed().size(0);
  in_fake += in_fake_balls.closed().gt(0).sum().item<std::int64_t>();
  covered += in_fake_balls.squared_nearest().lt(radii).sum().item<std::int64_t>();
  return *this;
}

ManifoldScores ManifoldCounts::scores(std::int64_t k) const {
  return {share(in_real, fakes), share(in_fake, reals), share(balls, k * fakes), share(covered, reals)};
}

ManifoldScores manifold_scores(const at::Tensor& real, const at::Tensor& fake, std::int64_t k) {
  const at::Tensor real_radii = squared_radii(real, k), fake_radii = squared_radii(fake, k);
  BallMembership fakes(fake), reals(real);
  fakes.add(real, real_radii);
  reals.add(fake, fake_radii);
  return ManifoldCounts{}.add_fakes(fakes).add_reals(reals, real_radii).scores(k);
}

}  // namespace ganymede
