// Passes of linear layers. Each is a product of two matrices for each network:
//
//   forward          y [examples, outputs]           =  x [examples, inputs]     w^T [inputs, outputs]
//   by the inputs    gradient [examples, inputs]     =  y [examples, outputs]    w [outputs, inputs]
//   by the weights   gradient [outputs, inputs]      =  y^T [outputs, examples]  x [examples, inputs]
//                                                       left                     right
//
// It goes block by block: a few rows and vectors of columns of the result stay in registers while the
// numbers of these rows in the left factor, and the vectors of these columns in the right, are read.
// Both are copied first, so that they lie as they are read:
//
//   left, in tiles      tile 0 [depth, ROWS]    tile 1 [depth, ROWS] ...
//   right, in panels    panel 0 [depth, WIDE]   panel 1 [depth, WIDE] ...
//
// a part of the depth at a time, of which a panel fits the nearest cache. Weights are updated from
// their gradient a few rows at a time, so that it is never written to memory. A sum is taken in the
// same order whatever the stack and the number of threads.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>

#include "../compiled_cpp/updates.h"
#include "activations.h"

// The parameters of the linear layers of a stack, or gradients by them.
struct Affine {
  float* weight;  // [networks, outputs, inputs]
  float* bias;    // [networks, outputs]

  // Those from one network on.
  Affine of(int64_t network, int64_t inputs, int64_t outputs) const {
    return {weight + network * outputs * inputs, bias + network * outputs};
  }
};

// What follows a layer: `function` is 0 for nothing, 1 for SiLU, 2 for GELU. Its slopes are written
// where they are wanted, [networks, examples, outputs], or else `slopes` is null.
struct Activation {
  int function;
  float* slopes;
};

namespace {

// Rows and vectors of columns of a block, which fills the registers; a part of the depth.
constexpr int ROWS = REGISTERS == 32 ? 8 : 6, VECTORS = 2;
constexpr int64_t WIDE = VECTORS * LANES, DEPTH = 4096 / WIDE;
// Panels that are copied together, and inputs whose weights are updated together: what lies in one
// row is read, or written, at once.
constexpr int64_t PANELS = 4, INPUTS_TOGETHER = 16 * WIDE;
// Rows of the left factor that pass all panels before the next do: they stay in the second cache.
constexpr int64_t ROWS_TOGETHER = 20 * ROWS;
// Where the depth is so small that all panels stay near anyway, more are copied together, and a block
// of rows passes all of them at once.
constexpr int64_t SHALLOW = 64, SHALLOW_PANELS = 16;
// Examples whose left factors are copied at a time, which bounds the memory for it.
constexpr int64_t BLOCK = 2048;
// Results that are more do not stay in any cache until they are read: they are written past them, which
// saves reading what they take the place of.
constexpr int64_t UNCACHED = 6 << 20;
// Numbers of a line of the cache.
constexpr int64_t LINE = 16;

// A part of a depth, which is divided evenly, in whole tiles of a transpose.
INLINE int64_t part_of(int64_t depth) {
  const int64_t parts = (depth + DEPTH - 1) / DEPTH, even = (depth + parts - 1) / parts;
  return (even + 7) / 8 * 8;
}

// Where the tiles of a left factor lie: those of a part of the depth one after the other, a line apart,
// since those of a power of two would share few places of the cache.
struct Tiles {
  int64_t tiles, part, pitch;
  Tiles(int64_t rows, int64_t depth)
      : tiles((rows + ROWS - 1) / ROWS), part(part_of(depth)), pitch(ROWS * part + LINE) {}
  // Of the tile of a row, and of a part.
  INLINE_MEMBER int64_t at(int64_t row, int64_t k) const {
    return (k / part * tiles + row / ROWS) * pitch + k % part * ROWS;
  }
  int64_t room(int64_t depth) const { return (depth + part - 1) / part * tiles * pitch; }
};

// to[c, r] = from[r, c].
void transpose(const float* from, int64_t pitch, int64_t rows, int64_t columns, float* to,
               int64_t to_pitch) {
  int64_t r = 0;
#if defined(__AVX2__)
  for (; r + 8 <= rows; r += 8) {
    int64_t c = 0;
    for (; c + 8 <= columns; c += 8) {
      __m256 v[8], pairs[8];
      UNROLL for (int i = 0; i < 8; i++) v[i] = _mm256_loadu_ps(from + (r + i) * pitch + c);
      UNROLL for (int i = 0; i < 8; i += 2) {
        pairs[i] = _mm256_unpacklo_ps(v[i], v[i + 1]);
        pairs[i + 1] = _mm256_unpackhi_ps(v[i], v[i + 1]);
      }
      UNROLL for (int i = 0; i < 8; i += 4) {
        v[i] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0x44);
        v[i + 1] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0xee);
        v[i + 2] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0x44);
        v[i + 3] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0xee);
      }
      // In this order: `copy_tiles` lets a column write over the begin of the next.
      float* corner = to + c * to_pitch + r;
      UNROLL for (int i = 0; i < 4; i++)
        _mm256_storeu_ps(corner + i * to_pitch, _mm256_permute2f128_ps(v[i], v[i + 4], 0x20));
      UNROLL for (int i = 0; i < 4; i++)
        _mm256_storeu_ps(corner + (i + 4) * to_pitch,
                         _mm256_permute2f128_ps(v[i], v[i + 4], 0x31));
    }
    for (; c < columns; c++)
      for (int i = 0; i < 8; i++) to[c * to_pitch + r + i] = from[(r + i) * pitch + c];
  }
