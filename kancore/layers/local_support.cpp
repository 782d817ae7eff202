// Products of Kolmogorov-Arnold layers that touch only the k + 1 B-splines that are not zero.
//
// A dense product of a layer multiplies all G + k + 1 functions of an input with their weights,
// of which k + 2 matter: the splines around it and the base activation. Here the examples of a
// batch are sorted, input by input, by the interval of the grid that they lie in (a plan). For one
// interval the same k + 2 rows of weights serve all its examples and stay in registers.
//
// Inputs that equal a background value (the black of an image, the absence of a word) can be left
// out of the plan: they contribute one row for each input, whatever the example.
//
// Compiled once for each width of vectors, by compiler flags alone; kancore.layers.local_support
// chooses at run time. Results do not depend on the number of threads.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif
#ifdef _OPENMP
#include <omp.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int LANES = 16, REGISTERS = 32;
#elif defined(__AVX2__)
constexpr int LANES = 8, REGISTERS = 16;
#else
constexpr int LANES = 4, REGISTERS = 16;
#endif

typedef float Vector __attribute__((vector_size(LANES * 4)));
typedef int32_t Integers __attribute__((vector_size(LANES * 4)));
typedef float Unaligned __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

#define UNROLL _Pragma("GCC unroll 32")
#define INLINE static INLINE_MEMBER
#define INLINE_MEMBER inline __attribute__((always_inline))

INLINE Vector load(const float* p) { return *reinterpret_cast<const Unaligned*>(p); }
INLINE void store(float* p, Vector v) { *reinterpret_cast<Unaligned*>(p) = v; }
INLINE Vector fill(float a) { return Vector{} + a; }

// The first `count` floats, and zeros.
INLINE Vector load_some(const float* p, int count) {
#if defined(__AVX512F__)
  return (Vector)_mm512_maskz_loadu_ps((__mmask16)((1u << count) - 1), p);
#else
  if (count == LANES) return load(p);
  float buffer[LANES] = {};
  for (int i = 0; i < count; i++) buffer[i] = p[i];
  return load(buffer);
#endif
}

INLINE void store_some(float* p, Vector v, int count) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << count) - 1), (__m512)v);
#else
  if (count == LANES) return store(p, v);
  for (int i = 0; i < count; i++) p[i] = v[i];
#endif
}

INLINE Vector root(Vector v) {
#if defined(__AVX512F__)
  return (Vector)_mm512_sqrt_ps((__m512)v);
#elif defined(__AVX2__)
  return (Vector)_mm256_sqrt_ps((__m256)v);
#else
  for (int i = 0; i < LANES; i++) v[i] = std::sqrt(v[i]);
  return v;
#endif
}

INLINE float sum(Vector v) {
#if defined(__AVX512F__)
  return _mm512_reduce_add_ps((__m512)v);
#else
  float buffer[LANES];
  store(buffer, v);
  for (int width = LANES / 2; width; width /= 2)
    for (int i = 0; i < width; i++) buffer[i] += buffer[i + width];
  return buffer[0];
#endif
}

// Examples are planned in blocks, so that a block's rows of outputs stay in the nearest cache.
constexpr int64_t BLOCK = 256;
// Inputs that are done for one tile of outputs before the next tile.
constexpr int64_t GROUP = 32;

// Vectors of outputs that a pass keeps in registers: k + 2 rows of weights, and one of results.
constexpr int widest(int degree) {
  return std::max(1, std::min(4, (REGISTERS - 4) / (degree + 3)));
}
// Fewer for the weights' gradient, which keeps the background's share beside them.
constexpr int widest_gradient(int degree) { return std::min(2, widest(degree)); }

}  // namespace

