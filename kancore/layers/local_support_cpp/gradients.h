// Gradients of a layer: by its parameters, which may be updated as they arise, and by its inputs.
#pragma once

#include "../compiled_cpp/updates.h"
#include "panels.h"

namespace {

// Gives the gradient by one input's rows of weights, for a tile of outputs: `to_spline(m, n, v)`
// takes vector n of row m, for rows in ascending order, and then `to_base(n, v)` the base's.
template <int K, int NV, class F, class H>
INLINE void weight_cell(const Plan& p, int64_t number, int64_t input, const float* rows,
                        const float* total, F to_spline, H to_base) {
  constexpr int R = K + 2;
  const int G = (int)p.grid_size;
  const Cell<K> cell(p, number);
  Vector z[NV] = {};  // sum over the examples that are background
  const float* share = nullptr;
  int from = 0;
  if (p.background) {
    share = p.background_values + input * R;
    from = p.background_spans[input];
    UNROLL for (int n = 0; n < NV; n++) z[n] = load(total + n * LANES);
    for (int q = 0; q < cell.begins[G + 1]; q++) {
      const float* row = rows + (cell.order[q] >> 16) * (NV * LANES);
      UNROLL for (int n = 0; n < NV; n++) z[n] -= load(row + n * LANES);
    }
  }
  auto emit = [&](int m, int n, Vector v) {
    if (share && m >= from && m <= from + K) v += share[m - from] * z[n];
    to_spline(m, n, v);
  };
  Vector base[NV] = {}, a[K + 1][NV] = {};
  for (int g = 0; g < G; g++) {
    for (int q = cell.begins[g]; q < cell.begins[g + 1]; q++) {
      const float* value = cell.values + (cell.order[q] & 0xffff);
      const float* row = rows + (cell.order[q] >> 16) * (NV * LANES);
      Vector y[NV];
      UNROLL for (int n = 0; n < NV; n++) y[n] = load(row + n * LANES);
      UNROLL for (int r = 0; r <= K; r++) {
        UNROLL for (int n = 0; n < NV; n++) a[r][n] += value[r * cell.room] * y[n];
      }
      UNROLL for (int n = 0; n < NV; n++) base[n] += value[(K + 1) * cell.room] * y[n];
    }
    UNROLL for (int n = 0; n < NV; n++) {
      emit(g, n, a[0][n]);
      UNROLL for (int r = 0; r < K; r++) a[r][n] = a[r + 1][n];
      a[K][n] = Vector{};
    }
  }
  for (int q = cell.begins[G]; q < cell.begins[G + 1]; q++) {
    const float value = cell.values[(K + 1) * cell.room + (cell.order[q] & 0xffff)];
    const float* row = rows + (cell.order[q] >> 16) * (NV * LANES);
    UNROLL for (int n = 0; n < NV; n++) base[n] += value * load(row + n * LANES);
  }
  UNROLL for (int n = 0; n < NV; n++) {
    UNROLL for (int r = 0; r < K; r++) emit(G + r, n, a[r][n]);
    to_base(n, share ? base[n] + share[K + 1] * z[n] : base[n]);
  }
}

// Gradients by all parameters, or updates of the parameters by them: `updates` where `to` is null.
template <int K>
void weight_all(const Plan& p, const float* y, const Edges& edges, int64_t stack, int64_t outputs,
                const Edges* to, const Update* updates, double steps, int threads) {
  const int64_t splines = p.grid_size + K, blocks = blocks_of(p);
  const int64_t wide = widest_gradient(K) * LANES;
  const std::vector<Tile> tiles = tiles_of(stack, outputs, wide, p.batch);
  std::unique_ptr<float[]> rows(new float[room_of(tiles, p.batch)]);
  std::vector<float> totals(tiles.size() * blocks * wide);
#pragma omp parallel num_threads(threads)
  {
    const FlushSubnormals flush;
#pragma omp for schedule(static)
    for (int64_t i = 0; i < (int64_t)tiles.size(); i++) {
      const Tile& tile = tiles[i];
      gather(y + tile.network * p.batch * outputs + tile.column, outputs, tile, p.batch,
             rows.get() + tile.at);
      for (int64_t b = 0; b < p.batch && p.background; b++)
        for (int64_t c = 0; c < padded(tile.width); c++)
          totals[(i * blocks + b / BLOCK) * wide + c] += rows[tile.at + b * padded(tile.width) + c];
    }
    WeightGradients gradients(splines, outputs, wide);
#pragma omp for schedule(static)
    for (int64_t group = 0; group < p.inputs; group += GROUP) {
      const int64_t inputs = std::min(GROUP, p.inputs - group);
      for (size_t i = 0; i < tiles.size();) {
        const Strip strip(tiles, i, tiles.size(), wide);
        const int64_t network = p.networks == 1 ? 0 : strip.network;
        for (; i < strip.end; i++) {
          const Tile& tile = tiles[i];
          with_vectors<widest_gradient(K)>(tile.width, [&](auto vectors) {
            constexpr int NV = decltype(vectors)::value;
            for (int64_t block = 0; block < blocks; block++)
              for (int64_t j = 0; j < inputs; j++) {
                auto add = [&](int64_t m, int n, Vector v) __attribute__((always_inline)) {
                  gradients.add(j, m, tile.column - strip.column + n * LANES, v, block == 0);
                };
                weight_cell<K, NV>(
                    p, (network * blocks + block) * p.inputs + group + j, group + j,
                    rows.get() + tile.at + block * BLOCK * padded(tile.width),
                    totals.data() + (i * blocks + block) * wide, add,
                    [&](int n, Vector v) __attribute__((always_inline)) { add(splines, n, v); });
              }
          });
        }
        const int64_t row = strip.network * p.inputs + group;
        const Edges own = edges.of(row, splines, outputs, strip.column);
        if (to) {
          const Edges mine = to->of(row, splines, outputs, strip.column);
          gradients.give(own, inputs, strip.width,
                         [&](auto field, int64_t at, Vector v, int count)
                             __attribute__((always_inline)) {
            store_some(mine.*field + at, v, count);
          });
          continue;
        }
        const Step step(updates[strip.network], steps);
        auto buffers = [](float* const* of) { return Edges{of[0], of[1], of[2]}; };
        const Edges first = buffers(step.u.first).of(group, splines, outputs, strip.column);
        const Edges second = buffers(step.u.second).of(group, splines, outputs, strip.column);
        auto update = [&](auto optimizer) __attribute__((always_inline)) {
          gradients.give(own, inputs, strip.width,
                         [&](auto field, int64_t at, Vector v, int count)
                             __attribute__((always_inline)) {
            constexpr int O = decltype(optimizer)::value;
            step.apply<O>(own.*field + at, O > 0 ? first.*field + at : nullptr,
                          O > 1 ? second.*field + at : nullptr, v, count);
          });
        };
        if (step.u.optimizer == 0) update(std::integral_constant<int, 0>());
        if (step.u.optimizer == 1) update(std::integral_constant<int, 1>());
        if (step.u.optimizer == 2) update(std::integral_constant<int, 2>());
      }
    }
  }
}

// gradient[example] += that of one input, from a tile of outputs.
template <int K, int NV>
void input_cell(const Plan& p, int64_t number, Rows<K> weights, const float* rows,
                float* gradient) {
  constexpr int R = K + 2;
  const int G = (int)p.grid_size;
  const Cell<K> cell(p, number, true);
  Vector w[R][NV];
  UNROLL for (int n = 0; n < NV; n++) {
    w[R - 1][n] = weights.base(n);
    UNROLL for (int r = 1; r <= K; r++) w[r][n] = weights.spline(r - 1, n);
  }
  for (int g = 0; g < G; g++) {
    UNROLL for (int n = 0; n < NV; n++) {
      UNROLL for (int r = 0; r < K; r++) w[r][n] = w[r + 1][n];
      w[K][n] = weights.spline(g + K, n);
    }
    for (int q = cell.begins[g]; q < cell.begins[g + 1]; q++) {
      const float* slope = cell.values + (cell.order[q] & 0xffff);
      const uint32_t example = cell.order[q] >> 16;
      const float* y = rows + example * (NV * LANES);
      Vector dot = {};
      UNROLL for (int n = 0; n < NV; n++) {
        Vector t = slope[0] * w[0][n];
        UNROLL for (int r = 1; r < R; r++) t += slope[r * cell.room] * w[r][n];
        dot += t * load(y + n * LANES);
      }
      gradient[example] += sum(dot);
    }
  }
  for (int q = cell.begins[G]; q < cell.begins[G + 1]; q++) {
    const float slope = cell.values[(K + 1) * cell.room + (cell.order[q] & 0xffff)];
    const uint32_t example = cell.order[q] >> 16;
    const float* y = rows + example * (NV * LANES);
    Vector dot = {};
    UNROLL for (int n = 0; n < NV; n++) dot += w[R - 1][n] * load(y + n * LANES);
    gradient[example] += slope * sum(dot);
  }
}

template <int K>
void input_all(const Plan& p, const float* y, const Edges& edges, int64_t stack, int64_t outputs,
               float* gradient, int threads) {
  const int64_t blocks = blocks_of(p);
  const std::vector<Tile> tiles = tiles_of(stack, outputs, widest(K) * LANES, p.batch);
  std::unique_ptr<float[]> rows(new float[room_of(tiles, p.batch)]);
  const size_t each = tiles.size() / stack;  // tiles of one network
  const int64_t groups = (p.inputs + GROUP - 1) / GROUP;
#pragma omp parallel num_threads(threads)
  {
    const FlushSubnormals flush;
#pragma omp for schedule(static)
    for (int64_t i = 0; i < (int64_t)tiles.size(); i++)
      gather(y + tiles[i].network * p.batch * outputs + tiles[i].column, outputs, tiles[i],
             p.batch, rows.get() + tiles[i].at);
    Weights<K> weights(p);
#pragma omp for collapse(2) schedule(static)
    for (int64_t s = 0; s < stack; s++)
      for (int64_t number = 0; number < groups; number++) {
        const int64_t network = p.networks == 1 ? 0 : s;
        const int64_t group = number * GROUP, some = std::min(GROUP, p.inputs - group);
        for (int64_t block = 0; block < blocks; block++) {
          const int64_t cells = (network * blocks + block) * p.inputs + group;
          float part[GROUP][BLOCK] = {};
          for (size_t i = s * each; i < (s + 1) * each;) {
            const Strip strip(tiles, i, (s + 1) * each, widest(K) * LANES);
            weights.read(p, edges, outputs, strip, group, some);
            for (; i < strip.end; i++) {
              const Tile& tile = tiles[i];
              with_vectors<widest(K)>(tile.width, [&](auto vectors) {
                for (int64_t j = 0; j < some; j++)
                  input_cell<K, decltype(vectors)::value>(
                      p, cells + j, weights.of(i - strip.begin, j),
                      rows.get() + tile.at + block * BLOCK * padded(tile.width), part[j]);
              });
            }
          }
          float* to = gradient + (s * p.batch + block * BLOCK) * p.inputs + group;
          for (int64_t b = 0; b < examples_of(p, block); b++)
            for (int64_t j = 0; j < some; j++) to[b * p.inputs + j] = part[j][b];
        }
      }
  }
}

}  // namespace
