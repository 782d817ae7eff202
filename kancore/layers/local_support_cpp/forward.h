// Outputs of a layer: each example's row of outputs gathers what its inputs give, cell by cell.
#pragma once

#include "tiles.h"

namespace {

// What a background value gives: `row` of outputs.
template <int K, int NV>
INLINE void background_row(const Plan& p, int64_t input, const Rows<NV>& weights, Vector* row) {
  const float* value = p.background_values + input * (K + 2);
  const int first = p.background_spans[input];
  UNROLL for (int n = 0; n < NV; n++) {
    Vector splines = {};
    UNROLL for (int r = 0; r <= K; r++) splines += value[r] * weights.coefficient(first + r, n);
    row[n] = value[K + 1] * weights.base(n) + weights.scale[n] * splines;
  }
}

// rows[example, :] += what one input gives to a tile of outputs.
template <int K, int NV>
void forward_cell(const Plan& p, int64_t number, int64_t input, const Edges& edges,
                  int64_t outputs, int last, float* rows, float* constant) {
  constexpr int R = K + 2;
  const int G = (int)p.grid_size;
  const Cell<K> cell(p, number);
  const Rows<NV> weights(edges, outputs, last);
  Vector z[NV] = {};
  if (p.background) {
    background_row<K, NV>(p, input, weights, z);
    UNROLL for (int n = 0; n < NV; n++) {
      store(constant + n * LANES, load(constant + n * LANES) + z[n]);
    }
  }
  if (cell.begins[G + 1] == 0) return;
  // Rows of a tile are far apart: nobody else foresees that the next input's are read next.
  const float* next = edges.coefficients + (G + K) * outputs;
  UNROLL for (int n = 0; n < NV; n++) {
    __builtin_prefetch(edges.base + outputs + n * LANES);
    if (edges.scale) __builtin_prefetch(edges.scale + outputs + n * LANES);
  }
  Vector w[R][NV];
  UNROLL for (int n = 0; n < NV; n++) {
    w[R - 1][n] = weights.base(n);
    UNROLL for (int r = 1; r <= K; r++) w[r][n] = weights.spline(r - 1, n);
  }
  for (int g = 0; g < G; g++) {
    for (int m = g; m < G + K; m += G)
      UNROLL for (int n = 0; n < NV; n++) __builtin_prefetch(next + m * outputs + n * LANES);
    UNROLL for (int n = 0; n < NV; n++) {
      UNROLL for (int r = 0; r < K; r++) w[r][n] = w[r + 1][n];
      w[K][n] = weights.spline(g + K, n);
    }
    for (int q = cell.begins[g]; q < cell.begins[g + 1]; q++) {
      const float* value = cell.values + (cell.order[q] & 0xffff);
      float* to = rows + (cell.order[q] >> 16) * (NV * LANES);
      Vector y[NV];
      UNROLL for (int n = 0; n < NV; n++) y[n] = load(to + n * LANES) - z[n];
      UNROLL for (int r = 0; r < R; r++) {
        UNROLL for (int n = 0; n < NV; n++) y[n] += value[r * cell.room] * w[r][n];
      }
      UNROLL for (int n = 0; n < NV; n++) store(to + n * LANES, y[n]);
    }
  }
  for (int q = cell.begins[G]; q < cell.begins[G + 1]; q++) {
    const float value = cell.values[(K + 1) * cell.room + (cell.order[q] & 0xffff)];
    float* to = rows + (cell.order[q] >> 16) * (NV * LANES);
    UNROLL for (int n = 0; n < NV; n++) {
      Vector y = load(to + n * LANES) - z[n];
      store(to + n * LANES, y + value * w[R - 1][n]);
    }
  }
}

template <int K>
void forward_all(const Plan& p, const Edges& edges, int64_t stack, int64_t outputs, float* y,
                 int threads) {
  const int64_t blocks = blocks_of(p);
  const int64_t examples = std::min(BLOCK, p.batch);
  const int64_t wide = widest(K) * LANES;
  const std::vector<Tile> tiles = tiles_of(stack, outputs, wide, examples);
  std::vector<float> rows(room_of(tiles, examples));
  std::vector<float> constants(tiles.size() * wide);
#pragma omp parallel num_threads(threads)
  {
#ifdef _OPENMP
    const int64_t team = omp_get_num_threads(), me = omp_get_thread_num();
#else
    const int64_t team = 1, me = 0;
#endif
    const size_t begin = tiles.size() * me / team, end = tiles.size() * (me + 1) / team;
    for (int64_t block = 0; block < blocks && begin < end; block++) {
      const int64_t some = examples_of(p, block);
      std::fill(rows.begin() + tiles[begin].at,
                end < tiles.size() ? rows.begin() + tiles[end].at : rows.end(), 0.f);
      std::fill(constants.begin() + begin * wide, constants.begin() + end * wide, 0.f);
      for (int64_t group = 0; group < p.inputs; group += GROUP) {
        for (size_t i = begin; i < end; i++) {
          const Tile& tile = tiles[i];
          const int64_t network = p.networks == 1 ? 0 : tile.network;
          with_vectors<widest(K)>(tile.width, [&](auto vectors) {
            for (int64_t j = group; j < std::min(group + GROUP, p.inputs); j++)
              forward_cell<K, decltype(vectors)::value>(
                  p, (network * blocks + block) * p.inputs + j, j,
                  edges.of(tile.network * p.inputs + j, p.grid_size + K, outputs, tile.column),
                  outputs, last_of(tile.width), rows.data() + tile.at,
                  constants.data() + i * wide);
          });
        }
      }
      for (size_t i = begin; i < end; i++) {
        const Tile& tile = tiles[i];
        float* to = y + (tile.network * p.batch + block * BLOCK) * outputs + tile.column;
        const float* from = rows.data() + tile.at;
        for (int64_t b = 0; b < some; b++)
          for (int c = 0; c < tile.width; c++)
            to[b * outputs + c] = from[b * padded(tile.width) + c] + constants[i * wide + c];
      }
    }
  }
}

}  // namespace
