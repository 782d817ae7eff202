// Activations of linear layers and their slopes: one exponential and one division for both.
#pragma once

#include "../compiled_cpp/vectors.h"

namespace {

// e^x to about the last digit. Beyond what single precision holds it ends at its limits.
INLINE Vector exponential(Vector x) {
  const Vector least = fill(-87.f), most = fill(88.f);
  x = x < least ? least : x;
  x = x > most ? most : x;
  // x = n ln 2 + r with |r| <= ln 2 / 2. Added to this number, n is rounded and ends up in its bits.
  const float shift = 12582912.f;
  const Vector shifted = 1.44269504f * x + shift, n = shifted - shift;
  const Vector r = x - 0.693359375f * n + 2.12194440e-4f * n;
  Vector p = fill(1 / 720.f);  // Taylor's series
  p = p * r + 1 / 120.f;
  p = p * r + 1 / 24.f;
  p = p * r + 1 / 6.f;
  p = p * r + 0.5f;
  p = p * r + 1.f;
  p = p * r + 1.f;
  return p * (Vector)(((Integers)shifted << 23) + (127 << 23));  // times 2^n
}

// Where functions have reached their limits: there an infinite number times 0 would be none.
constexpr float FAR = 1e4f;
INLINE Vector from_below(Vector x) { return x < -FAR ? fill(-FAR) : x; }
INLINE Vector from_above(Vector x) { return x > FAR ? fill(FAR) : x; }

// x / (1 + e^-x).
struct Silu {
  INLINE_MEMBER static void at(Vector x, Vector* value, Vector* slope) {
    x = from_below(x);
    const Vector e = exponential(-x), s = 1.f / (1.f + e);
    *value = x * s;
    *slope = s + from_above(x) * s * (e * s);
  }
};

// x times the normal distribution at x.
struct Gelu {
  INLINE_MEMBER static void at(Vector x, Vector* value, Vector* slope) {
    // What the distribution has beyond |x|, as t e^(-x^2 / 2) times a polynomial in t, which was
    // fitted with a relative error of at most 1.3e-7.
    x = from_below(x);
    const Vector size = x < 0.f ? -x : x;
    const Vector e = exponential(-0.5f * x * x), t = 1.f / (1.f + 0.282842712f * size);
    Vector p = fill(0.0251314621f);
    p = p * t - 0.0914522633f;
    p = p * t + 0.0845450833f;
    p = p * t - 0.00280566933f;
    p = p * t + 0.0707165673f;
    p = p * t + 0.0842707828f;
    p = p * t + 0.103921376f;
    p = p * t + 0.112834796f;
    p = p * t + 0.112837933f;
    const Vector beyond = p * t * e, below = x < 0.f ? beyond : 1.f - beyond;
    *value = x * below;
    *slope = below + 0.398942280f * from_above(x) * e;
  }
};

// x itself.
struct Identity {
  INLINE_MEMBER static void at(Vector x, Vector* value, Vector*) { *value = x; }
};

// Writes the values of a function at x, [rows, columns] with rows `x_pitch` apart, to `y`, and its
// slopes there to `slopes`, unless that is null; their rows are `pitch` apart. STREAM: past the caches.
template <class F, bool STREAM>
void activate(const float* x, int64_t x_pitch, float* y, float* slopes, int64_t pitch, int64_t rows,
              int64_t columns) {
  auto write = [](float* p, Vector v, int count) __attribute__((always_inline)) {
    if (STREAM)
      stream(p, v);
    else
      store_some(p, v, count);
  };
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < columns; c += LANES) {
      const int count = columns - c < LANES ? (int)(columns - c) : LANES;
      Vector value, slope;
      F::at(load_some(x + r * x_pitch + c, count), &value, &slope);
      write(y + r * pitch + c, value, count);
      if (slopes) write(slopes + r * pitch + c, slope, count);
    }
}

}  // namespace
