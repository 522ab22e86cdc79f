#include "launch/pictures/cells.h"

#include <ATen/ATen.h>

#include "core/error.h"
#include "core/files.h"
#include "core/image_grid.h"

namespace ganymede {
namespace {

constexpr std::int64_t most_cells = 10000;

}  // namespace

at::Tensor latents_of_images(const LatentImages& latents, const std::vector<std::int64_t>& indices) {
  std::vector<at::Tensor> rows;
  for (const std::int64_t index : indices) rows.push_back(latents.latents(index, 1));
  return at::cat(rows);
}

at::Tensor labels_of_images(const Drawing& drawing, const std::vector<std::int64_t>& indices) {
  std::vector<at::Tensor> rows;
  for (const std::int64_t index : indices) rows.push_back(labels_of(drawing, index, 1));
  return at::cat(rows);
}

void check_sheet(const PictureJob& job, std::int64_t rows, std::int64_t columns) {
  job.process.together([&] {
    if (job.out.extension() != ".png")
      fail(ExitCode::options, "--out {}: this picture is one sheet: give a .png file", job.out.string());
    if (rows * columns > most_cells)
      fail(ExitCode::options, "a sheet of {} x {} images: {} are the most, ask for fewer", rows, columns,
           most_cells);
    check_grid(rows * columns, columns, job.spec.height, job.spec.width);
    if (job.process.is_root()) check_writable(job.out);
  });
}

void draw_cells(const PictureJob& job, std::int64_t count, const DrawCells& draw, const TakeCells& take) {
  Process& process = job.process;
  const ImageSpec& spec = job.spec;
  const std::int64_t run = std::min(job.drawing.batch, count);
  at::Tensor all = at::empty({process.size() * run, spec.channels, spec.height, spec.width}, at::kByte);
  for (std::int64_t begin = 0; begin < count; begin += process.size() * run) {
    const std::int64_t own = begin + process.rank() * run;
    at::Tensor cells = at::zeros({run, spec.channels, spec.height, spec.width}, at::kByte);
    process.note("sampling");
    if (const std::int64_t wanted = std::min(run, count - own); wanted > 0)
      cells.narrow(0, 0, wanted).copy_(to_bytes(draw(own, wanted)));
    process.world().all_gather(all, cells)->wait();
    const std::int64_t there = std::min(process.size() * run, count - begin);
    if (!process.is_root()) continue;
    take(begin, all.narrow(0, 0, there));
    if (job.advance) job.advance(begin + there, count);
  }
}

at::Tensor drawn_cells(const PictureJob& job, std::int64_t count, const DrawCells& draw) {
  std::vector<at::Tensor> parts;
  draw_cells(job, count, draw,
             [&](std::int64_t, const at::Tensor& bytes) { parts.push_back(bytes.clone()); });
  return job.process.is_root() ? at::cat(parts) : at::Tensor();
}

at::Tensor blank_cells(const PictureJob& job, std::int64_t count) {
  return at::full({count, job.spec.channels, job.spec.height, job.spec.width}, 255, at::kByte);
}

void write_sheet(const PictureJob& job, const at::Tensor& cells, std::int64_t columns) {
  job.process.together([&] {
    if (job.process.is_root()) write_grid(job.out, cells, columns);
  });
}

}  // namespace ganymede
