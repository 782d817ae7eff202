// Outputs of a layer: each example's row of outputs gathers what its inputs give, cell by cell.
#pragma once

#include "panels.h"

namespace {

// rows[example, :] += what one input gives to a tile of outputs.
template <int K, int NV, bool BACKGROUND>
void forward_cell(const Plan& p, int64_t number, Rows<K> weights, float* rows, float* constant) {
  constexpr int R = K + 2;
  const int G = (int)p.grid_size;
  const Cell<K> cell(p, number);
  Vector z[NV] = {};
  if (BACKGROUND) {
    UNROLL for (int n = 0; n < NV; n++) {
      z[n] = weights.background(n);
      store(constant + n * LANES, load(constant + n * LANES) + z[n]);
    }
  }
  if (cell.begins[G + 1] == 0) return;
  Vector w[R][NV];
  UNROLL for (int n = 0; n < NV; n++) {
    w[R - 1][n] = weights.base(n);
    UNROLL for (int r = 1; r <= K; r++) w[r][n] = weights.spline(r - 1, n);
  }
  // Pointers kept, and not found again for each example: that takes 1.06 times as long.
  const float* values[R];
  UNROLL for (int r = 0; r < R; r++) values[r] = cell.values + r * cell.room;
  const uint32_t* q = cell.order;
  for (int g = 0; g < G; g++) {
    UNROLL for (int n = 0; n < NV; n++) {
      UNROLL for (int r = 0; r < K; r++) w[r][n] = w[r + 1][n];
      w[K][n] = weights.spline(g + K, n);
    }
    for (const uint32_t* end = cell.order + cell.begins[g + 1]; q < end; q++) {
      const uint64_t entry = *q & 0xffff;
      float* to = rows + (*q >> 16) * (NV * LANES);
      Vector y[NV];
      UNROLL for (int n = 0; n < NV; n++) {
        y[n] = load(to + n * LANES);
        if (BACKGROUND) y[n] -= z[n];
      }
      UNROLL for (int r = 0; r < R; r++) {
        UNROLL for (int n = 0; n < NV; n++) y[n] += values[r][entry] * w[r][n];
      }
      UNROLL for (int n = 0; n < NV; n++) store(to + n * LANES, y[n]);
    }
  }
  for (const uint32_t* end = cell.order + cell.begins[G + 1]; q < end; q++) {
    const float value = values[K + 1][*q & 0xffff];
    float* to = rows + (*q >> 16) * (NV * LANES);
    UNROLL for (int n = 0; n < NV; n++) {
      Vector y = load(to + n * LANES);
      if (BACKGROUND) y -= z[n];
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
  std::unique_ptr<float[]> rows(new float[room_of(tiles, examples)]);
  std::vector<float> constants(tiles.size() * wide);
#pragma omp parallel num_threads(threads)
  {
    const FlushSubnormals flush;
#ifdef _OPENMP
    const int64_t team = omp_get_num_threads(), me = omp_get_thread_num();
#else
    const int64_t team = 1, me = 0;
#endif
    Weights<K> weights(p);
    const size_t begin = tiles.size() * me / team, end = tiles.size() * (me + 1) / team;
    for (int64_t block = 0; block < blocks && begin < end; block++) {
      const int64_t some = examples_of(p, block);
      for (size_t i = begin; i < end; i++)
        std::fill_n(rows.get() + tiles[i].at, padded(tiles[i].width) * examples, 0.f);
      std::fill(constants.begin() + begin * wide, constants.begin() + end * wide, 0.f);
      for (int64_t group = 0; group < p.inputs; group += GROUP) {
        const int64_t some_inputs = std::min(GROUP, p.inputs - group);
        for (size_t i = begin; i < end;) {
          const Strip strip(tiles, i, end, wide);
          const int64_t network = p.networks == 1 ? 0 : strip.network;
          const int64_t cells = (network * blocks + block) * p.inputs + group;
          weights.read(p, edges, outputs, strip, group, some_inputs);
          for (; i < strip.end; i++)
            with_vectors<widest(K)>(tiles[i].width, [&](auto vectors) {
              constexpr int NV = decltype(vectors)::value;
              const auto cell =
                  p.background ? forward_cell<K, NV, true> : forward_cell<K, NV, false>;
              for (int64_t j = 0; j < some_inputs; j++)
                cell(p, cells + j, weights.of(i - strip.begin, j), rows.get() + tiles[i].at,
                     constants.data() + i * wide);
            });
        }
      }
      for (size_t i = begin; i < end; i++) {
        const Tile& tile = tiles[i];
        float* to = y + (tile.network * p.batch + block * BLOCK) * outputs + tile.column;
        const float* from = rows.get() + tile.at;
        for (int64_t b = 0; b < some; b++)
          for (int c = 0; c < tile.width; c++)
            to[b * outputs + c] = from[b * padded(tile.width) + c] + constants[i * wide + c];
      }
    }
  }
}

}  // namespace
