#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/share.h"

namespace ganymede {

/// The order in which training sees the N samples of a dataset, epoch after epoch: a function of (N, seed,
/// options) alone, computed where it is asked. Position p counts samples from the start of training; epoch e
/// is the positions [e N, (e + 1) N). In each epoch, by (seed, e):
///
///     1. blocks of `block` consecutive samples are permuted, which gives a stream of N samples;
///     2. the stream is cut into `lanes` L of lengths differing by at most one;
///     3. each lane is cut into windows of `window` to 2 `window` samples, permuted within;
///     4. position p of the epoch is sample p / L of lane p mod L.
///
/// Guarantees:
///   - each epoch holds every sample exactly once;
///   - nothing depends on ranks: ranks take consecutive shares of batch();
///   - any position can be continued from, with any batch size, and nothing is repeated or left out;
///   - batches run on across the end of an epoch, so that all are full;
///   - a batch draws on all lanes, that is on places all over the data set, so it mixes classes even in data
///     sorted by class; a rank's share touches about L / ranks lanes, and within one the reads of a window
///     stay within a few blocks, which can be advised to the kernel ahead.
///
/// The cost is O(count) for a batch, and there is no table.
class SampleOrder {
 public:
  struct Options {
    std::int64_t block = 1;
    std::int64_t lanes = 64;
    std::int64_t window = 2048;
  };

  /// Blocks of 1 MiB, those that digests cover, where that leaves each lane 16 of them, and smaller ones
  /// otherwise: single images in sets of up to two thousand, which are thus permuted freely. Windows of 2 GiB
  /// over all lanes, at least two blocks in each. Larger blocks mix worse and, where the kernel is advised
  /// ahead, gain little: of ImageNet at 128 pixels sorted by class, a batch of 256 holds 217 classes and a
  /// hundred such batches hold 987; with blocks of 16 MiB 140 and 329, in a free permutation 226 and 1000.
  ///
  /// Where `together` images must be decoded to get at one, blocks are made of such groups, and windows over
  /// all lanes of 256 MiB, at least of one group in each, so that a cache can hold what a window returns to.
  /// A set of at most 256 MiB is ordered as any other, for it fits a cache as a whole.
  static Options options_for(std::int64_t count, std::int64_t image_bytes, std::int64_t together = 1);

  /// Orders of one seed are told apart by `phase`, a literal.
  SampleOrder(std::int64_t count, std::uint64_t seed, const Options& options,
              std::string_view phase = "order");

  /// Where a position lies: sample `index` of `lane` in `epoch`.
  struct Place {
    std::int64_t epoch, lane, index;
  };
  /// The places of positions [position, position + count), sorted by epoch, then lane, then index.
  std::vector<Place> places(std::int64_t position, std::int64_t count) const;
  /// The sample at a place.
  std::int64_t sample_at(const Place& place) const;
  /// The samples at places, faster than one by one.
  std::vector<std::int64_t> samples_at(std::span<const Place> places) const;
  /// The samples of positions [position, position + count), in the order of places().
  std::vector<std::int64_t> batch(std::int64_t position, std::int64_t count) const;

  std::int64_t lane_length(std::int64_t lane) const;
  /// The window that holds `index` of a lane: its first index and its length.
  Share window_of(std::int64_t lane, std::int64_t index) const;
  /// The consecutive samples that lie in lane order, before windows are permuted, at and after `place`: from
  /// there on to the end of a block or lane. Reading ahead follows these.
  Share run_at(const Place& place) const;

 private:
  class Epoch;
  std::int64_t lane_first(std::int64_t lane) const;

  std::int64_t count_;
  std::uint64_t seed_;
  Options options_;
  std::string_view phase_;
};

}  // namespace ganymede
