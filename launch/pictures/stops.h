#pragma once

#include "launch/pictures/picture.h"

namespace ganymede {

/// Images that paths lead between.
class Stops {
 public:
  /// Throws AgreedError(options) where the run's images have no such paths. Collective.
  explicit Stops(const PictureJob& job);

  /// Images on the ways from stops `from` [n] to stops `to` [n] at t [n] in [0, 1], all of `labels` [n].
  at::Tensor between(const at::Tensor& from, const at::Tensor& to, const at::Tensor& t,
                     const at::Tensor& labels) const;
  /// [n] of the images themselves.
  const at::Tensor& labels() const { return labels_; }

 private:
  LatentImages& latents_;
  std::string path_;
  at::Tensor z_, labels_;
};

}  // namespace ganymede
