// Products with AVX2: eight rows of a panel in the eight lanes of a register, so a panel takes two passes.
//
//   4 bits: `vpmaddubsw` multiplies unsigned by signed bytes and adds pairs in 16 bits. Eight such sums of nibbles stay
//           within 8 * 2 * 15 * 127 = 30480, so they are added in 16 bits and widened once a block; then the offset
//           of 8 is taken back by `start`.
//   8 bits: |w| times x with w's sign, so that a pair stays within 2 * 128 * 127 = 32512; widened at every step.
//
// Registers for four tokens of 4 bits: 8 of weights, 4 of float sums, a sum of integers, an activation, the mask.
#include "kernels.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#include <cmath>
#include <cstring>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,f16c")
#endif

#define EDGE_PHI_LANES 256
#include "pointwise.h"

namespace edge_phi {
namespace {

constexpr size_t kFetchAhead = 4608;  // bytes, for lines that come from memory
constexpr int kGroup = 4;             // tokens at once

inline __m256i line(const uint8_t *p) { return _mm256_load_si256(reinterpret_cast<const __m256i *>(p)); }

struct Bits4 {
  static constexpr size_t pair_bytes = 576, block_bytes = 256;
  static inline void unpack(const uint8_t *block, __m256i a[8]) {
    const __m256i low = _mm256_set1_epi8(15);
    for (int j = 0; j < 4; j++) {
      __m256i both = line(block + 64 * j);
      a[2 * j] = _mm256_and_si256(both, low);
      a[2 * j + 1] = _mm256_and_si256(_mm256_srli_epi16(both, 4), low);
    }
  }
  static inline __m256i sum(const __m256i a[8], const ActivationBlock &x) {
    __m256i c = _mm256_maddubs_epi16(a[0], _mm256_set1_epi32(x.words[0]));
#pragma GCC unroll 8
    for (int j = 1; j < 8; j++) {
      c = _mm256_add_epi16(c, _mm256_maddubs_epi16(a[j], _mm256_set1_epi32(x.words[j])));
      asm("" : "+x"(c));  // keeps the compiler from adding in another order, for which it runs out of registers
    }
    return _mm256_add_epi32(_mm256_madd_epi16(c, _mm256_set1_epi16(1)), _mm256_set1_epi32(x.start));
  }
};

struct Bits8 {
  static constexpr size_t pair_bytes = 1088, block_bytes = 512;
  static inline void unpack(const uint8_t *block, __m256i a[8]) {
    for (int j = 0; j < 8; j++) a[j] = line(block + 64 * j);
  }
  static inline __m256i sum(const __m256i a[8], const ActivationBlock &x) {
    const __m256i one = _mm256_set1_epi16(1);
    __m256i c = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++) {
      __m256i signed_x = _mm256_sign_epi8(_mm256_set1_epi32(x.words[j]), a[j]);
      c = _mm256_add_epi32(c, _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_abs_epi8(a[j]), signed_x), one));
    }
    return c;
  }
};

// `tokens` of the `stride` tokens of a tile; eight rows from byte `lane` of each line on.
template <class Format, int tokens>
void product(const uint8_t *panel, int lane, int pairs, const ActivationBlock *x, size_t stride, float *y,
             size_t y_stride, bool add, bool cold) {
  __m256 sum[tokens];
#pragma GCC unroll 4
  for (int m = 0; m < tokens; m++) sum[m] = add ? _mm256_loadu_ps(y + m * y_stride) : _mm256_setzero_ps();
  for (int pair = 0; pair < pairs; pair++, panel += Format::pair_bytes) {
    if (cold)
      for (size_t i = 0; i < Format::pair_bytes; i += 64)
        _mm_prefetch(reinterpret_cast<const char *>(panel) + kFetchAhead + i, _MM_HINT_T0);
    for (int half = 0; half < 2; half++, x += stride) {
      __m256i a[8];
      Format::unpack(panel + 64 + half * Format::block_bytes + lane, a);
      __m256 scale = _mm256_cvtph_ps(
          _mm_load_si128(reinterpret_cast<const __m128i *>(panel + half * 32 + lane / 2)));
#pragma GCC unroll 4
      for (int m = 0; m < tokens; m++) {
        __m256 c = _mm256_cvtepi32_ps(Format::sum(a, x[m]));
        sum[m] = _mm256_fmadd_ps(c, _mm256_mul_ps(scale, _mm256_set1_ps(x[m].scale)), sum[m]);
        asm volatile("");  // one token after the other: together they need more registers than there are
      }
    }
  }
#pragma GCC unroll 4
  for (int m = 0; m < tokens; m++) _mm256_storeu_ps(y + m * y_stride, sum[m]);
}

template <class Format>
void product_any(const uint8_t *panel, int pairs, const ActivationBlock *x, int tokens, float *y, size_t y_stride,
                 bool add, bool cold) {
  size_t stride = size_t(tokens);
  for (int m = 0; m < tokens; m += kGroup, x += kGroup, y += kGroup * y_stride)
    for (int lane = 0; lane < 64; lane += 32) {
      float *out = y + lane / 4;
      bool fetch = cold && m == 0 && lane == 0;
      switch (tokens - m) {
        case 1: product<Format, 1>(panel, lane, pairs, x, stride, out, y_stride, add, fetch); break;
        case 2: product<Format, 2>(panel, lane, pairs, x, stride, out, y_stride, add, fetch); break;
        case 3: product<Format, 3>(panel, lane, pairs, x, stride, out, y_stride, add, fetch); break;
        default: product<Format, 4>(panel, lane, pairs, x, stride, out, y_stride, add, fetch); break;
      }
    }
}

bool usable() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}

}  // namespace

const Kernels kAvx2 = {"avx2", usable, product_any<Bits4>, product_any<Bits8>, normalize, quantize, gelu,
                       accumulate, to_half, attend};

}  // namespace edge_phi

#if defined(__clang__)
#pragma clang attribute pop
#endif
#else
namespace edge_phi {
const Kernels kAvx2 = {nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr};
}
#endif
