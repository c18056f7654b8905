// Sixteen floats, computed with in step: the only floating-point vocabulary of the engine.
//
// A kernel file includes this after it has chosen EDGE_PHI_LANES: 512 (AVX-512), 256 (AVX2, FMA, F16C), 128 (NEON) or
// 0 (portable). One register, two, four, or an array: the sixteen lanes do the same everywhere, multiplications and
// additions are fused only where fma() says so, and sums across lanes are taken in one order. Hence equal bits.
// Everything has internal linkage, so that no file gets another's instructions.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace edge_phi {
namespace {

constexpr int kLanes = 16;

#if EDGE_PHI_LANES == 512

struct Lanes {
  __m512 v;
};
inline Lanes load(const float *p) { return {_mm512_loadu_ps(p)}; }
inline void store(float *p, Lanes a) { _mm512_storeu_ps(p, a.v); }
inline Lanes splat(float x) { return {_mm512_set1_ps(x)}; }
inline Lanes load_half(const uint16_t *p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(p)))};
}
inline void store_half(uint16_t *p, Lanes a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i *>(p), _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT));
}
inline Lanes operator+(Lanes a, Lanes b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Lanes operator-(Lanes a, Lanes b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Lanes operator*(Lanes a, Lanes b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Lanes operator/(Lanes a, Lanes b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Lanes fma(Lanes a, Lanes b, Lanes c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
// b where a is not a number
inline Lanes larger(Lanes a, Lanes b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Lanes smaller(Lanes a, Lanes b) { return {_mm512_min_ps(a.v, b.v)}; }
inline Lanes absolute(Lanes a) { return {_mm512_abs_ps(a.v)}; }
// a in the lanes i with first + i <= last, b in the others
inline Lanes up_to(int first, int last, Lanes a, Lanes b) {
  int count = last - first + 1;
  __mmask16 mask = __mmask16(count >= 16 ? 0xffff : count <= 0 ? 0 : (1 << count) - 1);
  return {_mm512_mask_blend_ps(mask, b.v, a.v)};
}
// 2^n for whole n, -126..127
inline Lanes power_of_two(Lanes n) {
  __m512i bits = _mm512_add_epi32(_mm512_cvtps_epi32(n.v), _mm512_set1_epi32(127));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(bits, 23))};
}
// The nearest whole numbers, ties to even, as int8; returns their sum. |a| must be below 127.5.
inline int store_int8(int8_t *p, Lanes a) {
  __m512i whole = _mm512_cvtps_epi32(a.v);
  _mm_storeu_si128(reinterpret_cast<__m128i *>(p), _mm512_cvtsepi32_epi8(whole));
  return _mm512_reduce_add_epi32(whole);
}

#elif EDGE_PHI_LANES == 256

struct Lanes {
  __m256 a, b;
};
inline Lanes load(const float *p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline void store(float *p, Lanes x) {
  _mm256_storeu_ps(p, x.a);
  _mm256_storeu_ps(p + 8, x.b);
}
inline Lanes splat(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline Lanes load_half(const uint16_t *p) {
  const __m128i *q = reinterpret_cast<const __m128i *>(p);
  return {_mm256_cvtph_ps(_mm_loadu_si128(q)), _mm256_cvtph_ps(_mm_loadu_si128(q + 1))};
}
inline void store_half(uint16_t *p, Lanes x) {
  __m128i *q = reinterpret_cast<__m128i *>(p);
  _mm_storeu_si128(q, _mm256_cvtps_ph(x.a, _MM_FROUND_TO_NEAREST_INT));
  _mm_storeu_si128(q + 1, _mm256_cvtps_ph(x.b, _MM_FROUND_TO_NEAREST_INT));
}
inline Lanes operator+(Lanes x, Lanes y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
inline Lanes operator-(Lanes x, Lanes y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
inline Lanes operator*(Lanes x, Lanes y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
inline Lanes operator/(Lanes x, Lanes y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
inline Lanes fma(Lanes x, Lanes y, Lanes z) {
  return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
inline Lanes larger(Lanes x, Lanes y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
inline Lanes smaller(Lanes x, Lanes y) { return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
inline Lanes absolute(Lanes x) {
  __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, x.a), _mm256_andnot_ps(sign, x.b)};
}
inline Lanes up_to(int first, int last, Lanes x, Lanes y) {
  __m256i end = _mm256_set1_epi32(last - first + 1), lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  __m256i low = _mm256_cmpgt_epi32(end, lane);
  __m256i high = _mm256_cmpgt_epi32(end, _mm256_add_epi32(lane, _mm256_set1_epi32(8)));
  return {_mm256_blendv_ps(y.a, x.a, _mm256_castsi256_ps(low)),
          _mm256_blendv_ps(y.b, x.b, _mm256_castsi256_ps(high))};
}
inline __m256 power_of_two(__m256 n) {
  __m256i bits = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
  return _mm256_castsi256_ps(_mm256_slli_epi32(bits, 23));
}
inline Lanes power_of_two(Lanes n) { return {power_of_two(n.a), power_of_two(n.b)}; }
inline int store_int8(int8_t *p, Lanes x) {
  __m256i a = _mm256_cvtps_epi32(x.a), b = _mm256_cvtps_epi32(x.b);
  __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
  __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i *>(p), bytes);
  __m256i eight = _mm256_add_epi32(a, b);
  __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
  four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1));
  return _mm_cvtsi128_si32(four);
}

#elif EDGE_PHI_LANES == 128

struct Lanes {
  float32x4_t v[4];
};
template <class Operation>
inline Lanes each(Operation operation) {
  return {{operation(0), operation(1), operation(2), operation(3)}};
}
inline Lanes load(const float *p) { return each([=](int i) { return vld1q_f32(p + 4 * i); }); }
inline void store(float *p, Lanes x) {
  for (int i = 0; i < 4; i++) vst1q_f32(p + 4 * i, x.v[i]);
}
inline Lanes splat(float x) { return each([=](int) { return vdupq_n_f32(x); }); }
inline Lanes load_half(const uint16_t *p) {
  return each([=](int i) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * i))); });
}
inline void store_half(uint16_t *p, Lanes x) {
  for (int i = 0; i < 4; i++) vst1_u16(p + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(x.v[i])));
}
inline Lanes operator+(Lanes x, Lanes y) { return each([=](int i) { return vaddq_f32(x.v[i], y.v[i]); }); }
inline Lanes operator-(Lanes x, Lanes y) { return each([=](int i) { return vsubq_f32(x.v[i], y.v[i]); }); }
inline Lanes operator*(Lanes x, Lanes y) { return each([=](int i) { return vmulq_f32(x.v[i], y.v[i]); }); }
inline Lanes operator/(Lanes x, Lanes y) { return each([=](int i) { return vdivq_f32(x.v[i], y.v[i]); }); }
inline Lanes fma(Lanes x, Lanes y, Lanes z) { return each([=](int i) { return vfmaq_f32(z.v[i], x.v[i], y.v[i]); }); }
inline Lanes larger(Lanes x, Lanes y) {
  return each([=](int i) { return vbslq_f32(vcgtq_f32(x.v[i], y.v[i]), x.v[i], y.v[i]); });
}
inline Lanes smaller(Lanes x, Lanes y) {
  return each([=](int i) { return vbslq_f32(vcltq_f32(x.v[i], y.v[i]), x.v[i], y.v[i]); });
}
inline Lanes absolute(Lanes x) { return each([=](int i) { return vabsq_f32(x.v[i]); }); }
inline Lanes up_to(int first, int last, Lanes x, Lanes y) {
  static const int32_t lane[4] = {0, 1, 2, 3};
  int32x4_t index = vld1q_s32(lane);
  return each([=](int i) {
    uint32x4_t mask = vcleq_s32(vaddq_s32(index, vdupq_n_s32(first + 4 * i)), vdupq_n_s32(last));
    return vbslq_f32(mask, x.v[i], y.v[i]);
  });
}
inline Lanes power_of_two(Lanes n) {
  return each([=](int i) {
    int32x4_t bits = vaddq_s32(vcvtnq_s32_f32(n.v[i]), vdupq_n_s32(127));
    return vreinterpretq_f32_s32(vshlq_n_s32(bits, 23));
  });
}
inline int store_int8(int8_t *p, Lanes x) {
  int32x4_t w[4];
  for (int i = 0; i < 4; i++) w[i] = vcvtnq_s32_f32(x.v[i]);
  int16x8_t a = vcombine_s16(vqmovn_s32(w[0]), vqmovn_s32(w[1])), b = vcombine_s16(vqmovn_s32(w[2]), vqmovn_s32(w[3]));
  vst1q_s8(p, vcombine_s8(vqmovn_s16(a), vqmovn_s16(b)));
  return vaddvq_s32(vaddq_s32(vaddq_s32(w[0], w[1]), vaddq_s32(w[2], w[3])));
}

#else

struct Lanes {
  float v[kLanes];
};
template <class Operation>
inline Lanes each(Operation operation) {
  Lanes result;
  for (int i = 0; i < kLanes; i++) result.v[i] = operation(i);
  return result;
}
inline Lanes load(const float *p) { return each([=](int i) { return p[i]; }); }
inline void store(float *p, const Lanes &x) { std::memcpy(p, x.v, sizeof x.v); }
inline Lanes splat(float x) { return each([=](int) { return x; }); }
inline Lanes load_half(const uint16_t *p) { return each([=](int i) { return half_to_float(p[i]); }); }
inline void store_half(uint16_t *p, const Lanes &x) {
  for (int i = 0; i < kLanes; i++) p[i] = float_to_half(x.v[i]);
}
inline Lanes operator+(const Lanes &x, const Lanes &y) { return each([&](int i) { return x.v[i] + y.v[i]; }); }
inline Lanes operator-(const Lanes &x, const Lanes &y) { return each([&](int i) { return x.v[i] - y.v[i]; }); }
inline Lanes operator*(const Lanes &x, const Lanes &y) { return each([&](int i) { return x.v[i] * y.v[i]; }); }
inline Lanes operator/(const Lanes &x, const Lanes &y) { return each([&](int i) { return x.v[i] / y.v[i]; }); }
inline Lanes fma(const Lanes &x, const Lanes &y, const Lanes &z) {
  return each([&](int i) { return std::fma(x.v[i], y.v[i], z.v[i]); });
}
inline Lanes larger(const Lanes &x, const Lanes &y) {
  return each([&](int i) { return x.v[i] > y.v[i] ? x.v[i] : y.v[i]; });
}
inline Lanes smaller(const Lanes &x, const Lanes &y) {
  return each([&](int i) { return x.v[i] < y.v[i] ? x.v[i] : y.v[i]; });
}
inline Lanes absolute(const Lanes &x) { return each([&](int i) { return std::fabs(x.v[i]); }); }
inline Lanes up_to(int first, int last, const Lanes &x, const Lanes &y) {
  return each([&](int i) { return first + i <= last ? x.v[i] : y.v[i]; });
}
inline Lanes power_of_two(const Lanes &n) {
  return each([&](int i) {
    uint32_t bits = uint32_t(int(n.v[i]) + 127) << 23;
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
  });
}
inline int store_int8(int8_t *p, const Lanes &x) {
  int sum = 0;
  for (int i = 0; i < kLanes; i++) {
    float whole = std::nearbyint(x.v[i]);
    p[i] = int8_t(whole >= -127 && whole <= 127 ? whole : 0);  // 0: not a number
    sum += p[i];
  }
  return sum;
}

#endif

// Across the lanes, by halves.
inline float sum(const Lanes &x) {
  float v[kLanes];
  store(v, x);
  for (int half = kLanes / 2; half; half /= 2)
    for (int i = 0; i < half; i++) v[i] += v[i + half];
  return v[0];
}
inline float largest(const Lanes &x) {
  float v[kLanes];
  store(v, x);
  for (int half = kLanes / 2; half; half /= 2)
    for (int i = 0; i < half; i++) v[i] = v[i] > v[i + half] ? v[i] : v[i + half];
  return v[0];
}

}  // namespace
}  // namespace edge_phi
