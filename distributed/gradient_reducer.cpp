#include "distributed/gradient_reducer.h"

#include <torch/csrc/autograd/functions/accumulate_grad.h>
#include <torch/csrc/autograd/variable.h>

#include <stdexcept>

#include "core/arena.h"
#include "core/trace_range.h"

namespace ganymede {
namespace {

class Ready final : public torch::autograd::FunctionPostHook {
 public:
  explicit Ready(std::function<void()> act) : act_(std::move(act)) {}
  torch::autograd::variable_list operator()(const torch::autograd::variable_list& outputs,
                                            const torch::autograd::variable_list&) override {
    act_();
    return outputs;
  }

 private:
  std::function<void()> act_;
};

}  // namespace

GradientReducer::GradientReducer(std::vector<at::Tensor> parameters, std::vector<std::int64_t> offsets,
                                 at::Tensor arena, Communicator& communicator, std::int64_t bucket_bytes,
                                 bool scatters)
    : parameters_(std::move(parameters)),
      offsets_(std::move(offsets)),
      arena_(std::move(arena)),
      communicator_(communicator),
      scatters_(scatters),
      bucket_of_(parameters_.size()),
      waiting_(arena_.device()) {
  const auto element = static_cast<std::int64_t>(arena_.element_size());
  // What buckets begin at multiples of: there each rank's share is aligned. A parameter that begins below its bucket is
  // ready when the next one, which sends the rest of it, is launched.
  const std::int64_t unit = scatters_ ? communicator_.size() * (ArenaLayout::alignment_bytes / element) : 1;
  TORCH_CHECK(arena_.numel() % unit == 0, "an arena of ", arena_.numel(), " elements in parts of ", unit);
  std::int64_t end = arena_.numel();
  for (std::size_t i = parameters_.size(); i-- > 0;) {
    const bool is_full =
        !buckets_.empty() && buckets_.back().count > 0 && buckets_.back().count * element >= bucket_bytes;
    if (buckets_.empty() || is_full) buckets_.push_back({end, 0, 0});
    Bucket& bucket = buckets_.back();
    const std::int64_t begin = (offsets_[i] + unit - 1) / unit * unit;
    bucket.count += bucket.offset - begin;
    bucket.offset = end = begin;
    ++bucket.parameters;
    bucket_of_[i] = buckets_.size() - 1;
  }
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    accumulators_.push_back(torch::autograd::impl::grad_accumulator(parameters_[i]));
    hooks_.push_back(accumulators_.back()->add_post_hook(std::make_unique<Ready>([this, i] { ready(i); })));
  }
}

GradientReducer::~GradientReducer() {
  for (std::size_t i = 0; i < accumulators_.size(); ++i) accumulators_[i]->del_post_hook(hooks_[i]);
}

void GradientReducer::arm() {
  armed_ = true;
  works_.clear();
  arrived_.assign(parameters_.size(), false);
  missing_.clear();
  for (const Bucket& bucket : buckets_) missing_.push_back(bucket.parameters);
}

void GradientReducer::ready(std::size_t parameter) {
  if (!armed_) return;
  // Its bucket may be under way already, or would start without a gradient that is still to come.
  if (arrived_[parameter])
    throw std::logic_error(fmt::format("gradient {} arrived twice: arm before the last backward", parameter));
  arrived_[parameter] = true;
  --missing_[bucket_of_[parameter]];
  launch_ready_buckets();
  // MPI moves its messages on inside calls only.
  for (auto& work : works_) work->test();
}

void GradientReducer::launch_ready_buckets() {
  for (std::size_t b = works_.size(); b < buckets_.size() && missing_[b] <= 0; ++b)
    works_.push_back(launch(buckets_[b]));
}

std::unique_ptr<Work> GradientReducer::launch(const Bucket& bucket) {
  const at::Tensor whole = arena_.narrow(0, bucket.offset, bucket.count);
  if (!scatters_) return communicator_.all_reduce(whole);
  const Share own = bucket.share(communicator_.rank(), communicator_.size());
  return communicator_.reduce_scatter(arena_.narrow(0, own.first, own.count), whole);
}

void GradientReducer::finalize() {
  if (!armed_) throw std::logic_error("GradientReducer::finalize without arm");
  armed_ = false;
  const char* base = static_cast<const char*>(arena_.data_ptr());
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const at::Tensor& gradient = parameters_[i].grad();
    if (!gradient.defined() ||
        gradient.data_ptr() != base + offsets_[i] * static_cast<std::int64_t>(arena_.element_size()))
      throw std::logic_error(fmt::format("gradient {} left the arena", i));
  }
  const TraceRange range("wait for gradients");
  waiting_.start();
  std::fill(missing_.begin(), missing_.end(), 0);
  launch_ready_buckets();
  for (auto& work : works_) work->wait();
  waiting_.stop();
}

GradientReducer::Traffic GradientReducer::traffic() const {
  Traffic traffic;
  if (armed_ || works_.empty()) return traffic;
  traffic.collectives = static_cast<std::int64_t>(works_.size());
  traffic.exposed = waiting_.seconds();
  for (const Bucket& bucket : buckets_)
    traffic.bytes += bucket.count * static_cast<std::int64_t>(arena_.element_size());
  for (const auto& work : works_) traffic.seconds += work->seconds();
  return traffic;
}

}  // namespace ganymede
