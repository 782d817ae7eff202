// What all passes share: tiles of outputs, and cells of a plan.
#pragma once

#ifdef _OPENMP
#include <omp.h>
#endif

#include <cstring>
#include <vector>

#include "layout.h"

namespace {

// Vectors of outputs that a pass keeps in registers: k + 2 rows of weights, and one of results.
constexpr int widest(int degree) {
  return std::max(1, std::min(4, (REGISTERS - 4) / (degree + 3)));
}
// Fewer for the weights' gradient, which keeps the background's share beside them.
constexpr int widest_gradient(int degree) { return std::min(2, widest(degree)); }

// One tile: `width` columns of outputs of one network, from `column` on, in whole vectors.
struct Tile {
  int64_t network, column;
  int width;
  int64_t at;  // where its examples' rows are kept, in floats
};

std::vector<Tile> tiles_of(int64_t stack, int64_t outputs, int64_t most, int64_t examples) {
  std::vector<Tile> tiles;
  int64_t at = 0;
  for (int64_t s = 0; s < stack; s++)
    for (int64_t c = 0; c < outputs; c += most) {
      const int width = (int)std::min(most, outputs - c);
      tiles.push_back({s, c, width, at});
      at += padded(width) * examples;
    }
  return tiles;
}

int64_t room_of(const std::vector<Tile>& tiles, int64_t examples) {
  return tiles.back().at + padded(tiles.back().width) * examples;
}

// One cell, unpacked.
template <int K>
struct Cell {
  const float* values;
  const uint32_t* order;
  const uint16_t* begins;
  int64_t room;
  Cell(const Plan& p, int64_t cell, bool slopes = false)
      : values((slopes ? p.slopes : p.values) + p.offsets[cell] * (K + 2)),
        order(p.order + p.offsets[cell]),
        begins(p.spans + cell * (p.grid_size + 2)),
        room(p.offsets[cell + 1] - p.offsets[cell]) {}
};

// Copies a tile of outputs [batch, outputs] into rows of whole vectors.
void gather(const float* from, int64_t outputs, const Tile& tile, int64_t examples, float* to) {
  const int64_t wide = padded(tile.width);
  for (int64_t b = 0; b < examples; b++) {
    std::memcpy(to + b * wide, from + b * outputs, sizeof(float) * tile.width);
    std::memset(to + b * wide + tile.width, 0, sizeof(float) * (wide - tile.width));
  }
}

}  // namespace
