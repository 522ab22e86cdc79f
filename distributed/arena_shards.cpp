#include "distributed/arena_shards.h"

#include <ATen/ATen.h>

#include "core/trace_range.h"

namespace ganymede {

ArenaShards::ArenaShards(std::vector<GradientReducer::Bucket> buckets, Communicator& communicator,
                         at::Device device)
    : buckets_(std::move(buckets)), communicator_(communicator), waiting_(device) {}

std::int64_t ArenaShards::size() const {
  std::int64_t size = 0;
  for (const auto& bucket : buckets_) size += bucket.count / communicator_.size();
  return size;
}

at::Tensor ArenaShards::whole_bucket(const at::Tensor& arena, std::size_t bucket) const {
  return arena.narrow(0, buckets_[bucket].offset, buckets_[bucket].count);
}

std::vector<at::Tensor> ArenaShards::own(const at::Tensor& arena) const {
  std::vector<at::Tensor> shares;
  for (const auto& bucket : buckets_) {
    const Share share = bucket.share(communicator_.rank(), communicator_.size());
    shares.push_back(arena.narrow(0, share.first, share.count));
  }
  return shares;
}

std::vector<at::Tensor> ArenaShards::parts(const at::Tensor& shard) const {
  std::vector<at::Tensor> parts;
  std::int64_t begin = 0;
  for (const auto& bucket : buckets_) {
    const std::int64_t count = bucket.count / communicator_.size();
    parts.push_back(shard.narrow(0, begin, count));
    begin += count;
  }
  return parts;
}

void ArenaShards::begin_gather(const at::Tensor& arena, std::size_t bucket) {
  if (!std::exchange(under_way_, true)) {
    works_.clear();
    bytes_ = 0;
  }
  const at::Tensor whole = whole_bucket(arena, bucket);
  const std::int64_t count = whole.numel() / communicator_.size();
  works_.push_back(communicator_.all_gather(whole, whole.narrow(0, communicator_.rank() * count, count)));
  bytes_ += static_cast<std::int64_t>(whole.nbytes());
  // MPI moves its messages on inside calls only.
  for (auto& work : works_) work->test();
}

void ArenaShards::finish_gather() {
  const TraceRange range("wait for weights");
  under_way_ = false;
  waiting_.start();
  for (auto& work : works_) work->wait();
  waiting_.stop();
}

GradientReducer::Traffic ArenaShards::traffic() const {
  GradientReducer::Traffic traffic;
  if (under_way_ || works_.empty()) return traffic;
  traffic.collectives = static_cast<std::int64_t>(works_.size());
  traffic.bytes = bytes_;
  traffic.exposed = waiting_.seconds();
  for (const auto& work : works_) traffic.seconds += work->seconds();
  return traffic;
}

at::Tensor ArenaShards::gathered(const at::Tensor& shard) const {
  const at::Tensor arena = at::empty({size() * communicator_.size()}, shard.options());
  const std::vector<at::Tensor> pieces = parts(shard);
  for (std::size_t b = 0; b < buckets_.size(); ++b)
    communicator_.all_gather(whole_bucket(arena, b), pieces[b])->wait();
  return arena;
}

at::Tensor ArenaShards::alone(const at::Tensor& shard) const {
  const at::Tensor arena = at::zeros({size() * communicator_.size()}, shard.options());
  const std::vector<at::Tensor> shares = own(arena), pieces = parts(shard);
  for (std::size_t b = 0; b < buckets_.size(); ++b) shares[b].copy_(pieces[b]);
  return arena;
}

void ArenaShards::take(const at::Tensor& arena, const at::Tensor& shard) const {
  const std::vector<at::Tensor> shares = own(arena), pieces = parts(shard);
  for (std::size_t b = 0; b < buckets_.size(); ++b) pieces[b].copy_(shares[b]);
}

}  // namespace ganymede
