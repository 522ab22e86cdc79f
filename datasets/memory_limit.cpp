#include "datasets/memory_limit.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>

namespace ganymede {
namespace {

/// The number in a file that holds one, or `none` where it holds a word or does not exist.
std::int64_t number_in(const std::string& path, std::int64_t none) {
  std::int64_t number = 0;
  std::ifstream file(path);
  return file >> number ? number : none;
}

/// The group's own limit and those of the groups above it, of either version.
std::int64_t control_group_limit(std::int64_t none) {
  std::int64_t limit = none;
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const std::size_t path = line.find('/');
    if (path == std::string::npos) continue;
    const bool second = line.starts_with("0::");
    if (!second && line.find(":memory:") == std::string::npos) continue;
    const std::string root = second ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
    const char* name = second ? "/memory.max" : "/memory.limit_in_bytes";
    for (std::string group = line.substr(path);; group.resize(group.rfind('/'))) {
      if (group == "/") group.clear();
      limit = std::min(limit, number_in(root + group + name, none));
      if (group.empty()) break;
    }
  }
  return limit;
}

}  // namespace

std::int64_t memory_limit() {
  std::int64_t limit = ::sysconf(_SC_PHYS_PAGES) * ::sysconf(_SC_PAGESIZE);
  for (const auto resource : {RLIMIT_DATA, RLIMIT_AS})
    if (rlimit bytes{}; ::getrlimit(resource, &bytes) == 0 && bytes.rlim_cur < static_cast<rlim_t>(limit))
      limit = static_cast<std::int64_t>(bytes.rlim_cur);
  return std::min(limit, control_group_limit(limit));
}

}  // namespace ganymede