#endif
  for (; r < rows; r++)
    for (int64_t c = 0; c < columns; c++) to[c * to_pitch + r] = from[r * pitch + c];
}

// Copies a part of a right factor, [depth, columns] or TRANSPOSED, into panels; the last is filled up
// with zeros to whole vectors.
template <bool TRANSPOSED>
void copy_panels(const float* from, int64_t pitch, int64_t depth, int64_t columns, float* to) {
  const int64_t whole = columns / WIDE * WIDE, rest = columns - whole;
  if (TRANSPOSED)
    for (int64_t c = 0; c < columns; c += WIDE)
      transpose(from + c * pitch, pitch, std::min(WIDE, columns - c), depth, to + c * depth, WIDE);
  for (int64_t j = 0; j < depth; j++) {
    float* last = to + whole * depth + j * WIDE;
    if (TRANSPOSED) {
      std::fill(last + rest, last + padded(rest), 0.f);
      continue;
    }
    const float* row = from + j * pitch;
    for (int64_t c = 0; c < whole; c += WIDE)
      UNROLL for (int n = 0; n < WIDE; n += LANES)
        store(to + c * depth + j * WIDE + n, load(row + c + n));
    for (int64_t n = 0; n < rest; n += LANES)
      store(last + n, load_some(row + whole + n, (int)std::min<int64_t>(LANES, rest - n)));
  }
}

// Copies a left factor, [rows, depth], into tiles; what the last rows are filled up with does not matter.
void copy_tiles(const float* from, int64_t rows, int64_t depth, const Tiles& tiles, float* to) {
  for (int64_t k = 0; k < depth; k += tiles.part) {
    const int64_t deep = std::min(tiles.part, depth - k);
    for (int64_t r = 0; r < rows; r += ROWS) {
      // Eight rows at once, where there are vectors for it: what is too much is written over.
      const int64_t some = LANES >= 8 && rows - r >= 8 ? 8 : std::min<int64_t>(ROWS, rows - r);
      transpose(from + r * depth + k, depth, some, deep, to + tiles.at(r, k), ROWS);
    }
  }
}

// Rows of numbers, to be multiplied with others unless `factors` is null.
struct Rows {
  const float *numbers, *factors;
};

// The same for the transpose of a left factor, `rows` [depth, columns]. Sums over the depth are added
// to `totals`, unless that is null; `line` has room for a row.
void copy_tiles(Rows rows, int64_t columns, int64_t depth, const Tiles& tiles, float* to,
                float* totals, float* line) {
  for (int64_t k = 0; k < depth; k++) {
    const float* row = rows.numbers + k * columns;
    for (int64_t c = 0; c < columns && (rows.factors || totals); c += LANES) {
      const int count = (int)std::min<int64_t>(LANES, columns - c);
      Vector v = load_some(row + c, count);
      if (rows.factors) v *= load_some(rows.factors + k * columns + c, count);
      if (totals) store(totals + c, load(totals + c) + v);
      store(line + c, v);
    }
    if (rows.factors) row = line;
    float* at = to + tiles.at(0, k);
    int64_t c = 0;
    for (; c + ROWS <= columns; c += ROWS, at += tiles.pitch)
      std::memcpy(at, row + c, sizeof(float) * ROWS);
    std::copy(row + c, row + columns, at);
  }
}

