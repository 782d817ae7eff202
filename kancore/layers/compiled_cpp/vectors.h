// Vectors of floats, as wide as the compiler flags allow: GCC's and Clang's own vector types, and
// intrinsics for the few operations that they have no words for.
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

#if defined(__x86_64__)
#include <immintrin.h>
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

// While it is there, this thread takes subnormal numbers, below 1.2e-38, for zero: processors need a
// hundred times as long for one, and where activations saturate gradients are full of them.
class FlushSubnormals {
#if defined(__x86_64__)
  const unsigned before = _mm_getcsr();

 public:
  FlushSubnormals() { _mm_setcsr(before | 0x8040); }
  ~FlushSubnormals() { _mm_setcsr(before); }
#elif defined(__aarch64__)
  uint64_t before;

 public:
  FlushSubnormals() {
    asm volatile("mrs %0, fpcr" : "=r"(before));
    asm volatile("msr fpcr, %0" : : "r"(before | 1 << 24));
  }
  ~FlushSubnormals() { asm volatile("msr fpcr, %0" : : "r"(before)); }
#else
 public:
  FlushSubnormals() {}
#endif
};

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
#elif defined(__AVX2__)
  if (count == LANES) return load(p);
  static const int32_t mask[2 * LANES] = {-1, -1, -1, -1, -1, -1, -1, -1};
  const auto first = reinterpret_cast<const __m256i*>(mask + LANES - count);
  return (Vector)_mm256_maskload_ps(p, _mm256_loadu_si256(first));
#else
  float buffer[LANES] = {};
  for (int i = 0; i < count; i++) buffer[i] = p[i];
  return load(buffer);
#endif
}

INLINE void store_some(float* p, Vector v, int count) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << count) - 1), (__m512)v);
#elif defined(__AVX2__)
  if (count == LANES) return store(p, v);
  // Parts of 4, 2 and 1: masked stores are slow on some processors.
  __m128 part = _mm256_castps256_ps128((__m256)v);
  if (count & 4) {
    _mm_storeu_ps(p, part);
    part = _mm256_extractf128_ps((__m256)v, 1);
    p += 4;
  }
  if (count & 2) {
    _mm_storel_pi(reinterpret_cast<__m64*>(p), part);
    part = _mm_movehl_ps(part, part);
    p += 2;
  }
  if (count & 1) _mm_store_ss(p, part);
#else
  for (int i = 0; i < count; i++) p[i] = v[i];
#endif
}

// Writes whole vectors past the caches, to where a vector may begin; `streamed` ends that for others.
INLINE void stream(float* p, Vector v) {
#if defined(__AVX512F__)
  _mm512_stream_ps(p, (__m512)v);
#elif defined(__AVX2__)
  _mm256_stream_ps(p, (__m256)v);
#else
  store(p, v);
#endif
}
INLINE void streamed() {
#if defined(__AVX512F__) || defined(__AVX2__)
  _mm_sfence();
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
#elif defined(__AVX2__)
  __m128 s = _mm_add_ps(_mm256_castps256_ps128((__m256)v), _mm256_extractf128_ps((__m256)v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
#else
  float buffer[LANES];
  store(buffer, v);
  for (int width = LANES / 2; width; width /= 2)
    for (int i = 0; i < width; i++) buffer[i] += buffer[i + width];
  return buffer[0];
#endif
}

// Numbers rounded up to whole vectors.
INLINE int64_t padded(int64_t numbers) { return (numbers + LANES - 1) / LANES * LANES; }

// Calls f with the number of vectors that hold so many numbers, at most MOST, as a constant.
template <int MOST, class F>
INLINE void with_vectors(int64_t numbers, F f) {
  switch (padded(numbers) / LANES) {
    case 1: return f(std::integral_constant<int, 1>());
    case 2: if constexpr (MOST >= 2) return f(std::integral_constant<int, 2>()); break;
    case 3: if constexpr (MOST >= 3) return f(std::integral_constant<int, 3>()); break;
    case 4: if constexpr (MOST >= 4) return f(std::integral_constant<int, 4>()); break;
  }
}

}  // namespace