// The first five fields are mirrored by local_support.py; the others point into memory that it
// gives. A cell is one input of one block of one network's batch, number (network * blocks + block)
// * inputs + input; the networks of a stack share one plan where `networks` is 1.
struct Plan {
  int64_t networks, batch, inputs, grid_size, degree;
  int64_t* offsets;  // [cells + 1] where a cell's entries begin; padded to whole vectors
  float* values;     // cell: [k + 2, padded entries]: k + 1 splines, then the activation
  float* slopes;     // the same for their derivatives by the input, or null
  uint32_t* order;   // cell: [padded entries]: example of the block << 16 | entry, span by span
  uint16_t* spans;   // [cells, G + 2] where each interval's part of `order` begins, then where
                     // that of inputs beyond the extended grid does, whose splines are all zero
  const float* background;    // [inputs] the values left out, or null
  float* background_values;   // [inputs, k + 2] what they give
  int32_t* background_spans;  // [inputs] the interval they lie in
};

// The parameters of all edges, or what belongs to them: gradients, an optimizer's buffers; mirrored
// by local_support.py. A row holds one number for each output. An input's row of weights of spline m
// is scale * coefficients[m]; where the scale is folded into the coefficients, `scale` is null.
struct Edges {
  float* coefficients;  // [networks, inputs, G + k, outputs]
  float* base;          // [networks, inputs, outputs]
  float* scale;         // [networks, inputs, outputs], or null

  // Those of one input, counted through all networks, from one output on.
  Edges of(int64_t input, int64_t splines, int64_t outputs, int64_t output) const {
    const int64_t row = input * outputs + output;
    return {coefficients ? coefficients + input * splines * outputs + output : nullptr,
            base ? base + row : nullptr, scale ? scale + row : nullptr};
  }
};

// How one network's parameters are updated; mirrored by local_support.py.
struct Update {
  int32_t optimizer;  // 0: SGD, 1: Nesterov's momentum, 2: AdamW
  float rate, momentum, second_momentum, epsilon, decay;
  Edges first, second;  // the optimizer's buffers, of this network alone
};

namespace {

INLINE int64_t blocks_of(const Plan& p) { return (p.batch + BLOCK - 1) / BLOCK; }
INLINE int64_t examples_of(const Plan& p, int64_t block) {
  return std::min(BLOCK, p.batch - block * BLOCK);
}
INLINE int64_t padded(int64_t entries) { return (entries + LANES - 1) / LANES * LANES; }

// The k + 1 splines on an interval at the fraction f of it, and their slopes by f: the recursion
// of Cox and de Boor, on uniform knots.
template <int K>
INLINE void splines(Vector f, Vector* value, Vector* slope) {
  value[0] = fill(1.f);
  Vector lower[K + 1] = {};
  UNROLL for (int d = 1; d <= K; d++) {
    if (d == K) UNROLL for (int r = 0; r < K; r++) lower[r] = value[r];
    Vector saved = {};
    UNROLL for (int r = 0; r < d; r++) {
      Vector part = value[r] * (1.f / d);
      value[r] = ((float)(r + 1) - f) * part + saved;
      saved = (f + (float)(d - 1 - r)) * part;
    }
    value[d] = saved;
  }
  UNROLL for (int r = 0; r <= K; r++)
    slope[r] = (r > 0 ? lower[r - 1] : Vector{}) - (r < K ? lower[r] : Vector{});
}

// Splines at x: the interval of the grid whose rows of weights they meet, and their values. Beyond
// the grid that is its first or last interval, with those splines that still reach x; beyond the
// extended grid none does, and the interval is number G.
template <int K, bool SLOPES>
INLINE Integers evaluate(Vector x, float low, float per_interval, int grid_size, Vector* value,
                         Vector* slope) {
  Vector t = (x - low) * per_interval;
  const Vector least = fill(-(float)(K + 1)), most = fill((float)(grid_size + K));
  t = t > least ? t : least;
  t = t < most ? t : most;
  Integers interval = __builtin_convertvector(t, Integers);
  Vector start = __builtin_convertvector(interval, Vector);
  interval += (Integers)(start > t);  // true is -1: rounds down
  Vector v[K + 1], s[K + 1];
  splines<K>(t - __builtin_convertvector(interval, Vector), v, s);
  const Integers first = Integers{}, last = Integers{} + (grid_size - 1);
  Integers span = interval > first ? interval : first;
  span = span < last ? span : last;
  Integers shift = interval - span;
  UNROLL for (int r = 0; r <= K; r++) {
    value[r] = slope[r] = Vector{};
    UNROLL for (int q = 0; q <= K; q++) {
      Integers here = shift == (r - q);
      value[r] = here ? v[q] : value[r];
      if (SLOPES) slope[r] = here ? s[q] : slope[r];
    }
    if (SLOPES) slope[r] *= per_interval;
  }
  const Integers beyond = (interval < -K) | (interval >= grid_size + K);
  return beyond ? Integers{} + grid_size : span;
}

// Columns of a block of inputs: for LANES inputs, the examples of each side by side.
struct Columns {
  float of[LANES][BLOCK];

