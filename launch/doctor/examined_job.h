#pragma once

#include <filesystem>
#include <functional>
#include <optional>

#include "launch/doctor/verdict.h"
#include "launch/process.h"

namespace ganymede {

/// What a user asks of `ganymede doctor`.
struct DoctorRequest {
  std::vector<std::filesystem::path> data;  ///< none: no look at a dataset
  std::filesystem::path out;                ///< "": no look at a run folder
  std::string device = "auto";
  double slow = 1.5;  ///< times the median's, from which on a rank counts as slow
  double watchdog_seconds = 120;
};

/// The job that the doctor's checks look at. Its functions are collective.
class ExaminedJob {
 public:
  ExaminedJob(Process& process, DoctorRequest request);

  Process& process() { return process_; }
  const DoctorRequest& request() const { return request_; }
  /// Of all ranks, in their order.
  const std::vector<std::string>& hosts() const { return hosts_; }
  std::string place(int rank) const { return places_text({&rank, 1}, hosts_); }

  /// Every rank's text, in rank order.
  std::vector<std::string> gather(const std::string& text);
  /// Every rank's number, in rank order.
  std::vector<double> gather(double value);
  /// Runs `work` on every rank. Nothing where all of them got through it; else what the others said, with the code of
  /// the first.
  std::optional<Verdict> failures_of(const std::function<void()>& work);
  /// The ranks whose text is another than rank 0's.
  std::vector<int> unlike_first(const std::string& text);

 private:
  Process& process_;
  DoctorRequest request_;
  std::vector<std::string> hosts_;
};

}  // namespace ganymede
