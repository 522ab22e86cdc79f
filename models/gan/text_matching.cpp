#include "models/gan/text_matching.h"

#include "core/error.h"

namespace ganymede {

void TextMatchingOptions::describe(OptionSchema& schema) {
  schema.add("text.matching_aware", matching_aware,
             "where networks follow a text: D also learns that a real image with another's text is none");
  schema.add("text.interpolation", interpolation, "", {0, 1},
             "beta of G's further loss between an image's text and another's, 0 for none; 0.5 in its paper");
}

void TextMatchingOptions::check(const ImageSpec& images, std::int64_t micro_batch) const {
  if (images.embedding == 0) {
    if (interpolation > 0)
      fail(ExitCode::options,
           "text.interpolation is between texts, and the networks follow none: leave it out, or set "
           "dcgan.conditioning = text");
    return;
  }
  if ((matching_aware || interpolation > 0) && micro_batch < 2)
    fail(ExitCode::options,
         "text.matching_aware and text.interpolation take the text of another image of the micro-batch, "
         "which has "
         "only one: raise train.batch or lower train.accumulate");
}

}  // namespace ganymede