  // rows: [examples, ...], `stride` apart; `some` of the inputs are there.
  void fill(const float* rows, int64_t stride, int64_t examples, int some) {
    for (int64_t b = 0; b < examples; b += LANES) {
      Vector v[LANES];
      UNROLL for (int i = 0; i < LANES; i++)
        v[i] = b + i < examples ? load_some(rows + (b + i) * stride, some) : Vector{};
      transpose(v);
      UNROLL for (int i = 0; i < LANES; i++) store(of[i] + b, v[i]);
    }
  }

  // Exchanges rows and columns of LANES vectors, bit by bit of their numbers.
  INLINE_MEMBER static void transpose(Vector* v) {
    UNROLL for (int bit = 1; bit < LANES; bit *= 2) {
      Integers low, high;
      UNROLL for (int lane = 0; lane < LANES; lane++) {
        low[lane] = lane & bit ? LANES + lane - bit : lane;
        high[lane] = lane & bit ? LANES + lane : lane + bit;
      }
      UNROLL for (int i = 0; i < LANES; i++) {
        if (i & bit) continue;
        Vector a = v[i], b = v[i | bit];
        v[i] = shuffle(a, b, low);
        v[i | bit] = shuffle(a, b, high);
      }
    }
  }

  INLINE_MEMBER static Vector shuffle(Vector a, Vector b, Integers from) {
#if defined(__clang__)
    Vector result;
    for (int i = 0; i < LANES; i++) result[i] = from[i] < LANES ? a[from[i]] : b[from[i] - LANES];
    return result;
#else
    return __builtin_shuffle(a, b, from);
#endif
  }
};

// Moves the examples whose input is not `background` to the front of all columns of one input;
// lists them in `who`. Gives their number.
INLINE int64_t collect(int64_t examples, float background, float* x, float* activation,
                       float* slope, uint32_t* who) {
  int64_t count = 0;
  for (int64_t b = 0; b < examples; b++) {
    const float value = x[b];
    x[count] = value;
    activation[count] = activation[b];
    if (slope) slope[count] = slope[b];
    who[count] = (uint32_t)b;
    count += value != background;
  }
  return count;
}

// Sorts a cell's entries by span: order[begins[g] .. begins[g + 1]] are those of span g.
INLINE void sort(const int32_t* span, const uint32_t* who, int64_t count, int spans,
                 uint16_t* begins, uint32_t* order) {
#if defined(__AVX512F__)
  uint32_t sorted[BLOCK + LANES];
  const __m512i lanes =
      _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  int64_t at = 0;
  for (int g = 0; g < spans; g++) {
    begins[g] = (uint16_t)at;
    for (int64_t e = 0; e < count; e += LANES) {
      const __m512i here = _mm512_loadu_si512(span + e);
      const __mmask16 valid = (__mmask16)(count - e < LANES ? (1u << (count - e)) - 1 : 0xffff);
      const __mmask16 mask = _mm512_mask_cmpeq_epi32_mask(valid, here, _mm512_set1_epi32(g));
      const __m512i entry = _mm512_add_epi32(lanes, _mm512_set1_epi32((int)e));
      const __m512i example = _mm512_slli_epi32(_mm512_loadu_si512(who + e), 16);
      const __m512i packed = _mm512_maskz_compress_epi32(mask, _mm512_or_si512(example, entry));
      _mm512_storeu_si512(sorted + at, packed);
      at += __builtin_popcount(mask);
    }
  }
  begins[spans] = (uint16_t)at;
  std::memcpy(order, sorted, sizeof(uint32_t) * count);
#else
  std::memset(begins, 0, sizeof(uint16_t) * (spans + 1));
  for (int64_t e = 0; e < count; e++) begins[span[e] + 1]++;
  for (int g = 0; g < spans; g++) begins[g + 1] += begins[g];
  std::vector<uint16_t> next(begins, begins + spans);
  for (int64_t e = 0; e < count; e++) order[next[span[e]]++] = who[e] << 16 | (uint32_t)e;
#endif
}

// One cell from columns of its examples, of which it keeps those that are not background.
template <int K, bool SLOPES>
void plan_cell(const Plan& p, float* x, float* activation, float* slope, float low,
               float per_interval, int64_t cell, int64_t input, int64_t examples) {
  constexpr int R = K + 2;
  const int G = (int)p.grid_size;
  uint32_t who[BLOCK + LANES];
  int32_t span[BLOCK];
  int64_t count = examples;
  if (p.background)
    count = collect(examples, p.background[input], x, activation, slope, who);
  else
    for (int64_t b = 0; b < examples; b++) who[b] = (uint32_t)b;
  const int64_t room = p.offsets[cell + 1] - p.offsets[cell];
  float* values = p.values + p.offsets[cell] * R;
  float* slopes = SLOPES ? p.slopes + p.offsets[cell] * R : nullptr;
  for (int64_t e = 0; e < room; e += LANES) {
    Vector v[K + 1], s[K + 1];
    Integers at = evaluate<K, SLOPES>(load(x + e), low, per_interval, G, v, s);
    std::memcpy(span + e, &at, sizeof at);
    UNROLL for (int r = 0; r <= K; r++) store(values + r * room + e, v[r]);
    store(values + (K + 1) * room + e, load(activation + e));
    if (SLOPES) {
      UNROLL for (int r = 0; r <= K; r++) store(slopes + r * room + e, s[r]);
      store(slopes + (K + 1) * room + e, load(slope + e));
    }
  }
  sort(span, who, count, G + 1, p.spans + cell * (G + 2), p.order + p.offsets[cell]);
}

template <int K, bool SLOPES>
void plan_cells(const Plan& p, const float* x, const float* activation, const float* slope,
                float low, float per_interval, int threads) {
  const int64_t blocks = blocks_of(p), groups = (p.inputs + LANES - 1) / LANES;
#pragma omp parallel for collapse(3) num_threads(threads) schedule(static)
  for (int64_t network = 0; network < p.networks; network++)
    for (int64_t block = 0; block < blocks; block++)
      for (int64_t group = 0; group < groups; group++) {
        const int64_t input = group * LANES, examples = examples_of(p, block);
        const int some = (int)std::min<int64_t>(LANES, p.inputs - input);
        const int64_t first = (network * p.batch + block * BLOCK) * p.inputs + input;
        Columns xs, activations, slopes;
        xs.fill(x + first, p.inputs, examples, some);
        activations.fill(activation + first, p.inputs, examples, some);
        if (SLOPES) slopes.fill(slope + first, p.inputs, examples, some);
        for (int i = 0; i < some; i++)
          plan_cell<K, SLOPES>(p, xs.of[i], activations.of[i], SLOPES ? slopes.of[i] : nullptr,
                               low, per_interval, (network * blocks + block) * p.inputs + input + i,
                               input + i, examples);
      }
}

template <int K>
void plan_all(const Plan& p, const float* x, const float* activation, const float* slope,
              const float* background_activation, float low, float per_interval, int threads) {
  if (slope)
    plan_cells<K, true>(p, x, activation, slope, low, per_interval, threads);
  else
    plan_cells<K, false>(p, x, activation, slope, low, per_interval, threads);
  for (int64_t j = 0; p.background && j < p.inputs; j++) {
    Vector v[K + 1], s[K + 1];
    Integers at =
        evaluate<K, false>(fill(p.background[j]), low, per_interval, (int)p.grid_size, v, s);
    p.background_spans[j] = std::min(at[0], (int)p.grid_size - 1);
    for (int r = 0; r <= K; r++) p.background_values[j * (K + 2) + r] = v[r][0];
    p.background_values[j * (K + 2) + K + 1] = background_activation[j];
  }
}

// Where the entries of each cell begin.
void fill_offsets(const Plan& p, const float* x) {
  const int64_t blocks = blocks_of(p);
  int64_t total = 0, cell = 0;
  std::vector<int64_t> counts(p.inputs);
  for (int64_t network = 0; network < p.networks; network++)
    for (int64_t block = 0; block < blocks; block++) {
      const int64_t examples = examples_of(p, block);
      std::fill(counts.begin(), counts.end(), p.background ? 0 : examples);
      const float* row = x + (network * p.batch + block * BLOCK) * p.inputs;
      for (int64_t b = 0; b < examples && p.background; b++, row += p.inputs)
        for (int64_t j = 0; j < p.inputs; j++) counts[j] += row[j] != p.background[j];
      for (int64_t j = 0; j < p.inputs; j++) {
        p.offsets[cell++] = total;
        total += padded(counts[j]);
      }
    }
  p.offsets[cell] = total;
}

// Divides memory into the arrays of a plan, or counts its bytes if there is none.
struct Memory {
  char* at;
  int64_t bytes = 0;
  template <class T>
  void take(T*& array, int64_t length) {
    if (at) array = reinterpret_cast<T*>(at + bytes);
    bytes += (length * (int64_t)sizeof(T) + 63) / 64 * 64;
  }
};

// Gives the bytes that a plan needs: enough for all entries, background or not.
int64_t divide(Plan& p, bool slopes, bool background, char* start) {
  const int64_t blocks = blocks_of(p), cells = p.networks * blocks * p.inputs;
  int64_t entries = 0;
  for (int64_t block = 0; block < blocks; block++)
    entries += p.networks * p.inputs * padded(examples_of(p, block));
  Memory memory{start};
  memory.take(p.offsets, cells + 1);
  memory.take(p.spans, cells * (p.grid_size + 2));
  memory.take(p.order, entries);
  memory.take(p.values, entries * (p.degree + 2));
  if (slopes) memory.take(p.slopes, entries * (p.degree + 2));
  if (background) memory.take(p.background_values, p.inputs * (p.degree + 2));
  if (background) memory.take(p.background_spans, p.inputs);
  return memory.bytes;
}

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

// The rows of weights of one input, for a tile of NV vectors of outputs, the last with `last`.
template <int NV>
struct Rows {
  const Edges edges;
  const int64_t outputs;
  const int last;
  Vector scale[NV];

