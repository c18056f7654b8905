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

void quantize(const float *x, int blocks, ActivationBlock *out, size_t stride) {
  for (int b = 0; b < blocks; b++, x += 32, out += stride) {
    Lanes low = load(x), high = load(x + kLanes);
    float top = largest(larger(absolute(low), absolute(high)));
    float inverse = top > 1e-30f ? 127.0f / top : 0.0f;  // 0 also if it is not a number
    int8_t *codes = reinterpret_cast<int8_t *>(out->words);
    // Within +-127 as it is, unless some of them are not numbers.
    const Lanes most = splat(127.0f), least = splat(-127.0f);
    int total = store_int8(codes, smaller(larger(low * splat(inverse), least), most));
    total += store_int8(codes + kLanes, smaller(larger(high * splat(inverse), least), most));
    out->start = -8 * total;
    out->scale = top / 127.0f;
  }
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

void to_half(const float *x, int count, uint16_t *out) {
  for (int i = 0; i < count; i += kLanes) store_half(out + i, load(x + i));
}

// Sums over positions for `width` runs of sixteen dimensions of the values. They stay in registers as long as every loop
// over them is unrolled, and nothing of the caller's is kept there.
template <int queries, int width>
#if defined(__GNUC__)
__attribute__((noinline))
#endif
void weigh_values(const Attention &a, int first, int run, int count, const float *inverse) {
  Lanes out[queries * width];
#pragma GCC unroll 16
  for (int i = 0; i < queries * width; i++) out[i] = splat(0);
  for (int start = 0; start < count; start += PHI_PAGE) {
    const uint16_t *values = a.value(start) + run * kLanes;
    const float *scores = a.scores + start;
    for (int left = count - start < PHI_PAGE ? count - start : PHI_PAGE; left; left--, values += a.dimension, scores++) {
      Lanes v[width];
#pragma GCC unroll 4
      for (int j = 0; j < width; j++) v[j] = load_half(values + j * kLanes);
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
template <int queries, int width>
void attend_group(const Attention &a, int first) {
  const int position = a.position + first, count = position + queries;
  const float *q = a.q + size_t(first) * a.q_stride;
  Lanes top[queries];
  for (int i = 0; i < queries; i++) top[i] = splat(-1e30f);
  for (int start = 0; start < count; start += kLanes) {
    const uint16_t *keys = a.keys(start);
    Lanes even[queries], odd[queries];
#pragma GCC unroll 8
    for (int i = 0; i < queries; i++) even[i] = odd[i] = splat(0);
    for (int d = 0; d < a.dimension; d += 2, keys += 2 * kLanes) {
      Lanes k0 = load_half(keys), k1 = load_half(keys + kLanes);
#pragma GCC unroll 8
      for (int i = 0; i < queries; i++) {
        even[i] = fma(k0, splat(q[i * a.q_stride + d]), even[i]);
        odd[i] = fma(k1, splat(q[i * a.q_stride + d + 1]), odd[i]);
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < queries; i++) {
      Lanes score = up_to(start, position + i, even[i] + odd[i], splat(-1e30f));
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
      store(scores + start, weight);
    }
    inverse[i] = 1.0f / sum(total);
  }
  int runs = a.dimension / kLanes, run = 0;
  for (; run + width <= runs; run += width) weigh_values<queries, width>(a, first, run, count, inverse);
  for (; run < runs; run++) weigh_values<queries, 1>(a, first, run, count, inverse);
}

// As many queries at once as the registers hold.
void attend(const Attention &a) {
  int done = 0;
#if EDGE_PHI_LANES == 512
  for (; done + 8 <= a.queries; done += 8) attend_group<8, 2>(a, done);
#endif
#if EDGE_PHI_LANES == 512 || EDGE_PHI_LANES == 128
  for (; done + 4 <= a.queries; done += 4) attend_group<4, 2>(a, done);
#endif
  for (; done + 2 <= a.queries; done += 2) attend_group<2, 2>(a, done);
  for (; done < a.queries; done++) attend_group<1, 4>(a, done);
}

}  // namespace
}  // namespace edge_phi
