// Sixteen floats, computed with in step: the only floating-point vocabulary of the engine.
//
// A kernel file includes this after it has chosen EDGE_PHI_LANES: 512 (AVX-512), 256 (AVX2, FMA, F16C), 128 (NEON) or
// 0 (portable). Lanes are one register, two, four, or sixteen floats, and do the same everywhere: multiplications and
// additions are fused only where fma() says so, and sums across lanes are taken in one order. Hence equal bits.
// Everything has internal linkage, so that no file gets another's instructions.
#pragma once

#include "kernels.h"

namespace edge_phi {
namespace {

constexpr int kLanes = 16;

// What differs: one register. larger and smaller give b where a is not a number; up_to gives a in the lanes i with
// first + i <= last and b in the others; power_of_two takes whole n of -126..127; store_int8 stores the nearest whole
// numbers of -127..127, ties to even, and returns their sum.
namespace one {
#if EDGE_PHI_LANES == 512

using Register = __m512;
inline Register load(const float *p) { return _mm512_loadu_ps(p); }
inline void store(float *p, Register a) { _mm512_storeu_ps(p, a); }
inline Register splat(float x) { return _mm512_set1_ps(x); }
inline Register load_half(const uint16_t *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)); }
inline Register load_int8(const int8_t *p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}
inline void store_half(uint16_t *p, Register a) { _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph(a, 0)); }
inline Register fma(Register a, Register b, Register c) { return _mm512_fmadd_ps(a, b, c); }
inline Register larger(Register a, Register b) { return _mm512_max_ps(a, b); }
inline Register smaller(Register a, Register b) { return _mm512_min_ps(a, b); }
inline Register absolute(Register a) { return _mm512_abs_ps(a); }
inline Register up_to(int first, int last, Register a, Register b) {
  const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  return _mm512_mask_blend_ps(_mm512_cmple_epi32_mask(lane, _mm512_set1_epi32(last - first)), b, a);
}
inline Register power_of_two(Register n) {
  __m512i bits = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
  return _mm512_castsi512_ps(_mm512_slli_epi32(bits, 23));
}
inline int store_int8(int8_t *p, Register a) {
  __m512i whole = _mm512_cvtps_epi32(a);
  _mm_storeu_si128((__m128i *)p, _mm512_cvtsepi32_epi8(whole));
  return _mm512_reduce_add_epi32(whole);
}

#elif EDGE_PHI_LANES == 256

using Register = __m256;
inline Register load(const float *p) { return _mm256_loadu_ps(p); }
inline void store(float *p, Register a) { _mm256_storeu_ps(p, a); }
inline Register splat(float x) { return _mm256_set1_ps(x); }
inline Register load_half(const uint16_t *p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)); }
inline Register load_int8(const int8_t *p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}
inline void store_half(uint16_t *p, Register a) { _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(a, 0)); }
inline Register fma(Register a, Register b, Register c) { return _mm256_fmadd_ps(a, b, c); }
inline Register larger(Register a, Register b) { return _mm256_max_ps(a, b); }
inline Register smaller(Register a, Register b) { return _mm256_min_ps(a, b); }
inline Register absolute(Register a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
inline Register up_to(int first, int last, Register a, Register b) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  __m256i past = _mm256_cmpgt_epi32(lane, _mm256_set1_epi32(last - first));
  return _mm256_blendv_ps(a, b, _mm256_castsi256_ps(past));
}
inline Register power_of_two(Register n) {
  __m256i bits = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
  return _mm256_castsi256_ps(_mm256_slli_epi32(bits, 23));
}
inline int store_int8(int8_t *p, Register a) {
  __m256i whole = _mm256_cvtps_epi32(a);
  __m128i low = _mm256_castsi256_si128(whole), high = _mm256_extracti128_si256(whole, 1);
  __m128i words = _mm_packs_epi32(low, high), sum = _mm_add_epi32(low, high);
  _mm_storel_epi64((__m128i *)p, _mm_packs_epi16(words, words));
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1)));
}

#elif EDGE_PHI_LANES == 128

using Register = float32x4_t;
inline Register load(const float *p) { return vld1q_f32(p); }
inline void store(float *p, Register a) { vst1q_f32(p, a); }
inline Register splat(float x) { return vdupq_n_f32(x); }
inline Register load_half(const uint16_t *p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }
inline Register load_int8(const int8_t *p) {
  int32_t four;
  std::memcpy(&four, p, 4);
  return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four))))));
}
inline void store_half(uint16_t *p, Register a) { vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(a))); }
inline Register fma(Register a, Register b, Register c) { return vfmaq_f32(c, a, b); }
inline Register larger(Register a, Register b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
inline Register smaller(Register a, Register b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
inline Register absolute(Register a) { return vabsq_f32(a); }
inline Register up_to(int first, int last, Register a, Register b) {
  static const int32_t lane[4] = {0, 1, 2, 3};
  return vbslq_f32(vcleq_s32(vld1q_s32(lane), vdupq_n_s32(last - first)), a, b);
}
inline Register power_of_two(Register n) {
  return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127)), 23));
}
inline int store_int8(int8_t *p, Register a) {
  int32x4_t whole = vcvtnq_s32_f32(a);
  int16x4_t words = vqmovn_s32(whole);
  int8x8_t bytes = vqmovn_s16(vcombine_s16(words, words));
  std::memcpy(p, &bytes, 4);
  return vaddvq_s32(whole);
}

#else