// What a block multiplies: row r of the left factor begins at left + r * left_pitch, the right
// factor's rows lie right_pitch apart.
struct Factors {
  const float* left;
  int64_t left_pitch;
  const float* right;
  int64_t right_pitch, depth;
};

// Where a block begins or ends: rows of sums that lie `pitch` apart.
struct Sums {
  float* at;
  int64_t pitch;
};

// Adds the products of M rows and N vectors of columns to those of `from`, which are zeros if it is
// null, and writes the sums to `to`. A row of the left factor goes on in steps of STEP.
template <int M, int N, int STEP>
__attribute__((noinline)) void multiply(Factors f, Sums from, Sums to) {
  Vector sums[M][N];
  const float* row[M];
  UNROLL for (int r = 0; r < M; r++) {
    row[r] = f.left + r * f.left_pitch;
    UNROLL for (int n = 0; n < N; n++)
      sums[r][n] = from.at ? load(from.at + r * from.pitch + n * LANES) : Vector{};
  }
  for (int64_t j = 0; j < f.depth; j++) {
    Vector v[N];
    UNROLL for (int n = 0; n < N; n++) v[n] = load(f.right + j * f.right_pitch + n * LANES);
    UNROLL for (int r = 0; r < M; r++)
      UNROLL for (int n = 0; n < N; n++) sums[r][n] += row[r][j * STEP] * v[n];
  }
  UNROLL for (int r = 0; r < M; r++)
    UNROLL for (int n = 0; n < N; n++) store(to.at + r * to.pitch + n * LANES, sums[r][n]);
}

// Does it for a number of rows, at most MOST, and of columns in whole vectors.
template <int STEP, int MOST = ROWS>
INLINE void multiply(int64_t rows, int64_t columns, Factors f, Sums from, Sums to) {
  if constexpr (MOST > 1) {
    if (rows < MOST) return multiply<STEP, MOST - 1>(rows, columns, f, from, to);
  }
  with_vectors<VECTORS>(columns, [&](auto n) {
    multiply<MOST, decltype(n)::value, STEP>(f, from, to);
  });
}

// Weights that come next, fetched into the cache a few lines at a time while others are multiplied.
struct Ahead {
  const float* at;
  int64_t pitch, rows, columns, column = 0;

  INLINE_MEMBER void fetch(int64_t lines) {
    for (; lines > 0 && rows > 0; lines--) {
      __builtin_prefetch(at + column);
      if ((column += LINE) < columns) continue;
      column = 0;
      at += pitch;
      rows--;
    }
  }
};

// The rows of a left factor, [rows, depth]: in tiles, or as they lie if `tiles` is null.
struct Left {
  const float* rows;
  int64_t depth;
  const Tiles& tiling;
  const float* tiles;

  // Results, from row `first` to `last` and `width` columns, of one panel and part of the depth, which
  // begins at k. They begin as the `bias` of their columns, or, if that is null, as they are.
  INLINE_MEMBER void times(const float* panel, int64_t k, int64_t deep, int64_t first, int64_t last,
                           int64_t width, const float* bias, Sums results, Ahead* ahead,
                           int64_t lines) const {
    for (int64_t r = first; r < last; r += ROWS) {
      ahead->fetch(lines);
      const int64_t high = std::min<int64_t>(ROWS, last - r);
      const Sums own = {results.at + r * results.pitch, results.pitch};
      float edge[ROWS * WIDE];  // where columns do not fill their vectors
      const Sums sums = width % LANES ? Sums{edge, WIDE} : own;
      if (sums.at == edge && !bias)
        for (int64_t i = 0; i < high; i++)
          std::copy_n(own.at + i * own.pitch, width, edge + i * WIDE);
      const Sums from = bias ? Sums{const_cast<float*>(bias), 0} : sums;
      if (tiles)
        multiply<ROWS>(high, width, {tiles + tiling.at(r, k), 1, panel, WIDE, deep}, from, sums);
      else
        multiply<1>(high, width, {rows + r * depth + k, depth, panel, WIDE, deep}, from, sums);
      if (sums.at == edge)
        for (int64_t i = 0; i < high; i++)
          std::copy_n(edge + i * WIDE, width, own.at + i * own.pitch);
    }
  }
};

