#include <ATen/ATen.h>

#include "core/error.h"
#include "launch/pictures/cells.h"
#include "launch/pictures/kinds.h"
#include "models/code_traversal.h"

namespace ganymede {
namespace {

/// A cell of the sheet: an image with a value of a code.
struct CodeCell {
  std::int64_t code, image;
  double value;
  std::int64_t place;  ///< on the sheet
};

/// The sampler and the codes to show. Throws AgreedError(options) where it has none of them. Collective.
CodeTraversal& traversal_of(const PictureJob& job, std::vector<std::int64_t>& shown) {
  auto* traversal = dynamic_cast<CodeTraversal*>(&job.sampler);
  job.process.together([&] {
    const std::int64_t count = traversal ? std::ssize(traversal->codes()) : 0;
    if (count == 0)
      fail(ExitCode::options,
           "--picture codes: this run's latents have no codes: it takes one of gan.auxiliary = infogan");
    if (job.options.code >= count)
      fail(ExitCode::options, "--code {}: this run has codes 0-{}", job.options.code, count - 1);
    shown = job.options.code < 0 ? every_class(count) : std::vector{job.options.code};
  });
  return *traversal;
}

/// The values of a code with so many categories, or of a number.
std::vector<double> code_values(std::int64_t categories, std::int64_t steps) {
  std::vector<double> values;
  const std::int64_t count = categories > 0 ? categories : steps;
  for (std::int64_t i = 0; i < count; ++i)
    values.push_back(categories > 0 ? static_cast<double>(i)
                                    : 2 * static_cast<double>(i) / static_cast<double>(steps - 1) - 1);
  return values;
}

/// All cells, so that those of one code are together, and there those of consecutive images.
std::vector<CodeCell> code_cells(const PictureJob& job, const std::vector<std::int64_t>& shown,
                                 const std::vector<std::vector<double>>& values, std::int64_t columns) {
  const std::vector<std::int64_t> images = job.options.indices();
  std::vector<CodeCell> cells;
  for (std::size_t k = 0; k < shown.size(); ++k)
    for (std::size_t column = 0; column < values[k].size(); ++column)
      for (std::size_t row = 0; row < images.size(); ++row) {
        const std::size_t line = k * (images.size() + 1) + row;  // a blank one between codes
        cells.push_back({shown[k], images[row], values[k][column],
                         static_cast<std::int64_t>(line) * columns + static_cast<std::int64_t>(column)});
      }
  return cells;
}

/// The images of some cells, drawn in runs of consecutive images of one code.
at::Tensor draw_code_cells(CodeTraversal& traversal, const Drawing& drawing,
                           std::span<const CodeCell> cells) {
  std::vector<at::Tensor> parts;
  for (std::size_t begin = 0, end = 0; begin < cells.size(); begin = end) {
    std::vector<double> values;
    for (end = begin; end < cells.size() && cells[end].code == cells[begin].code &&
                      cells[end].image == cells[begin].image + static_cast<std::int64_t>(end - begin);
         ++end)
      values.push_back(cells[end].value);
    const std::int64_t first = cells[begin].image;
    parts.push_back(traversal.images_with_code(first, labels_of(drawing, first, std::ssize(values)),
                                               cells[begin].code, at::tensor(values, at::kDouble)));
  }
  return at::cat(parts);
}

}  // namespace

void write_codes(const PictureJob& job) {
  std::vector<std::int64_t> shown;
  CodeTraversal& traversal = traversal_of(job, shown);
  const std::vector<std::int64_t> categories = traversal.codes();
  std::vector<std::vector<double>> values;
  std::int64_t columns = 0;
  for (const std::int64_t code : shown) {
    values.push_back(code_values(categories[static_cast<std::size_t>(code)], job.options.frames));
    columns = std::max(columns, static_cast<std::int64_t>(values.back().size()));
  }
  const std::int64_t rows = std::ssize(shown) * (job.options.count + 1) - 1;
  check_sheet(job, rows, columns);
  const std::vector<CodeCell> cells = code_cells(job, shown, values, columns);
  const at::Tensor drawn = drawn_cells(job, std::ssize(cells), [&](std::int64_t first, std::int64_t count) {
    return draw_code_cells(
        traversal, job.drawing,
        std::span(cells).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)));
  });
  at::Tensor sheet;
  if (job.process.is_root()) {
    std::vector<std::int64_t> places;
    for (const CodeCell& cell : cells) places.push_back(cell.place);
    sheet = blank_cells(job, rows * columns).index_copy_(0, at::tensor(places, at::kLong), drawn);
  }
  write_sheet(job, sheet, columns);
}

}  // namespace ganymede
