#pragma once

#include "distributed/communicator.h"

namespace ganymede::test {

/// Hands every collective on to another communicator and keeps a record of the all-reduces, and apart from them of
/// reduce-scatters and all-gathers: each by the whole.
class RecordingCommunicator final : public Communicator {
 public:
  struct Call {
    const void* data;
    std::int64_t bytes;
  };
  /// `inner` must outlive it.
  explicit RecordingCommunicator(Communicator& inner) : inner_(inner) {}

  std::vector<Call> calls, scatters, gathers;

  static std::int64_t bytes(const std::vector<Call>& calls) {
    std::int64_t sum = 0;
    for (const Call& call : calls) sum += call.bytes;
    return sum;
  }
  std::int64_t bytes() const { return bytes(calls); }

  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  int local_rank() const override { return inner_.local_rank(); }
  int local_size() const override { return inner_.local_size(); }
  const std::string& name() const override { return inner_.name(); }
  std::unique_ptr<Work> all_reduce(at::Tensor tensor, Reduction reduction) override {
    calls.push_back(call(tensor));
    return inner_.all_reduce(tensor, reduction);
  }
  std::unique_ptr<Work> reduce_scatter(at::Tensor output, at::Tensor input) override {
    scatters.push_back(call(input));
    return inner_.reduce_scatter(output, input);
  }
  std::unique_ptr<Work> all_gather(at::Tensor output, at::Tensor input) override {
    gathers.push_back(call(output));
    return inner_.all_gather(output, input);
  }
  std::unique_ptr<Work> broadcast(at::Tensor tensor, int root) override {
    return inner_.broadcast(tensor, root);
  }
  void barrier() override { inner_.barrier(); }
  std::unique_ptr<Communicator> duplicate(const std::string& name) override { return inner_.duplicate(name); }

 private:
  static Call call(const at::Tensor& tensor) {
    return {tensor.data_ptr(), static_cast<std::int64_t>(tensor.nbytes())};
  }
  Communicator& inner_;
};

}  // namespace ganymede::test