// to[examples, columns] of each network = left [examples, depth] times its weights, [depth, columns]
// or TRANSPOSED, plus its bias [columns], which may be null; and then activated. The left factor is
// `shared` by all networks, or each has its own. `many`: results are of those that go past the caches.
template <bool TRANSPOSED>
void product_all(const float* left, bool shared, const float* weight, const float* bias,
                 int64_t stack, int64_t examples, int64_t depth, int64_t columns, float* to,
                 Activation activation, bool many, int threads) {
  const Tiles tiling(std::min(BLOCK, examples), depth);
  const int64_t part = tiling.part, pitch = TRANSPOSED ? depth : columns;
  const bool shallow = part <= SHALLOW;
  const int64_t together = (shallow ? SHALLOW_PANELS : PANELS) * WIDE;
  const int64_t rows_together = shallow ? ROWS : ROWS_TOGETHER;
  // A left factor that few panels are multiplied with is read as often as it would be copied.
  const bool tiled = shared || columns > PANELS * WIDE;
  const bool uncached = many && (int64_t)to % sizeof(Vector) == 0 && columns % LANES == 0;
#pragma omp parallel num_threads(threads)
  {
    const FlushSubnormals flush;
    const std::unique_ptr<float[]> panels(new float[together * part]);
    const std::unique_ptr<float[]> tiles(tiled ? new float[tiling.room(depth)] : nullptr);
    // Where results are before they are written past the caches.
    const std::unique_ptr<float[]> room(
        uncached ? new float[std::min(BLOCK, examples) * together] : nullptr);
    const float* in_tiles = nullptr;
#pragma omp for collapse(3) schedule(static)
    for (int64_t s = 0; s < stack; s++)
      for (int64_t block = 0; block < examples; block += BLOCK)
        for (int64_t column = 0; column < columns; column += together) {
          const int64_t high = std::min(BLOCK, examples - block);
          const int64_t some = std::min(together, columns - column);
          const Left rows = {left + ((shared ? 0 : s * examples) + block) * depth, depth, tiling,
                             tiles.get()};
          if (tiled && in_tiles != rows.rows)
            copy_tiles(in_tiles = rows.rows, high, depth, tiling, tiles.get());
          float* const y = to + (s * examples + block) * columns + column;
          const Sums results = uncached ? Sums{room.get(), together} : Sums{y, columns};
          auto weights = [&](int64_t k, int64_t c) {
            return weight + s * depth * columns + (TRANSPOSED ? c * depth + k : k * columns + c);
          };
          for (int64_t k = 0; k < depth; k += part) {
            const int64_t deep = std::min(part, depth - k);
            copy_panels<TRANSPOSED>(weights(k, column), pitch, deep, some, panels.get());
            // Next are the rest of the depth, or the next columns.
            const bool deeper = k + deep < depth;
            const int64_t next_deep = std::min(part, deeper ? depth - k - deep : depth);
            const int64_t next_some = deeper ? some : std::min(together, columns - column - some);
            Ahead ahead = {deeper ? weights(k + deep, column) : weights(0, column + some), pitch,
                           TRANSPOSED ? next_some : next_deep, TRANSPOSED ? next_deep : next_some};
            if (next_some == 0) ahead.rows = 0;
            const int64_t lines = 1 + deep * WIDE / LINE * ROWS / high;  // during one block
            for (int64_t first = 0; first < high; first += rows_together)
              for (int64_t c = 0; c < some; c += WIDE) {
                float begin[WIDE] = {};
                const int64_t width = std::min(WIDE, some - c);
                if (bias) std::copy_n(bias + s * columns + column + c, width, begin);
                rows.times(panels.get() + c * deep, k, deep, first,
                           std::min(first + rows_together, high), width, k ? nullptr : begin,
                           {results.at + c, results.pitch}, &ahead, lines);
              }
          }
          auto finish = [&](auto function) {
            using F = decltype(function);
            float* slopes = activation.slopes ? activation.slopes + (y - to) : nullptr;
            if (uncached)
              activate<F, true>(results.at, results.pitch, y, slopes, columns, high, some);
            else
              activate<F, false>(results.at, results.pitch, y, slopes, columns, high, some);
          };
          if (activation.function == 0 && uncached) finish(Identity());
          if (activation.function == 1) finish(Silu());
          if (activation.function == 2) finish(Gelu());
        }
    streamed();
  }
}

