#include "models/exchange/former_names.h"

#include <string_view>

namespace ganymede {

NamedTensors with_present_names(const NamedTensors& theirs) {
  constexpr std::pair<std::string_view, std::string_view> former[] = {
      {".query.", ".to_q."}, {".key.", ".to_k."}, {".value.", ".to_v."}, {".proj_attn.", ".to_out.0."}};
  NamedTensors present;
  for (const auto& [name, tensor] : theirs) {
    std::string now = name;
    for (const auto& [before, after] : former)
      if (const std::size_t place = now.find(before);
          place != now.npos && now.find(".attentions.") != now.npos)
        now.replace(place, before.size(), after);
    present.emplace_back(now, tensor);
  }
  return present;
}

}  // namespace ganymede
