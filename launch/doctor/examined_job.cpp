#include "launch/doctor/examined_job.h"

#include <ATen/ATen.h>

#include "core/host_name.h"

namespace ganymede {

ExaminedJob::ExaminedJob(Process& process, DoctorRequest request)
    : process_(process), request_(std::move(request)), hosts_(gather(host_name())) {}

std::vector<std::string> ExaminedJob::gather(const std::string& text) {
  return process_.world().gather_texts(text);
}

std::vector<double> ExaminedJob::gather(double value) {
  at::Tensor all = at::empty({process_.size()}, at::kDouble);
  process_.world().all_gather(all, at::full({1}, value, at::kDouble))->wait();
  return {all.const_data_ptr<double>(), all.const_data_ptr<double>() + all.numel()};
}

std::optional<Verdict> ExaminedJob::failures_of(const std::function<void()>& work) {
  std::string note;
  auto code = ExitCode::done;
  try {
    work();
  } catch (const std::exception& caught) {
    const Error error = as_error(caught);
    note = error.what();
    code = error.code();
  }
  if (process_.world().agree(static_cast<int>(code)) == 0) return std::nullopt;
  const std::vector<double> codes = gather(static_cast<double>(code));
  const double first = *std::ranges::find_if(codes, [](double one) { return one != 0; });
  return failure(static_cast<ExitCode>(static_cast<int>(first)), notes_text(gather(note), hosts_));
}

std::vector<int> ExaminedJob::unlike_first(const std::string& text) {
  const std::vector<std::string> texts = gather(text);
  std::vector<int> unlike;
  for (int rank = 1; rank < process_.size(); ++rank)
    if (texts[static_cast<std::size_t>(rank)] != texts.front()) unlike.push_back(rank);
  return unlike;
}

}  // namespace ganymede