// The gradients by the weights and the bias of one network, from those by its outputs, `rows` [examples,
// outputs], and its inputs, `x` [examples, inputs].
class Gradients {
 public:
  Gradients(int64_t examples, int64_t inputs, int64_t outputs)
      : examples(examples),
        inputs(inputs),
        outputs(outputs),
        copied(outputs > ROWS || inputs % LANES),
        tiling(outputs, std::min(BLOCK, examples)),
        part(copied ? tiling.part : LINE),
        in_parts(examples > part),
        panels(copied ? new float[INPUTS_TOGETHER * part] : nullptr),
        tiles(new float[tiling.room(std::min(BLOCK, examples))]),
        sums(new float[(in_parts ? tiling.tiles : 1) * ROWS * INPUTS_TOGETHER]),
        totals(new float[padded(outputs)]),
        line(new float[padded(outputs)]) {}

  // `sink(at, v, count)` takes `count` numbers of the gradient by the weights, of `some` inputs from
  // number `column` on; `soon(at)` is told the weights that come next, a line of each row.
  template <class F, class H>
  INLINE_MEMBER void by_weights(Rows rows, const float* x, int64_t column, int64_t some, F sink,
                                H soon) {
    if (column == 0) std::fill_n(totals.get(), padded(outputs), 0.f);
    for (int64_t b = 0; b < examples;) {
      const int64_t block = b / BLOCK * BLOCK, in_block = std::min(BLOCK, examples - block);
      const float* numbers = rows.numbers + block * outputs;
      if (in_tiles != numbers) {  // always, for the first inputs
        const float* factors = rows.factors ? rows.factors + block * outputs : nullptr;
        copy_tiles({numbers, factors}, outputs, in_block, tiling, tiles.get(),
                   column == 0 ? totals.get() : nullptr, line.get());
        in_tiles = numbers;
      }
      // Up to where tiles of one part of the depth end: those of the next lie elsewhere.
      const int64_t deep = std::min({part, block + in_block - b,
                                     tiling.part - (b - block) % tiling.part});
      const bool ends = b + deep == examples;
      const float* features = x + b * inputs + column;
      if (copied) copy_panels<false>(features, inputs, deep, some, panels.get());
      for (int64_t o = 0; o < outputs; o += ROWS) {
        const int64_t high = std::min<int64_t>(ROWS, outputs - o);
        float* row = sums.get() + (in_parts ? o * INPUTS_TOGETHER : 0);
        for (int64_t c = 0; c < some; c += WIDE) {
          const Sums block_sums = {row + c, INPUTS_TOGETHER};
          const float* right = copied ? panels.get() + c * deep : features + c;
          multiply<ROWS>(high, std::min(WIDE, some - c),
                         {tiles.get() + tiling.at(o, b - block), 1, right, copied ? WIDE : inputs,
                          deep},
                         b ? block_sums : Sums{}, block_sums);
          for (int64_t r = o + ROWS; r < std::min(o + 2 * ROWS, outputs) && ends; r++)
            for (int64_t n = 0; n < WIDE; n += LINE) soon(r * inputs + column + c + n);
        }
        for (int64_t r = 0; r < high && ends; r++)
          for (int64_t c = 0; c < some; c += LANES)
            sink((o + r) * inputs + column + c, load(row + r * INPUTS_TOGETHER + c),
                 (int)std::min<int64_t>(LANES, some - c));
      }
      b += deep;
    }
  }

  // The same of the biases, after that by the weights of the first inputs.
  template <class F>
  INLINE_MEMBER void by_bias(F sink) {
    for (int64_t o = 0; o < outputs; o += LANES)
      sink(o, load(totals.get() + o), (int)std::min<int64_t>(LANES, outputs - o));
  }

 private:
  const int64_t examples, inputs, outputs;
  // A single row of blocks reads the right factor once, so as it lies, where it fills its vectors.
  const bool copied;
  const Tiles tiling;
  const int64_t part;
  const bool in_parts;  // whose sums are kept from one to the next
  const std::unique_ptr<float[]> panels, tiles, sums, totals, line;
  const float* in_tiles = nullptr;
};

