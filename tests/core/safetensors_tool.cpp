// Lets Python see what this program writes and reads:
//   safetensors_tool write FILE      a fixed set of tensors
//   safetensors_tool copy FROM TO    reads FROM and writes all that was in it
#include <fmt/format.h>

#include <string_view>

#include "core/error.h"
#include "core/safetensors.h"

namespace ganymede {
namespace {

// test_safetensors.py has the same list.
void write(const char* path) {
  const at::Tensor numbers = at::arange(24).reshape({1, 2, 3, 4});
  NamedTensors tensors;
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong, at::kInt,
                                     at::kShort, at::kChar, at::kByte})
    tensors.emplace_back(fmt::format("numbers.{}", tensors.size()), numbers.to(dtype));
  tensors.emplace_back("booleans", numbers.remainder(2).to(at::kBool));
  tensors.emplace_back("channels last", numbers.to(at::kFloat).contiguous(at::MemoryFormat::ChannelsLast));
  tensors.emplace_back("transposed", numbers.transpose(1, 3));
  tensors.emplace_back("scalar", at::scalar_tensor(0.5));
  tensors.emplace_back("empty", at::empty({0, 7}, at::kHalf));
  tensors.emplace_back("näme \"quoted\"", at::ones({3}));
  write_safetensors(path, tensors, {{"step", "17"}});
}

void copy(const char* from, const char* to) {
  const SafetensorsFile file = SafetensorsFile::open(from);
  NamedTensors tensors;
  for (const auto& [name, entry] : file.tensors()) tensors.emplace_back(name, file.read(name));
  write_safetensors(to, tensors, file.metadata());
}

}  // namespace
}  // namespace ganymede

int main(int argc, char** argv) {
  try {
    const std::string_view command = argc > 1 ? argv[1] : "";
    if (command == "write" && argc == 3)
      ganymede::write(argv[2]);
    else if (command == "copy" && argc == 4)
      ganymede::copy(argv[2], argv[3]);
    else
      return 2;
    return 0;
  } catch (const ganymede::Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return static_cast<int>(error.code());
  }
}
