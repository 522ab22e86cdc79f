#pragma once

#include <cstdint>
#include <map>
#include <span>

#include "datasets/image_dataset.h"
#include "datasets/sample_order.h"

namespace ganymede {

/// Has the kernel read what training will soon ask for, so that the page cache serves as the shuffle buffer.
/// A small data set is asked for as a whole. In a large one each lane is read up to the end of the window
/// after the one in use, in lane order, that is nearly sequentially; several times as fast as it is consumed
/// until that lead is reached, but not at once, lest the first batch wait for gigabytes.
class Readahead {
 public:
  Readahead(const ImageDataset& dataset, const SampleOrder& order);
  /// To be called with the places that are read next, as SampleOrder::places() sorts them.
  void follow(std::span<const SampleOrder::Place> places);

 private:
  void follow_lane(const SampleOrder::Place& place, std::int64_t count);

  const ImageDataset& dataset_;
  const SampleOrder& order_;
  bool whole_, whole_advised_ = false;
  std::map<std::int64_t, std::int64_t> advised_;  ///< by lane: how far, counted in samples over all epochs
};

}  // namespace ganymede