inline float half_to_float(uint16_t half) {
  uint32_t sign = uint32_t(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 1023, bits;
  if (exponent == 31) {
    bits = sign | 0x7f800000 | fraction << 13;
  } else if (exponent) {
    bits = sign | (exponent + 112) << 23 | fraction << 13;
  } else {
    float value = float(fraction) * 5.9604645e-8f;  // 2^-24, exact
    std::memcpy(&bits, &value, 4);
    bits |= sign;
  }
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

// To the nearest, ties to even.
inline uint16_t float_to_half(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return uint16_t(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
  if (magnitude >= 0x477ff000) return uint16_t(sign | 0x7c00);  // 65520 and more round to infinity
  if (magnitude < 0x38800000) {  // below 2^-14: a multiple of 2^-24, which adding 0.5 rounds to
    float absolute;
    std::memcpy(&absolute, &magnitude, 4);
    absolute += 0.5f;
    std::memcpy(&magnitude, &absolute, 4);
    return uint16_t(sign | (magnitude - 0x3f000000));
  }
  magnitude += 0xfff + (magnitude >> 13 & 1);
  return uint16_t(sign | ((magnitude - 0x38000000) >> 13));
}

using Register = float;
inline Register load(const float *p) { return *p; }
inline void store(float *p, Register a) { *p = a; }
inline Register splat(float x) { return x; }
inline Register load_half(const uint16_t *p) { return half_to_float(*p); }
inline Register load_int8(const int8_t *p) { return *p; }
inline void store_half(uint16_t *p, Register a) { *p = float_to_half(a); }
inline Register fma(Register a, Register b, Register c) { return std::fma(a, b, c); }
inline Register larger(Register a, Register b) { return a > b ? a : b; }
inline Register smaller(Register a, Register b) { return a < b ? a : b; }
inline Register absolute(Register a) { return std::fabs(a); }
inline Register up_to(int first, int last, Register a, Register b) { return first <= last ? a : b; }
inline Register power_of_two(Register n) {
  uint32_t bits = uint32_t(int(n) + 127) << 23;
  std::memcpy(&n, &bits, 4);
  return n;
}
inline int store_int8(int8_t *p, Register a) {
  return *p = int8_t(std::nearbyint(a));
}

#endif
}  // namespace one

constexpr int kWidth = sizeof(one::Register) / sizeof(float);  // lanes of a register

struct Lanes {
  one::Register v[kLanes / kWidth];
};

template <class Operation>
inline Lanes each(Operation operation) {
  Lanes result;
#pragma GCC unroll 16
  for (int i = 0; i < kLanes / kWidth; i++) result.v[i] = operation(i);
  return result;
}

inline Lanes load(const float *p) { return each([=](int i) { return one::load(p + i * kWidth); }); }
inline Lanes splat(float x) { return each([=](int) { return one::splat(x); }); }
inline Lanes load(const uint16_t *p) { return each([=](int i) { return one::load_half(p + i * kWidth); }); }
inline Lanes load(const int8_t *p) { return each([=](int i) { return one::load_int8(p + i * kWidth); }); }
inline Lanes operator+(const Lanes &a, const Lanes &b) { return each([&](int i) { return a.v[i] + b.v[i]; }); }
inline Lanes operator-(const Lanes &a, const Lanes &b) { return each([&](int i) { return a.v[i] - b.v[i]; }); }
inline Lanes operator*(const Lanes &a, const Lanes &b) { return each([&](int i) { return a.v[i] * b.v[i]; }); }
inline Lanes operator/(const Lanes &a, const Lanes &b) { return each([&](int i) { return a.v[i] / b.v[i]; }); }
inline Lanes fma(const Lanes &a, const Lanes &b, const Lanes &c) {
  return each([&](int i) { return one::fma(a.v[i], b.v[i], c.v[i]); });
}
inline Lanes larger(const Lanes &a, const Lanes &b) { return each([&](int i) { return one::larger(a.v[i], b.v[i]); }); }
inline Lanes smaller(const Lanes &a, const Lanes &b) {
  return each([&](int i) { return one::smaller(a.v[i], b.v[i]); });
}
inline Lanes absolute(const Lanes &a) { return each([&](int i) { return one::absolute(a.v[i]); }); }
inline Lanes power_of_two(const Lanes &n) { return each([&](int i) { return one::power_of_two(n.v[i]); }); }
inline Lanes up_to(int first, int last, const Lanes &a, const Lanes &b) {
  return each([&](int i) { return one::up_to(first + i * kWidth, last, a.v[i], b.v[i]); });
}
inline void store(float *p, const Lanes &a) {
  for (int i = 0; i < kLanes / kWidth; i++) one::store(p + i * kWidth, a.v[i]);
}
inline void store_half(uint16_t *p, const Lanes &a) {
  for (int i = 0; i < kLanes / kWidth; i++) one::store_half(p + i * kWidth, a.v[i]);
}
inline int store_int8(int8_t *p, const Lanes &a) {
  int sum = 0;
  for (int i = 0; i < kLanes / kWidth; i++) sum += one::store_int8(p + i * kWidth, a.v[i]);
  return sum;
}

// Across the lanes, by halves.
template <class Operation>
inline float across(const Lanes &x, Operation operation) {
  float v[kLanes];
  store(v, x);
  for (int half = kLanes / 2; half; half /= 2)
    for (int i = 0; i < half; i++) v[i] = operation(v[i], v[i + half]);
  return v[0];
}
inline float sum(const Lanes &x) {
  return across(x, [](float a, float b) { return a + b; });
}
inline float largest(const Lanes &x) {
  return across(x, [](float a, float b) { return a > b ? a : b; });
}

}  // namespace
}  // namespace edge_phi
