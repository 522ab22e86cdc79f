#pragma once

#include "datasets/image_source.h"

namespace ganymede {

/// A source whose images are JPEG and PNG files.
class EncodedSource : public ImageSource {
 public:
  Picture decode(std::int64_t index, std::span<const std::byte> stored, int channels) const override;
};

}  // namespace ganymede
