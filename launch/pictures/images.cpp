#include "launch/image_sink.h"
#include "launch/pictures/kinds.h"

namespace ganymede {

void write_images(const PictureJob& job) {
  std::unique_ptr<ImageSink> sink;
  job.process.together([&] {
    if (job.process.is_root()) sink = make_image_sink(job.out, job.drawing, job.spec, job.source);
  });
  draw(job.process, job.sampler, job.drawing,
       [&](std::int64_t first, const at::Tensor& images, const at::Tensor& labels) {
         sink->take(first, images, labels);
         job.advance(first + images.size(0), job.drawing.count);
       });
  job.process.together([&] {
    if (sink) sink->finish();
  });
}

}  // namespace ganymede
