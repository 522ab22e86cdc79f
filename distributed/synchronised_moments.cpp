#include "distributed/synchronised_moments.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

namespace ganymede {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

class AllReduceSum : public torch::autograd::Function<AllReduceSum> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, Communicator* communicator) {
    context->saved_data["communicator"] = reinterpret_cast<std::int64_t>(communicator);
    at::Tensor sum = x.clone(at::MemoryFormat::Contiguous);
    communicator->all_reduce(sum)->wait();
    return sum;
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    auto* communicator = reinterpret_cast<Communicator*>(context->saved_data["communicator"].toInt());
    return {all_reduce_sum(gradients[0], *communicator), {}};
  }
};

/// [G, C] sums over groups of per-image numbers [N, C], and back.
at::Tensor sum_groups(const at::Tensor& per_image, const at::Tensor& groups, std::int64_t count) {
  if (count == 1) return per_image.sum(0, true);
  return at::zeros({count, per_image.size(1)}, per_image.options()).index_add(0, groups, per_image);
}

at::Tensor spread_groups(const at::Tensor& per_group, const at::Tensor& groups, const at::Tensor& like) {
  const at::Tensor rows = per_group.size(0) == 1 ? per_group : per_group.index_select(0, groups);
  std::vector<std::int64_t> shape(static_cast<std::size_t>(like.dim()), 1);
  shape[0] = rows.size(0);
  shape[1] = rows.size(1);
  return rows.view(shape);
}

at::Tensor sum_positions(const at::Tensor& x) {
  return x.dim() == 2 ? x : x.flatten(2).sum(2);
}

/// Forward is plain arithmetic on the values; backward is written in differentiable operations on the saved
/// variables, the output mean among them, so that its own derivative is right.
class SynchronisedMoments : public torch::autograd::Function<SynchronisedMoments> {
 public:
  static variable_list forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& groups,
                               std::int64_t group_count, double count, Communicator* communicator) {
    at::Tensor sums = sums_of(x, groups, group_count);
    communicator->all_reduce(sums)->wait();
    sums.div_(count);
    const at::Tensor exact_mean = sums.select(0, 0);
    const at::Tensor variance = (sums.select(0, 1) - exact_mean.square()).clamp_min(0).to(x.scalar_type());
    const at::Tensor mean = exact_mean.to(x.scalar_type());
    context->saved_data["communicator"] = reinterpret_cast<std::int64_t>(communicator);
    context->saved_data["count"] = count;
    context->save_for_backward({x, mean, groups});
    return {mean, variance};
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    auto* communicator = reinterpret_cast<Communicator*>(context->saved_data["communicator"].toInt());
    const double count = context->saved_data["count"].toDouble();
    const auto saved = context->get_saved_variables();
    const at::Tensor& x = saved[0];
    const at::Tensor& mean = saved[1];
    const at::Tensor& groups = saved[2];
    // d mean / d x = 1 / n,  d variance / d x = 2 (x - mean) / n; other ranks' losses depend on this rank's x
    // as well.
    const at::Tensor total = all_reduce_sum(at::stack({gradients[0], gradients[1]}), *communicator) / count;
    const at::Tensor to_mean = spread_groups(total.select(0, 0), groups, x);
    const at::Tensor to_variance = spread_groups(2 * total.select(0, 1), groups, x);
    const at::Tensor constant = to_mean - to_variance * spread_groups(mean, groups, x);
    return {at::addcmul(constant, x, to_variance), {}, {}, {}, {}};
  }

 private:
  /// Sums of x and of x^2 over groups, [2, G, C] in float64.
  static at::Tensor sums_of(const at::Tensor& x, const at::Tensor& groups, std::int64_t group_count) {
    const double positions = static_cast<double>(x.numel() / (x.size(0) * x.size(1)));
    const at::Tensor image_mean = sum_positions(x) / positions;  // [N, C]
    std::vector<std::int64_t> shape(static_cast<std::size_t>(x.dim()), 1);
    shape[0] = x.size(0);
    shape[1] = x.size(1);
    const at::Tensor centred = x - image_mean.view(shape);
    // The image's mean is rounded: what the centred values still add up to mends it.
    const at::Tensor rest = sum_positions(centred).to(at::kDouble);
    const at::Tensor about_mean = sum_positions(centred.square()).to(at::kDouble);
    const at::Tensor pivot = image_mean.to(at::kDouble);
    return at::stack({sum_groups(pivot * positions + rest, groups, group_count),
                      sum_groups(about_mean + pivot * (2 * rest + pivot * positions), groups, group_count)});
  }
};

}  // namespace

at::Tensor all_reduce_sum(const at::Tensor& x, Communicator& communicator) {
  return AllReduceSum::apply(x, &communicator);
}

at::Tensor group_indices(std::int64_t images, const GroupLayout& layout, at::Device device) {
  return at::arange(layout.first, layout.first + images, at::TensorOptions(at::kLong).device(device))
      .floor_divide(layout.group);
}

GroupMoments synchronised_moments(const at::Tensor& x, const GroupLayout& layout,
                                  Communicator& communicator) {
  TORCH_CHECK(layout.group > 0 && layout.total % layout.group == 0, "groups of ", layout.group,
              " images do not divide a micro-batch of ", layout.total);
  const double count = static_cast<double>(layout.group * (x.numel() / (x.size(0) * x.size(1))));
  const auto moments = SynchronisedMoments::apply(x, group_indices(x.size(0), layout, x.device()),
                                                  layout.groups(), count, &communicator);
  return {moments[0], moments[1]};
}

}  // namespace ganymede
