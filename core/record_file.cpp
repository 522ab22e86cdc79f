#include "core/record_file.h"

#include <unistd.h>

#include "core/error.h"

namespace ganymede {

void RecordFile::append(std::string_view record) {
  waiting_ += record;
  std::int64_t whole = -1;
  try {
    whole = file_.size();
    file_.write(waiting_);
    waiting_.clear();
    trouble_.clear();
  } catch (const Error& error) {
    if (whole >= 0 && ::ftruncate(file_.descriptor(), whole) != 0) throw;
    if (waiting_.size() > most_kept) throw;
    trouble_ = error.what();
  }
}

}  // namespace ganymede