// Gradients by the parameters of each network, from those by its outputs, which are `y` times `slopes`,
// or y if that is null; or updates of the parameters by them: `updates` where `to` is null.
void parameters_all(const float* y, const float* slopes, const float* x, bool shared, Affine own, int64_t stack,
                    int64_t examples, int64_t inputs, int64_t outputs, const Affine* to,
                    const Update* updates, double steps, int threads) {
#pragma omp parallel num_threads(threads)
  {
    const FlushSubnormals flush;
    Gradients gradients(examples, inputs, outputs);
#pragma omp for collapse(2) schedule(static)
    for (int64_t s = 0; s < stack; s++)
      for (int64_t column = 0; column < inputs; column += INPUTS_TOGETHER) {
        const int64_t some = std::min(INPUTS_TOGETHER, inputs - column);
        const Rows rows = {y + s * examples * outputs,
                           slopes ? slopes + s * examples * outputs : nullptr};
        const float* features = x + (shared ? 0 : s * examples * inputs);
        const Affine mine = own.of(s, inputs, outputs);
        if (to) {
          auto write = [](float* there) {
            return [=](int64_t at, Vector v, int count) { store_some(there + at, v, count); };
          };
          const Affine there = to->of(s, inputs, outputs);
          gradients.by_weights(rows, features, column, some, write(there.weight), [](int64_t) {});
          if (column == 0) gradients.by_bias(write(there.bias));
          continue;
        }
        const Step step(updates[s], steps);
        auto update = [&](auto optimizer) __attribute__((always_inline)) {
          constexpr int O = decltype(optimizer)::value;
          auto apply = [&](int parameter, float* value) __attribute__((always_inline)) {
            float *first = step.u.first[parameter], *second = step.u.second[parameter];
            return [=, &step](int64_t at, Vector v, int count) __attribute__((always_inline)) {
              step.apply<O>(value + at, O > 0 ? first + at : nullptr, O > 1 ? second + at : nullptr,
                            v, count);
            };
          };
          gradients.by_weights(rows, features, column, some, apply(0, mine.weight),
                               [&](int64_t at) __attribute__((always_inline)) {
            __builtin_prefetch(mine.weight + at, 1);
            if (O > 0) __builtin_prefetch(step.u.first[0] + at, 1);
            if (O > 1) __builtin_prefetch(step.u.second[0] + at, 1);
          });
          if (column == 0) gradients.by_bias(apply(1, mine.bias));
        };
        if (step.u.optimizer == 0) update(std::integral_constant<int, 0>());
        if (step.u.optimizer == 1) update(std::integral_constant<int, 1>());
        if (step.u.optimizer == 2) update(std::integral_constant<int, 2>());
      }
  }
}

// Gradients from those by what a layer's activation gives, `y`, [networks, examples, outputs]: of its
// inputs, to `to_x`, unless that is null; and of its parameters, or updates, as `parameters_all` does,
// unless both `to` and `updates` are null. `slopes` of the activation may be null, if there is none.
//
// As many networks as threads are done at a time, so that their gradients and weights are in the
// cache from one pass to the next.
void backward_all(const float* y, const float* slopes, const float* x, bool shared, Affine own,
                  int64_t stack, int64_t examples, int64_t inputs, int64_t outputs, float* to_x,
                  const Affine* to, const Update* updates, double steps, int threads) {
  const int64_t each = examples * outputs;
  const std::unique_ptr<float[]> scaled(
      slopes && to_x ? new float[std::min<int64_t>(threads, stack) * each] : nullptr);
  for (int64_t s = 0; s < stack; s += threads) {
    const int64_t some = std::min<int64_t>(threads, stack - s);
    const float *gradient = y + s * each, *factors = slopes ? slopes + s * each : nullptr;
    if (scaled) {
#pragma omp parallel num_threads(threads)
      {
        const FlushSubnormals flush;
#pragma omp for schedule(static)
        for (int64_t i = 0; i < some * each; i += LANES) {
          const int count = (int)std::min<int64_t>(LANES, some * each - i);
          const Vector v = load_some(gradient + i, count) * load_some(factors + i, count);
          store_some(scaled.get() + i, v, count);
        }
      }
      gradient = scaled.get();
      factors = nullptr;
    }
    const Affine mine = own.of(s, inputs, outputs);
    if (to_x)
      product_all<false>(gradient, false, mine.weight, nullptr, some, examples, outputs, inputs,
                         to_x + s * examples * inputs, {},
                         stack * examples * inputs > UNCACHED, threads);
    if (!to && !updates) continue;
    const Affine there = to ? to->of(s, inputs, outputs) : Affine{};
    parameters_all(gradient, factors, shared ? x : x + s * examples * inputs, shared, mine, some,
                   examples, inputs, outputs, to ? &there : nullptr,
                   updates ? updates + s : nullptr, steps, threads);
  }
}

}  // namespace
