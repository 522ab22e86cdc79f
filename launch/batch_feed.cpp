#include "launch/batch_feed.h"

#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "core/device.h"
#include "core/kernels/cuda/pixels.h"
#include "core/trace_range.h"

namespace ganymede {
namespace {

std::vector<at::Tensor*> companions_of(Batch& batch) {
  std::vector<at::Tensor*> all{&batch.sources, &batch.embeddings, &batch.other_embeddings, &batch.tokens};
  std::erase_if(all, [](const at::Tensor* each) { return !each->defined(); });
  return all;
}

}  // namespace

BatchFeed::BatchFeed(Loader& loader, at::Device device, at::ScalarType dtype)
    : loader_(loader), device_(device), dtype_(dtype) {
  if (!device.is_cpu()) stream_ = c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device);
}

Batch BatchFeed::next() {
  if (!stream_) return loader_.next();
  if (staged_.empty()) stage();
  Staged staged = std::move(staged_.front());
  staged_.pop_front();
  const c10::Stream current = c10::impl::VirtualGuardImpl(device_.type()).getStream(device_);
  staged.copied.block(current);
  // The memory belongs to the copies' stream: it may be used again only after the current stream's work.
  staged.batch.images.record_stream(current);
  staged.batch.labels.record_stream(current);
  for (const at::Tensor* each : companions_of(staged.batch)) each->record_stream(current);
  return std::move(staged.batch);
}

void BatchFeed::prefetch(std::int64_t count) {
  if (!stream_) return;
  while (static_cast<std::int64_t>(staged_.size()) < count) stage();
}

void BatchFeed::stage() {
  const TraceRange range("copy batch");
  Batch batch = loader_.next();
  const c10::StreamGuard guard(*stream_);
  batch.images = to_device(batch.images, device_);
  batch.labels = to_device(batch.labels, device_);
  for (at::Tensor* each : companions_of(batch)) *each = to_device(*each, device_);
  if (batch.flips.defined()) {
    batch.images = cuda::images_of_bytes(batch.images, to_device(batch.flips, device_), dtype_);
    batch.flips.reset();
  }
  staged_.push_back({std::move(batch), c10::Event(device_.type())});
  staged_.back().copied.record(*stream_);
}

}  // namespace ganymede