  INLINE_MEMBER Rows(const Edges& edges, int64_t outputs, int last)
      : edges(edges), outputs(outputs), last(last) {
    UNROLL for (int n = 0; n < NV; n++)
      scale[n] = edges.scale ? load_row(edges.scale, n) : fill(1.f);
  }
  INLINE_MEMBER int count(int n) const { return n == NV - 1 ? last : LANES; }
  INLINE_MEMBER Vector load_row(const float* row, int n) const {
    return load_some(row + n * LANES, count(n));
  }
  INLINE_MEMBER Vector coefficient(int m, int n) const {
    return load_row(edges.coefficients + m * outputs, n);
  }
  INLINE_MEMBER Vector spline(int m, int n) const { return scale[n] * coefficient(m, n); }
  INLINE_MEMBER Vector base(int n) const { return load_row(edges.base, n); }
};

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

// Steps of an optimizer, on vectors of one network's weights.
struct Step {
  Update u;
  float first_correction, second_correction;
  Step(const Update& update, double steps) : u(update) {
    first_correction = (float)(update.rate / (1 - std::pow((double)u.momentum, steps)));
    second_correction = (float)(1 / std::sqrt(1 - std::pow((double)u.second_momentum, steps)));
  }

  template <int OPTIMIZER>
  INLINE_MEMBER void apply(float* weight, float* first, float* second, Vector g, int count) const {
    Vector w = load_some(weight, count);
    if (OPTIMIZER < 2) g += u.decay * w;
    if (OPTIMIZER == 0) {
      w -= u.rate * g;
    } else if (OPTIMIZER == 1) {
      Vector m = u.momentum * load_some(first, count) + g;
      store_some(first, m, count);
      w -= u.rate * (u.momentum * m + g);
    } else {
      Vector m = u.momentum * load_some(first, count) + (1 - u.momentum) * g;
      Vector v = u.second_momentum * load_some(second, count) + (1 - u.second_momentum) * (g * g);
      store_some(first, m, count);
      store_some(second, v, count);
      w *= 1 - u.rate * u.decay;
      w -= first_correction * m / (root(v) * second_correction + u.epsilon);
    }
    store_some(weight, w, count);
  }
};

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

// Copies a tile of outputs [batch, outputs] into rows of whole vectors.
void gather(const float* from, int64_t outputs, const Tile& tile, int64_t examples, float* to) {
  const int64_t wide = padded(tile.width);
  for (int64_t b = 0; b < examples; b++) {
    std::memcpy(to + b * wide, from + b * outputs, sizeof(float) * tile.width);
    std::memset(to + b * wide + tile.width, 0, sizeof(float) * (wide - tile.width));
  }
}

// Calls f with the number of vectors of a tile as a constant.
template <int MOST, class F>
INLINE void with_vectors(int width, F f) {
  switch ((width + LANES - 1) / LANES) {
    case 1: return f(std::integral_constant<int, 1>());
    case 2: if constexpr (MOST >= 2) return f(std::integral_constant<int, 2>()); break;
    case 3: if constexpr (MOST >= 3) return f(std::integral_constant<int, 3>()); break;
    case 4: if constexpr (MOST >= 4) return f(std::integral_constant<int, 4>()); break;
  }
}

INLINE int last_of(int width) { return width - (width - 1) / LANES * LANES; }

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

#define FOR_DEGREE(call)          \
  switch (plan->degree) {         \
    case 1: call(1); break;       \
    case 2: call(2); break;       \
    case 3: call(3); break;       \
    case 4: call(4); break;       \
    case 5: call(5); break;       \
  }

extern "C" {

// Digest of this file, so that a library of another version is told.
const char* kancore_source() { return KANCORE_SOURCE; }

// Bytes of memory that a plan of this shape needs.
int64_t kancore_plan_size(const Plan* plan, int slopes, int background) {
  Plan shape = *plan;
  return divide(shape, slopes, background, nullptr);
}

// Makes the plan of inputs x, [networks, batch, inputs], in memory of that size. `slope`, the
// activation's derivative, and `background`, with its activation, may be null.
void kancore_plan(Plan* plan, char* memory, const float* x, const float* activation,
                  const float* slope, const float* background, const float* background_activation,
                  float low, float per_interval, int threads) {
  plan->background = background;
  divide(*plan, slope, background, memory);
  fill_offsets(*plan, x);
#define CALL(K)                                                                              \
  plan_all<K>(*plan, x, activation, slope, background_activation, low, per_interval, threads)
  FOR_DEGREE(CALL)
#undef CALL
}

void kancore_forward(const Plan* plan, const Edges* edges, int64_t stack, int64_t outputs,
                     float* y, int threads) {
#define CALL(K) forward_all<K>(*plan, *edges, stack, outputs, y, threads)
  FOR_DEGREE(CALL)
#undef CALL
}

// Writes the gradients by all parameters to `to`, from those by the outputs y.
void kancore_gradient(const Plan* plan, const float* y, const Edges* edges, int64_t stack,
                      int64_t outputs, const Edges* to, int threads) {
#define CALL(K) weight_all<K>(*plan, y, *edges, stack, outputs, to, nullptr, 0, threads)
  FOR_DEGREE(CALL)
#undef CALL
}

// Updates the parameters of each network, for the time number `steps`, in place of a gradient.
void kancore_update(const Plan* plan, const float* y, const Edges* edges, int64_t stack,
                    int64_t outputs, const Update* updates, double steps, int threads) {
#define CALL(K) weight_all<K>(*plan, y, *edges, stack, outputs, nullptr, updates, steps, threads)
  FOR_DEGREE(CALL)
#undef CALL
}

void kancore_input_gradient(const Plan* plan, const float* y, const Edges* edges, int64_t stack,
                            int64_t outputs, float* gradient, int threads) {
#define CALL(K) input_all<K>(*plan, y, *edges, stack, outputs, gradient, threads)
  FOR_DEGREE(CALL)
#undef CALL
}
}
