#include "evaluation/rounds.h"

#include <ATen/ATen.h>

namespace ganymede {

at::Tensor figures_in_rounds(const ShardedRows& x, const ShardedRows& y, std::int64_t count,
                             const std::function<std::pair<at::Tensor, at::Tensor>(std::int64_t i)>& rows,
                             const std::function<double(const at::Tensor& x, const at::Tensor& y)>& figure) {
  Communicator& ranks = x.ranks();
  at::Tensor figures = at::zeros({count}, at::kDouble);
  for (std::int64_t first = 0; first < count; first += ranks.size()) {
    at::Tensor own_x, own_y;
    for (std::int64_t i = first; i < std::min(first + ranks.size(), count); ++i) {
      const auto [from_x, from_y] = rows(i);
      const at::Tensor all_x = x.fetch(from_x), all_y = y.fetch(from_y);
      if (i - first == ranks.rank()) std::tie(own_x, own_y) = std::tie(all_x, all_y);
    }
    if (own_x.defined()) figures[first + ranks.rank()] = figure(own_x, own_y);
  }
  ranks.all_reduce(figures)->wait();
  return figures;
}

}  // namespace ganymede
