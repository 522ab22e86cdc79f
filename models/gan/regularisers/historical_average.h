#pragma once

#include "models/player.h"

namespace ganymede {

/// Historical averaging (Salimans et al., arXiv 1606.03498, section 3.3): a player's cost has the term
///
///     weight |theta - 1/t sum over i = 1 .. t of theta[i]|^2
///
/// with theta[i] its weights after update i; their mean is a constant to the gradient. In the first update
/// there is no history and no pull. Updates that are skipped do not count.
class HistoricalAverage {
 public:
  /// The player must outlive it. With weight 0 it holds and does nothing.
  HistoricalAverage(Player& player, double weight);
  /// Before Player::update(), after the reducer's finalize(): it is the same on every rank.
  void add_gradient();
  /// After Player::update().
  void advance();
  void reset();
  /// "<player>/history/<tensor>": views, part of checkpoints.
  NamedTensors state() const;

 private:
  Player& player_;
  double weight_;
  NamedTensors means_;
};

}  // namespace ganymede
