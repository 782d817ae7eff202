// Gradients of a layer: by its parameters, which may be updated as they arise, and by its inputs.
#pragma once

#include "tiles.h"
#include "updates.h"

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
  std::vector<float> rows(room_of(tiles, p.batch));
  std::vector<float> totals(tiles.size() * blocks * wide);
#pragma omp parallel num_threads(threads)
  {
#pragma omp for schedule(static)
    for (int64_t i = 0; i < (int64_t)tiles.size(); i++) {
      const Tile& tile = tiles[i];
      gather(y + tile.network * p.batch * outputs + tile.column, outputs, tile, p.batch,
             rows.data() + tile.at);
      for (int64_t b = 0; b < p.batch && p.background; b++)
        for (int64_t c = 0; c < padded(tile.width); c++)
          totals[(i * blocks + b / BLOCK) * wide + c] += rows[tile.at + b * padded(tile.width) + c];
    }
    std::vector<float> sums(blocks > 1 ? GROUP * (splines + 1) * wide : 0);
#pragma omp for schedule(static)
    for (int64_t group = 0; group < p.inputs; group += GROUP) {
      const int64_t some = std::min(GROUP, p.inputs - group);
      for (size_t i = 0; i < tiles.size(); i++) {
        const Tile& tile = tiles[i];
        const int64_t network = p.networks == 1 ? 0 : tile.network;
        const Edges own = edges.of(tile.network * p.inputs, splines, outputs, tile.column);
        with_vectors<widest_gradient(K)>(tile.width, [&](auto vectors) {
          constexpr int NV = decltype(vectors)::value;
          auto cell = [&](int64_t block, int64_t j, auto to_spline, auto to_base)
              __attribute__((always_inline)) {
            weight_cell<K, NV>(p, (network * blocks + block) * p.inputs + group + j, group + j,
                               rows.data() + tile.at + block * BLOCK * padded(tile.width),
                               totals.data() + (i * blocks + block) * wide, to_spline, to_base);
          };
          // Blocks but the last add to `sums`.
          for (int64_t block = 0; block + 1 < blocks; block++)
            for (int64_t j = 0; j < some; j++) {
              float* sum = sums.data() + j * (splines + 1) * wide;
              auto add = [&](int64_t m, int n, Vector v) __attribute__((always_inline)) {
                float* at = sum + m * wide + n * LANES;
                store(at, block > 0 ? v + load(at) : v);
              };
              cell(block, j, add, [&](int n, Vector v) __attribute__((always_inline)) {
                add(splines, n, v);
              });
            }
          // With the last the rows' gradients are complete: those by the parameters follow.
          auto finish = [&](auto sink) __attribute__((always_inline)) {
            for (int64_t j = 0; j < some; j++) {
              const float* sum = sums.data() + j * (splines + 1) * wide;
              const Rows<NV> weights(own.of(group + j, splines, outputs, 0), outputs,
                                     last_of(tile.width));
              Vector to_scale[NV] = {};
              cell(
                  blocks - 1, j,
                  [&](int m, int n, Vector v) __attribute__((always_inline)) {
                    if (blocks > 1) v += load(sum + m * wide + n * LANES);
                    if (own.scale) to_scale[n] += weights.coefficient(m, n) * v;
                    sink(&Edges::coefficients, ((group + j) * splines + m) * outputs + n * LANES,
                         weights.scale[n] * v, weights.count(n), splines * outputs);
                  },
                  [&](int n, Vector v) __attribute__((always_inline)) {
                    if (blocks > 1) v += load(sum + splines * wide + n * LANES);
                    sink(&Edges::base, (group + j) * outputs + n * LANES, v, weights.count(n),
                         outputs);
                  });
              UNROLL for (int n = 0; n < NV; n++)
                if (own.scale)
                  sink(&Edges::scale, (group + j) * outputs + n * LANES, to_scale[n],
                       weights.count(n), outputs);
            }
          };
          if (to) {
            const Edges mine = to->of(tile.network * p.inputs, splines, outputs, tile.column);
            finish([&](auto field, int64_t at, Vector v, int count, int64_t)
                       __attribute__((always_inline)) { store_some(mine.*field + at, v, count); });
            return;
          }
          const Step step(updates[tile.network], steps);
          const Edges first = step.u.first.of(0, splines, outputs, tile.column);
          const Edges second = step.u.second.of(0, splines, outputs, tile.column);
          auto update = [&](auto optimizer) __attribute__((always_inline)) {
            finish([&](auto field, int64_t at, Vector v, int count, int64_t next)
                       __attribute__((always_inline)) {
              constexpr int O = decltype(optimizer)::value;
              float *w = own.*field + at, *a = O > 0 ? first.*field + at : nullptr,
                    *b = O > 1 ? second.*field + at : nullptr;
              // As in the forward pass: the rows of the next input.
              __builtin_prefetch(w + next, 1);
              if (O > 0) __builtin_prefetch(a + next, 1);
              if (O > 1) __builtin_prefetch(b + next, 1);
              step.apply<O>(w, a, b, v, count);
            });
          };
          if (step.u.optimizer == 0) update(std::integral_constant<int, 0>());
          if (step.u.optimizer == 1) update(std::integral_constant<int, 1>());
          if (step.u.optimizer == 2) update(std::integral_constant<int, 2>());
        });
      }
    }
  }
}

// gradient[example] += that of one input, from a tile of outputs.
template <int K, int NV>
void input_cell(const Plan& p, int64_t number, const float* rows, const Edges& edges,
                int64_t outputs, int last, float* gradient) {
  constexpr int R = K + 2;
  const int G = (int)p.grid_size;
  const Cell<K> cell(p, number, true);
  const Rows<NV> weights(edges, outputs, last);
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
  std::vector<float> rows(room_of(tiles, p.batch));
  const size_t each = tiles.size() / stack;  // tiles of one network
  const int64_t groups = (p.inputs + GROUP - 1) / GROUP;
#pragma omp parallel num_threads(threads)
  {
#pragma omp for schedule(static)
    for (int64_t i = 0; i < (int64_t)tiles.size(); i++)
      gather(y + tiles[i].network * p.batch * outputs + tiles[i].column, outputs, tiles[i],
             p.batch, rows.data() + tiles[i].at);
#pragma omp for collapse(2) schedule(static)
    for (int64_t s = 0; s < stack; s++)
      for (int64_t number = 0; number < groups; number++) {
        const int64_t network = p.networks == 1 ? 0 : s;
        const int64_t group = number * GROUP, some = std::min(GROUP, p.inputs - group);
        for (int64_t block = 0; block < blocks; block++) {
          float part[GROUP][BLOCK] = {};
          for (size_t i = s * each; i < (s + 1) * each; i++) {
            const Tile& tile = tiles[i];
            with_vectors<widest(K)>(tile.width, [&](auto vectors) {
              for (int64_t j = 0; j < some; j++)
                input_cell<K, decltype(vectors)::value>(
                    p, (network * blocks + block) * p.inputs + group + j,
                    rows.data() + tile.at + block * BLOCK * padded(tile.width),
                    edges.of(s * p.inputs + group + j, p.grid_size + K, outputs, tile.column),
                    outputs, last_of(tile.width), part[j]);
            });
          }
          float* to = gradient + (s * p.batch + block * BLOCK) * p.inputs + group;
          for (int64_t b = 0; b < examples_of(p, block); b++)
            for (int64_t j = 0; j < some; j++) to[b * p.inputs + j] = part[j][b];
        }
      }
  }
}

}  // namespace
