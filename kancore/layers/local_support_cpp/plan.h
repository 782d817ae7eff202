// From inputs to a plan: splines at each input, and examples sorted by the interval they lie in.
#pragma once

#include <cstring>
#include <limits>
#include <vector>

#include "layout.h"

namespace {

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

// The activation v at x, with its limits where x is minus or plus infinity.
INLINE Vector limited(Vector x, Vector v, const float* limits) {
  const float most = std::numeric_limits<float>::max();
  v = x < -most ? fill(limits[0]) : v;
  return x > most ? fill(limits[1]) : v;
}

// One cell from columns of its examples, of which it keeps those that are not background.
template <int K, bool SLOPES>
void plan_cell(const Plan& p, float* x, float* activation, float* slope, const float* limits,
               float low, float per_interval, int64_t cell, int64_t input, int64_t examples) {
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
    const Vector here = load(x + e);
    Integers at = evaluate<K, SLOPES>(here, low, per_interval, G, v, s);
    std::memcpy(span + e, &at, sizeof at);
    UNROLL for (int r = 0; r <= K; r++) store(values + r * room + e, v[r]);
    store(values + (K + 1) * room + e, limited(here, load(activation + e), limits));
    if (SLOPES) {
      UNROLL for (int r = 0; r <= K; r++) store(slopes + r * room + e, s[r]);
      store(slopes + (K + 1) * room + e, load(slope + e));
    }
  }
  uint32_t* const order = p.order + p.offsets[cell];
  sort(span, who, count, G + 1, p.spans + cell * (G + 2), order);
  std::fill(order + count, order + room, 0u);
}

template <int K, bool SLOPES>
void plan_cells(const Plan& p, const float* x, const float* activation, const float* slope,
                const float* limits, float low, float per_interval, int threads) {
  const int64_t blocks = blocks_of(p), groups = (p.inputs + LANES - 1) / LANES;
#pragma omp parallel num_threads(threads)
  {
    const FlushSubnormals flush;
#pragma omp for collapse(3) schedule(static)
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
                                 limits, low, per_interval,
                                 (network * blocks + block) * p.inputs + input + i, input + i, examples);
        }
  }
}

template <int K>
void plan_all(const Plan& p, const float* x, const float* activation, const float* slope,
              const float* background_activation, const float* limits, float low,
              float per_interval, int threads) {
  if (slope)
    plan_cells<K, true>(p, x, activation, slope, limits, low, per_interval, threads);
  else
    plan_cells<K, false>(p, x, activation, slope, limits, low, per_interval, threads);
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

// Divides memory into the arrays of a plan, or counts its bytes if there is none; what lies between
// arrays is cleared in memory that is `fresh`.
struct Memory {
  char* at;
  bool fresh;
  int64_t bytes = 0;
  template <class T>
  void take(T*& array, int64_t length) {
    if (at) array = reinterpret_cast<T*>(at + bytes);
    const int64_t end = bytes + length * (int64_t)sizeof(T);
    bytes = (end + 63) / 64 * 64;
    if (fresh) std::fill(at + end, at + bytes, 0);
  }
};

// Finds where the arrays of a plan lie. Gives the bytes that they need: enough for all entries,
// background or not.
int64_t divide(Plan& p, bool fresh) {
  const int64_t blocks = blocks_of(p), cells = p.networks * blocks * p.inputs;
  int64_t entries = 0;
  for (int64_t block = 0; block < blocks; block++)
    entries += p.networks * p.inputs * padded(examples_of(p, block));
  Memory memory{p.memory, fresh};
  memory.take(p.offsets, cells + 1);
  memory.take(p.spans, cells * (p.grid_size + 2));
  memory.take(p.order, entries);
  memory.take(p.values, entries * (p.degree + 2));
  if (p.has_slopes) memory.take(p.slopes, entries * (p.degree + 2));
  if (p.has_background) {
    memory.take(p.background, p.inputs);
    memory.take(p.background_values, p.inputs * (p.degree + 2));
    memory.take(p.background_spans, p.inputs);
  }
  return memory.bytes;
}

Plan plan_in(const Planned& planned, bool fresh = false) {
  Plan plan{planned};
  divide(plan, fresh);
  return plan;
}

}  // namespace
