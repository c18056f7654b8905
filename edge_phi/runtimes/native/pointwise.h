// What is computed beside the matrix products, once for every kernel family: LayerNorm, rounding of activations to
// 8 bits, gelu, attention. Included by each kernel file after lanes.h.
#pragma once

#include "lanes.h"

namespace edge_phi {
namespace {

// e^x to about 1e-7, for x clamped to -87..87: x = n ln 2 + r, and a polynomial for e^r (Cephes' expf).
inline Lanes exponential(Lanes x) {
  x = smaller(larger(x, splat(-87.0f)), splat(87.0f));
  const Lanes to_whole = splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to a whole number
  Lanes n = fma(x, splat(1.44269504f), to_whole) - to_whole;
  Lanes r = fma(n, splat(-0.693359375f), x);
  r = fma(n, splat(2.12194440e-4f), r);
  Lanes p = fma(splat(1.9875691500e-4f), r, splat(1.3981999507e-3f));
  p = fma(p, r, splat(8.3334519073e-3f));
  p = fma(p, r, splat(4.1665795894e-2f));
  p = fma(p, r, splat(1.6666665459e-1f));
  p = fma(p, r, splat(5.0000001201e-1f));
  p = fma(p, r * r, r) + splat(1.0f);
  return p * power_of_two(n);
}

void normalize(const float *x, const float *weight, const float *bias, int width, float epsilon, float *out) {
  Lanes total = splat(0);
  for (int i = 0; i < width; i += kLanes) total = total + load(x + i);
  Lanes mean = splat(sum(total) / float(width)), squares = splat(0);
  for (int i = 0; i < width; i += kLanes) {
    Lanes d = load(x + i) - mean;
    squares = fma(d, d, squares);
  }
  Lanes scale = splat(1.0f / std::sqrt(sum(squares) / float(width) + epsilon));
  for (int i = 0; i < width; i += kLanes)
    store(out + i, fma((load(x + i) - mean) * scale, load(weight + i), load(bias + i)));
}

// Codes of -127..127 that times `scale` are nearest to `count` floats; returns the codes' sum.
inline int to_int8(const float *x, int count, int8_t *codes, float *scale) {
  Lanes most = splat(0);
  for (int i = 0; i < count; i += kLanes) most = larger(most, absolute(load(x + i)));
  float top = largest(most), inverse = top > 1e-30f ? 127.0f / top : 0.0f;  // 0 also if it is not a number
  int total = 0;
  for (int i = 0; i < count; i += kLanes)  // within +-127 as it is, unless some of them are not numbers
    total += store_int8(codes + i, smaller(larger(load(x + i) * splat(inverse), splat(-127.0f)), splat(127.0f)));
  *scale = top / 127.0f;
  return total;
}

void quantize(const float *x, int blocks, ActivationBlock *out, size_t stride) {
  for (int b = 0; b < blocks; b++, x += kBlock, out += stride)
    out->start = -8 * to_int8(x, kBlock, reinterpret_cast<int8_t *>(out->words), &out->scale);
}

// x + bias times the logistic function of 2 sqrt(2 / pi) (x + 0.044715 x^3): gelu in its tanh form, gelu_new.
void gelu(float *x, const float *bias, int count) {
  for (int i = 0; i < count; i += kLanes) {
    Lanes v = load(x + i) + load(bias + i);
    Lanes inner = v * fma(v * v, splat(0.044715f), splat(1.0f)) * splat(-1.5957691216f);
    store(x + i, v / (exponential(inner) + splat(1.0f)));
  }
}

void accumulate(float *x, const float *y, const float *bias, int count) {
  for (int i = 0; i < count; i += kLanes) store(x + i, load(x + i) + (load(y + i) + load(bias + i)));
}

// The keys of sixteen positions, the first a multiple of 16; the value of one; the scale of an int8 key or value.
template <class Code>
inline Code *keys_at(const Attention &a, int start) {
  return reinterpret_cast<Code *>(a.row(start, start % PHI_PAGE, sizeof(Code)));
}
template <class Code>
inline Code *value_at(const Attention &a, int position) {
  return reinterpret_cast<Code *>(a.row(position, PHI_PAGE + position % PHI_PAGE, sizeof(Code)));
}
inline float *scale_at(const Attention &a, int position, bool of_value) {
  return reinterpret_cast<float *>(a.row(position, 2 * PHI_PAGE, 1)) + of_value * PHI_PAGE + position % PHI_PAGE;
}

inline void encode(const Attention &a, const float *x, int, bool, uint16_t *out) {
  for (int i = 0; i < a.dimension; i += kLanes) store_half(out + i, load(x + i));
}
inline void encode(const Attention &a, const float *x, int position, bool of_value, int8_t *out) {
  to_int8(x, a.dimension, out, scale_at(a, position, of_value));
}

template <class Code>
void remember(const Attention &a, int position, const float *key, const float *value) {
  Code codes[512], *keys = keys_at<Code>(a, position / kLanes * kLanes) + position % kLanes;
  encode(a, key, position, false, codes);
  for (int d = 0; d < a.dimension; d++) keys[d * kLanes] = codes[d];
  encode(a, value, position, true, value_at<Code>(a, position));
}

// What the codes of sixteen positions' keys or values are to be multiplied by.
template <class Code>
inline Lanes scales(const Attention &a, int start, bool of_values) {
  return sizeof(Code) == 1 ? load(scale_at(a, start, of_values)) : splat(1.0f);
}

// Sums over positions for `width` runs of sixteen dimensions of the values. They stay in registers as long as every loop
// over them is unrolled, and nothing of the caller's is kept there.
template <class Code, int queries, int width>
#if defined(__GNUC__)
__attribute__((noinline))
#endif
void weigh_values(const Attention &a, int first, int run, int count, const float *inverse) {
  Lanes out[queries * width];
#pragma GCC unroll 16
  for (int i = 0; i < queries * width; i++) out[i] = splat(0);
  for (int start = 0; start < count; start += PHI_PAGE) {
    const Code *values = value_at<Code>(a, start) + run * kLanes;
    const float *scores = a.scores + start;
    for (int left = count - start < PHI_PAGE ? count - start : PHI_PAGE; left; left--, values += a.dimension, scores++) {
      Lanes v[width];
#pragma GCC unroll 4
      for (int j = 0; j < width; j++) v[j] = load(values + j * kLanes);
#pragma GCC unroll 16
      for (int i = 0; i < queries * width; i++)
        out[i] = fma(v[i % width], splat(scores[size_t(i / width) * a.score_stride]), out[i]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < queries * width; i++)
    store(a.out + size_t(first + i / width) * a.out_stride + (run + i % width) * kLanes,
          out[i] * splat(inverse[i / width]));
}

// Attention of `queries` queries from the `first` on. Scores take sixteen positions at once, one in each lane; what
// lies past a query's own position is masked, and adds exact zeros.
template <class Code, int queries, int width>
void attend_group(const Attention &a, int first) {
  const int position = a.position + first, count = position + queries;
  const float *q = a.q + size_t(first) * a.q_stride;
  Lanes top[queries];
  for (int i = 0; i < queries; i++) top[i] = splat(-1e30f);
  for (int start = 0; start < count; start += kLanes) {
    const Code *keys = keys_at<Code>(a, start);
    Lanes even[queries], odd[queries];
#pragma GCC unroll 8
    for (int i = 0; i < queries; i++) even[i] = odd[i] = splat(0);
    for (int d = 0; d < a.dimension; d += 2, keys += 2 * kLanes) {
      Lanes k0 = load(keys), k1 = load(keys + kLanes);
#pragma GCC unroll 8
      for (int i = 0; i < queries; i++) {
        even[i] = fma(k0, splat(q[i * a.q_stride + d]), even[i]);
        odd[i] = fma(k1, splat(q[i * a.q_stride + d + 1]), odd[i]);
      }
    }
    const Lanes scale = scales<Code>(a, start, false);
#pragma GCC unroll 8
    for (int i = 0; i < queries; i++) {
      Lanes score = up_to(start, position + i, (even[i] + odd[i]) * scale, splat(-1e30f));
      top[i] = larger(top[i], score);
      store(a.scores + size_t(i) * a.score_stride + start, score);
    }
  }
  float inverse[queries];
  for (int i = 0; i < queries; i++) {
    float *scores = a.scores + size_t(i) * a.score_stride;
    Lanes most = splat(largest(top[i])), total = splat(0);
    for (int start = 0; start < count; start += kLanes) {
      Lanes weight = up_to(start, position + i, exponential(load(scores + start) - most), splat(0));
      total = total + weight;
      store(scores + start, weight * scales<Code>(a, start, true));
    }
    inverse[i] = 1.0f / sum(total);
  }
  int runs = a.dimension / kLanes, run = 0;
  for (; run + width <= runs; run += width) weigh_values<Code, queries, width>(a, first, run, count, inverse);
  for (; run < runs; run++) weigh_values<Code, queries, 1>(a, first, run, count, inverse);
}

// As many queries at once as the registers hold.
template <class Code>
void attend(const Attention &a) {
  int done = 0;
#if EDGE_PHI_LANES == 512
  for (; done + 8 <= a.queries; done += 8) attend_group<Code, 8, 2>(a, done);
#endif
#if EDGE_PHI_LANES == 512 || EDGE_PHI_LANES == 128
  for (; done + 4 <= a.queries; done += 4) attend_group<Code, 4, 2>(a, done);
#endif
  for (; done + 2 <= a.queries; done += 2) attend_group<Code, 2, 2>(a, done);
  for (; done < a.queries; done++) attend_group<Code, 1, 4>(a, done);
}

}  // namespace
}  // namespace edge_phi
