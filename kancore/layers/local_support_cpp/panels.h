// Panels: parameters of a group of inputs for tiles side by side. They are read, and updated, row by
// row, as they lie in memory. A tile's part of a row is only a line or a few of the cache, and the
// next row's lies far from it: to wait for each takes longer than to multiply by it. So the passes
// over examples go through copies, tile by tile.
#pragma once

#include <memory>
#include <vector>

#include "tiles.h"

namespace {

// Inputs of a panel, and about how many outputs: with 5 intervals its copies take 330 kB. Fewer
// inputs would move results between caches more often, fewer outputs break up what lies together.
constexpr int64_t GROUP = 32, COLUMNS = 256;

// The tiles of a panel: those of one network from `begin` on, before `end`.
struct Strip {
  size_t begin, end;
  int64_t network, column, width;

  Strip(const std::vector<Tile>& tiles, size_t begin, size_t most, int64_t wide)
      : begin(begin), end(begin), network(tiles[begin].network), column(tiles[begin].column) {
    most = std::min<size_t>(most, begin + std::max<int64_t>(1, COLUMNS / wide));
    while (end < most && tiles[end].network == network) end++;
    width = tiles[end - 1].column + tiles[end - 1].width - column;
  }
};

// The rows of weights of one input, for a tile: those of the splines, scale * coefficients, that of
// the base, and, where there is a background, what it gives; in whole vectors.
template <int K>
struct Rows {
  static constexpr int WIDE = widest(K) * LANES;
  const float* first;
  const int64_t splines;

  INLINE_MEMBER Vector spline(int64_t m, int n) const { return load(first + m * WIDE + n * LANES); }
  INLINE_MEMBER Vector base(int n) const { return spline(splines, n); }
  INLINE_MEMBER Vector background(int n) const { return spline(splines + 1, n); }
};

// The weights of a panel: the rows of each input, tile by tile.
template <int K>
class Weights {
  static constexpr int WIDE = Rows<K>::WIDE;

 public:
  explicit Weights(const Plan& p)
      : splines(p.grid_size + K),
        rows((splines + 2) * WIDE),
        tile(GROUP * rows + LANES),  // tiles do not lie a power of two apart
        room(new float[std::max<int64_t>(1, COLUMNS / WIDE) * tile]) {}

  // Those of one input for one tile, both counted from the panel's first.
  Rows<K> of(int64_t number, int64_t input) const { return {at(number, input), splines}; }

  // Reads those of `inputs` inputs from number `input` on.
  void read(const Plan& p, const Edges& edges, int64_t outputs, const Strip& strip, int64_t input,
            int64_t inputs) {
    for (int64_t j = 0; j < inputs; j++) {
      const Edges own =
          edges.of(strip.network * p.inputs + input + j, splines, outputs, strip.column);
      const float* value = p.background ? p.background_values + (input + j) * (K + 2) : nullptr;
      const int first = p.background ? p.background_spans[input + j] : 0;
      // Calls f(to, column, count) for each vector of a row.
      auto vectors = [&](auto f) __attribute__((always_inline)) {
        float* to = at(0, j);
        int64_t c = 0;
        for (; c + WIDE <= strip.width; c += WIDE, to += tile)
          UNROLL for (int n = 0; n < WIDE; n += LANES) f(to + n, c + n, LANES);
        for (; c < strip.width; c += LANES, to += LANES)
          f(to, c, (int)std::min<int64_t>(LANES, strip.width - c));
      };
      auto scale = [&](int64_t c, int count) __attribute__((always_inline)) {
        return own.scale ? load_some(own.scale + c, count) : fill(1.f);
      };
      for (int m = 0; m < splines; m++) {
        const float* row = own.coefficients + m * outputs;
        auto read_row = [&](auto background) __attribute__((always_inline)) {
          vectors([&](float* to, int64_t c, int count) __attribute__((always_inline)) {
            __builtin_prefetch(row + splines * outputs + c);  // of the next input
            const Vector coefficient = load_some(row + c, count);
            store(to + m * WIDE, scale(c, count) * coefficient);
            if (!background) return;
            Vector sum = m > first ? load(to + (splines + 1) * WIDE) : Vector{};
            sum += value[m - first] * coefficient;
            store(to + (splines + 1) * WIDE, sum);
          });
        };
        if (value && m >= first && m <= first + K)
          read_row(std::true_type());
        else
          read_row(std::false_type());
      }
      vectors([&](float* to, int64_t c, int count) __attribute__((always_inline)) {
        const Vector base = load_some(own.base + c, count);
        store(to + splines * WIDE, base);
        if (!value) return;
        float* last = to + (splines + 1) * WIDE;
        store(last, value[K + 1] * base + scale(c, count) * load(last));
      });
    }
  }

 private:
  float* at(int64_t number, int64_t input) const {
    return room.get() + number * tile + input * rows;
  }

  const int64_t splines, rows, tile;
  const std::unique_ptr<float[]> room;
};

// Gradients by the rows of weights of a panel: [inputs, splines and base, columns].
class WeightGradients {
 public:
  WeightGradients(int64_t splines, int64_t outputs, int64_t wide)
      : splines(splines),
        outputs(outputs),
        columns(std::min(std::max(COLUMNS, wide), (outputs + wide - 1) / wide * wide)),
        room(new float[GROUP * (splines + 1) * columns]),
        scales(new float[columns]) {}

  // Takes a vector of an input's row m, whose column is counted from the panel's first.
  INLINE_MEMBER void add(int64_t input, int64_t m, int64_t column, Vector v, bool first) {
    float* at = room.get() + (input * (splines + 1) + m) * columns + column;
    store(at, first ? v : v + load(at));
  }

  // Gives those by the parameters, `edges` from the panel's first input and column on, in the order
  // in which they lie in memory: `sink(field, at, v, count)` takes `count` numbers.
  template <class F>
  INLINE_MEMBER void give(const Edges& edges, int64_t inputs, int64_t width, F sink) const {
    for (int64_t j = 0; j < inputs; j++) {
      const float* rows = room.get() + j * (splines + 1) * columns;
      const Edges own = edges.of(j, splines, outputs, 0);
      auto vectors = [&](auto f) __attribute__((always_inline)) {
        for (int64_t c = 0; c < width; c += LANES) f(c, (int)std::min<int64_t>(LANES, width - c));
      };
      for (int64_t m = 0; m < splines; m++)
        vectors([&](int64_t c, int count) __attribute__((always_inline)) {
          Vector v = load(rows + m * columns + c);
          if (own.scale) {
            Vector sum = m > 0 ? load(scales.get() + c) : Vector{};
            sum += load_some(own.coefficients + m * outputs + c, count) * v;
            store(scales.get() + c, sum);
            v = load_some(own.scale + c, count) * v;
          }
          sink(&Edges::coefficients, (j * splines + m) * outputs + c, v, count);
        });
      vectors([&](int64_t c, int count) __attribute__((always_inline)) {
        sink(&Edges::base, j * outputs + c, load(rows + splines * columns + c), count);
        if (own.scale) sink(&Edges::scale, j * outputs + c, load(scales.get() + c), count);
      });
    }
  }

 private:
  const int64_t splines, outputs, columns;
  const std::unique_ptr<float[]> room, scales;  // and sums of the gradient by the scale
};

}  // namespace
