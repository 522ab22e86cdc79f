#include "tests/fuzz/scratch.h"

#include <fcntl.h>

#include <cstdlib>
#include <stdexcept>

#include "core/descriptor.h"

namespace ganymede {

ScratchFolder::ScratchFolder() {
  const bool in_memory = ::access("/dev/shm", W_OK) == 0;
  const std::filesystem::path parent = in_memory ? "/dev/shm" : std::filesystem::temp_directory_path();
  std::string name = (parent / "ganymede-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make " + name);
  path_ = name;
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void put_file(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  const Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT, 0600));
  const auto size = static_cast<off_t>(bytes.size());
  if (::ftruncate(file.number(), size) != 0 || ::pwrite(file.number(), bytes.data(), bytes.size(), 0) != size)
    throw std::runtime_error("cannot write " + path.string());
}

}  // namespace ganymede
