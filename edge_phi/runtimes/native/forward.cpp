// The forward pass, and the C interface to it.
//
// A phi layer adds attention and MLP of the same normalized input to the residual stream x. So a layer is three steps,
// each handed out item by item to the threads, and over when all its items are done:
//
//   1. a token:                    LayerNorm of x, rounded to 8 bits
//   2. a head (or two), or 128 columns of the MLP: their part of [q k v | up], then rotation, cache and attention, or
//      gelu; the result rounded to 8 bits. Nobody waits for another's part.
//   3. 32 columns of the width:    [attention | gelu] times [output | down], added to x
//
// The order of every sum is fixed by the layout alone, not by who computes it or with how many tokens beside it.
#include "engine.h"
#include "kernels.h"
#include "packing.h"
#include "pool.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#if !defined(_WIN32)
#include <unistd.h>
#endif

namespace edge_phi {
namespace {

constexpr int kChunk = 256;         // most tokens computed at once
constexpr int kWide = 128;          // columns of the MLP, and of the head, in an item
constexpr int kNarrow = 32;         // columns of the width in an item
constexpr int kMaxThreads = 64;
constexpr int kPairsAtOnce = 32;    // of a panel, when several tiles of tokens pass over it: it stays in the cache

// Zeroed memory, aligned for the widest registers; pages that are never touched cost nothing.
template <class T>
class Array {
 public:
  void allocate(size_t count) {
    memory_.reset(std::calloc(count * sizeof(T) + 64, 1));
    if (!memory_) throw std::bad_alloc();
    data_ = reinterpret_cast<T *>((uintptr_t(memory_.get()) + 63) / 64 * 64);
  }
  T *get() const { return data_; }
  T &operator[](size_t i) const { return data_[i]; }

 private:
  std::unique_ptr<void, void (*)(void *)> memory_{nullptr, std::free};
  T *data_ = nullptr;
};

struct Matrix {
  const uint8_t *panels;
  int pairs;          // of blocks in a row
  size_t pair_bytes;
  Product product;

  // y[token][16 * (panel - first)...] = x times panels first..first + count
  void multiply(int first, int count, const Activations &x, float *y, size_t y_stride) const {
    size_t panel_bytes = pair_bytes * size_t(pairs);
    int step = x.tokens <= x.tile ? pairs : kPairsAtOnce;
    for (int from = 0; from < pairs; from += step)
      for (int token = 0; token < x.tokens; token += x.tile)
        for (int i = 0; i < count; i++) {
          int tokens = x.tile_tokens(token);
          product(panels + size_t(first + i) * panel_bytes + size_t(from) * pair_bytes, std::min(step, pairs - from),
                  x.tile_at(token) + size_t(from) * 2 * tokens, tokens, y + token * y_stride + i * kPanelRows,
                  y_stride, from > 0, token == 0);
        }
  }
};

struct Layer {
  Matrix first, second;
  const float *norm_weight, *norm_bias, *first_bias, *second_bias;
};

// What one call of `chunk` computes.
struct Chunk {
  const int32_t *tokens;
  int count;
  int position;
  float *logits;  // of the last `rows` tokens
  int rows;
  const std::atomic<int32_t> *cancel;
};

}  // namespace

class Engine;

// A call as the threads have it.
struct Call {
  Engine *engine = nullptr;
  Chunk chunk{};
  void operator()(uint32_t first_step, int worker) const;
};

class Engine {
 public:
  Engine(const PhiGeometry &geometry, const Plan &plan, const uint8_t *packed, const Kernels &kernels)
      : g_(geometry), plan_(plan), packed_(packed), k_(kernels), head_width_(geometry.width / geometry.heads),
        together_(head_width_ % kBlock ? 2 : 1), padded_context_((geometry.context + kLanes - 1) / kLanes * kLanes) {
    locate_weights();
    size_t cache = size_t(g_.layers) * size_t(padded_context_) * size_t(g_.width);
    keys_.allocate(cache);
    values_.allocate(cache);
    x_.allocate(size_t(kChunk) * g_.width);
    normal_.allocate(size_t(kChunk) * (g_.width / kBlock));
    last_.allocate(size_t(kChunk) * (g_.width / kBlock));
    inner_.allocate(size_t(kChunk) * ((g_.width + g_.inner) / kBlock));
    make_rotations();
  }

  ~Engine() {
    if (forked()) (void)pool_.release();  // its threads are the parent's: there is nobody to join
  }

  PhiStatus forward(Chunk all, int threads) {
    if (all.position > g_.context || all.count > g_.context - all.position) return PHI_INVALID;
    for (int i = 0; i < all.count; i++)
      if (all.tokens[i] < 0 || all.tokens[i] >= g_.vocabulary) return PHI_INVALID;
    if (forked()) {
      (void)pool_.release();  // leaked: a mutex of it may have been held at the fork
      process_ = process();
    }
    if (!pool_) pool_.reset(new Pool<Call>());
    threads = std::min(threads, kMaxThreads);
    for (int i = 0; i < threads; i++)
      if (!scratch_[i].get()) scratch_[i].allocate(scratch_floats());
    int skipped = all.count - all.rows;  // tokens before the first whose logits are wanted
    for (int done = 0; done < all.count; done += kChunk) {
      Chunk part = all;
      part.tokens += done;
      part.position += done;
      part.count = std::min(kChunk, all.count - done);
      part.rows = std::max(0, std::min(part.count, done + part.count - skipped));
      part.logits += size_t(std::max(0, done - skipped)) * size_t(g_.vocabulary);
      cancelled_.store(false, std::memory_order_relaxed);
      pool_->run(threads, {this, part});
      if (cancelled_.load(std::memory_order_relaxed)) return PHI_CANCELLED;
    }
    return PHI_OK;
  }

 private:
  static constexpr int kLanes = kPanelRows;

  static long process() {
#if defined(_WIN32)
    return 0;
#else
    return long(getpid());
#endif
  }
  bool forked() const { return process_ != process(); }

  const float *floats(size_t offset) const { return reinterpret_cast<const float *>(packed_ + offset); }

  void locate_weights() {
    size_t pair = g_.bits == 4 ? kPair4 : kPair8;
    Product product = g_.bits == 4 ? k_.product4 : k_.product8;
    for (int l = 0; l < g_.layers; l++) {
      size_t at = plan_.layer_bytes * size_t(l);
      layers_.push_back({{packed_ + at + plan_.first, g_.width / 64, pair, product},
                         {packed_ + at + plan_.second, (g_.width + g_.inner) / 64, pair, product},
                         floats(at + plan_.norm_weight), floats(at + plan_.norm_bias), floats(at + plan_.first_bias),
                         floats(at + plan_.second_bias)});
    }
    head_ = {packed_ + plan_.head, g_.width / 64, kPair8, k_.product8};
  }

  void make_rotations() {
    int pairs = g_.rotary / 2;
    cosines_.allocate(size_t(g_.context) * size_t(pairs));
    sines_.allocate(size_t(g_.context) * size_t(pairs));
    for (int i = 0; i < pairs; i++) {
      double frequency = std::pow(double(g_.theta), -2.0 * i / g_.rotary);
      for (int position = 0; position < g_.context; position++) {
        cosines_[size_t(position) * pairs + i] = float(std::cos(position * frequency));
        sines_[size_t(position) * pairs + i] = float(std::sin(position * frequency));
      }
    }
  }

  // One thread's scratch: a row to normalize; then q, k, v and the attention of an item's heads, or 128 columns of the
  // MLP or the head; then scores.
  size_t item_floats() const { return size_t(kChunk) * size_t(std::max(4 * together_ * head_width_, kWide)); }
  size_t scratch_floats() const {
    return size_t(g_.width) + item_floats() + size_t(kQueryGroup) * size_t(padded_context_);
  }

  bool stopped(const Chunk &c) {
    if (!c.cancel || !c.cancel->load(std::memory_order_relaxed)) return false;
    cancelled_.store(true, std::memory_order_relaxed);
    return true;
  }

  // What every thread of a call runs. Outside of items it may be late, and must not touch what the call is about.
  void compute(const Chunk &c, uint32_t number, int worker) {
    float *scratch = scratch_[worker].get();
    auto step = [&](int count, auto item) {
      pool_->step(number++, count, [&](int i) {
        if (!stopped(c)) item(i);
      });
    };
    step(c.count, [&](int token) {
      const uint8_t *rows = packed_ + plan_.embedding;
      decode_row(g_.embedding_type, rows + size_t(c.tokens[token]) * row_bytes(g_.embedding_type, g_.width), g_.width,
                 &x_[size_t(token) * g_.width]);
    });
    for (int l = 0; l < g_.layers; l++) {
      const Layer &layer = layers_[size_t(l)];
      // Of the last layer, tokens without logits leave nothing behind but their keys and values.
      int from = l == g_.layers - 1 ? c.count - c.rows : 0;
      const Activations normal(normal_.get(), c.count, g_.width / kBlock);
      const Activations last(last_.get(), c.count - from, g_.width / kBlock);
      const Activations inner(inner_.get(), c.count - from, (g_.width + g_.inner) / kBlock);
      step(c.count, [&](int token) {
        k_.normalize(&x_[size_t(token) * g_.width], layer.norm_weight, layer.norm_bias, g_.width, g_.epsilon, scratch);
        k_.quantize(scratch, normal.blocks, normal.at(token, 0), normal.stride(token));
        if (from && token >= from) k_.quantize(scratch, last.blocks, last.at(token - from, 0), last.stride(token - from));
      });
      const Activations &live = from ? last : normal;
      int head_items = g_.heads / together_;
      int mlp_items = from < c.count ? (g_.inner + kWide - 1) / kWide : 0;
      step(head_items + mlp_items, [&](int item) {
        if (item < head_items)
          attention_item(c, l, item * together_, from, normal, live, inner, scratch + g_.width);
        else
          mlp_item(layer, (item - head_items) * kWide, live, inner, scratch + g_.width);
      });
      if (from == c.count) return;
      step(g_.width / kNarrow, [&](int item) {
        float *y = scratch + g_.width;
        layer.second.multiply(item * (kNarrow / kPanelRows), kNarrow / kPanelRows, inner, y, kNarrow);
        for (int token = 0; token < inner.tokens; token++)
          k_.accumulate(&x_[size_t(from + token) * g_.width + item * kNarrow], y + token * kNarrow,
                        layer.second_bias + item * kNarrow, kNarrow);
      });
    }
    const Activations last(last_.get(), c.rows, g_.width / kBlock);
    step(c.rows, [&](int row) {
      k_.normalize(&x_[size_t(c.count - c.rows + row) * g_.width], floats(plan_.last_norm_weight),
                   floats(plan_.last_norm_bias), g_.width, g_.epsilon, scratch);
      k_.quantize(scratch, last.blocks, last.at(row, 0), last.stride(row));
    });
    step((g_.vocabulary + kWide - 1) / kWide, [&](int item) { head_item(c, item * kWide, last, scratch + g_.width); });
  }

  // Keys and values of all tokens for heads `head`..`head + together_`; attention of those from `from` on.
  void attention_item(const Chunk &c, int layer, int head, int from, const Activations &normal,
                      const Activations &live, const Activations &inner, float *scratch) {
    const Layer &weights = layers_[size_t(layer)];
    const int columns = together_ * head_width_, stride = 3 * columns, first = head * head_width_;
    float *q = scratch, *k = q + columns, *v = k + columns, *out = scratch + size_t(kChunk) * stride;
    float *scores = scratch + item_floats();
    const int panels = columns / kPanelRows, width_panels = g_.width / kPanelRows, panel = first / kPanelRows;
    weights.first.multiply(panel, panels, live, q, size_t(stride));
    weights.first.multiply(width_panels + panel, panels, normal, k, size_t(stride));
    weights.first.multiply(2 * width_panels + panel, panels, normal, v, size_t(stride));
    const float *bias = weights.first_bias + first;
    for (size_t row = 0; row < size_t(c.count) * stride; row += size_t(stride))
      for (int i = 0; i < columns; i++) {
        if (row < size_t(live.tokens) * stride) q[row + i] += bias[i];
        k[row + i] += bias[g_.width + i];
        v[row + i] += bias[2 * g_.width + i];
      }
    for (int h = 0; h < together_; h++) {
      size_t cache = (size_t(layer) * g_.heads + size_t(head + h)) * size_t(padded_context_) * size_t(head_width_);
      for (int token = 0; token < c.count; token++)
        remember(cache, c.position + token, k + size_t(token) * stride + h * head_width_,
                 v + size_t(token) * stride + h * head_width_);
      for (int token = from; token < c.count; token++)
        rotate(q + size_t(token - from) * stride + h * head_width_, c.position + token,
               1.0f / std::sqrt(float(head_width_)));
      k_.attend({&keys_[cache], &values_[cache], head_width_, c.position + from, live.tokens, q + h * head_width_,
                 size_t(stride), out + h * head_width_, size_t(columns), scores, size_t(padded_context_)});
    }
    for (int token = 0; token < live.tokens; token++)
      k_.quantize(out + size_t(token) * columns, columns / kBlock, inner.at(token, first / kBlock),
                  inner.stride(token));
  }

  void mlp_item(const Layer &weights, int first, const Activations &live, const Activations &inner, float *y) {
    int columns = std::min(kWide, g_.inner - first);
    weights.first.multiply((3 * g_.width + first) / kPanelRows, columns / kPanelRows, live, y, kWide);
    for (int token = 0; token < live.tokens; token++) {
      float *row = y + size_t(token) * kWide;
      k_.gelu(row, weights.first_bias + 3 * g_.width + first, columns);
      k_.quantize(row, columns / kBlock, inner.at(token, (g_.width + first) / kBlock), inner.stride(token));
    }
  }

  // Rotary embedding of one head's q or k at `position`: dimension i turns with i + rotary / 2. Scaled afterwards.
  void rotate(float *x, int position, float scale) const {
    int pairs = g_.rotary / 2;
    const float *cosine = &cosines_[size_t(position) * pairs], *sine = &sines_[size_t(position) * pairs];
    for (int i = 0; i < pairs; i++) {
      float a = x[i], b = x[i + pairs];
      x[i] = a * cosine[i] - b * sine[i];
      x[i + pairs] = b * cosine[i] + a * sine[i];
    }
    for (int i = 0; i < head_width_; i++) x[i] *= scale;
  }

  // Keys lie [16 positions together][dimension][position], values [position][dimension]: see Attention.
  void remember(size_t cache, int position, float *key, const float *value) {
    uint16_t half[512];
    rotate(key, position, 1.0f);
    k_.to_half(key, head_width_, half);
    uint16_t *to = &keys_[cache + size_t(position / kLanes) * kLanes * head_width_ + position % kLanes];
    for (int d = 0; d < head_width_; d++) to[d * kLanes] = half[d];
    k_.to_half(value, head_width_, &values_[cache + size_t(position) * head_width_]);
  }

  void head_item(const Chunk &c, int first, const Activations &last, float *y) {
    const float *bias = floats(plan_.head_bias) + first;
    int words = std::min(kWide, g_.vocabulary - first);
    head_.multiply(first / kPanelRows, (words + kPanelRows - 1) / kPanelRows, last, y, kWide);
    for (int row = 0; row < c.rows; row++) {
      float *to = c.logits + size_t(row) * size_t(g_.vocabulary) + first;
      for (int i = 0; i < words; i++) to[i] = y[row * kWide + i] + bias[i];
    }
  }

  const PhiGeometry g_;
  const Plan plan_;
  const uint8_t *packed_;
  const Kernels &k_;
  const int head_width_;
  const int together_;  // heads in an item: as many as fill whole blocks
  const int padded_context_;
  std::vector<Layer> layers_;
  Matrix head_{};
  Array<uint16_t> keys_, values_;  // float16 [layer][head][...]
  Array<float> cosines_, sines_;   // [position][pair]
  Array<float> x_;                 // the residual stream [token][width]
  Array<ActivationBlock> normal_, last_, inner_;
  Array<float> scratch_[kMaxThreads];
  std::unique_ptr<Pool<Call>> pool_;
  long process_ = process();
  std::atomic<bool> cancelled_{false};

  friend struct Call;
};

void Call::operator()(uint32_t first_step, int worker) const { engine->compute(chunk, first_step, worker); }

}  // namespace edge_phi

using namespace edge_phi;

struct PhiEngine {
  Engine engine;
};

const char *phi_kernels(int32_t index) {
  const Kernels *kernels = index < 0 ? nullptr : usable_kernels(index);
  return kernels ? kernels->name : nullptr;
}

PhiEngine *phi_open(const PhiGeometry *geometry, const uint8_t *packed, uint64_t packed_bytes, const char *kernels) {
  Plan plan;
  const Kernels *chosen = find_kernels(kernels);
  if (!geometry || !packed || !chosen || !make_plan(*geometry, plan) || packed_bytes != plan.total ||
      uintptr_t(packed) % 64)
    return nullptr;
  try {
    return new PhiEngine{{*geometry, plan, packed, *chosen}};
  } catch (const std::bad_alloc &) {
    return nullptr;
  }
}

int32_t phi_forward(PhiEngine *engine, const int32_t *tokens, int32_t count, int32_t position, float *logits,
                    int32_t rows, int32_t threads, const int32_t *cancel) {
  if (!engine || !tokens || count < 1 || position < 0 || rows < 0 || rows > count || (rows && !logits) || threads < 1)
    return PHI_INVALID;
  static_assert(sizeof(std::atomic<int32_t>) == sizeof(int32_t), "a caller's flag is read in place");
  try {
    return engine->engine.forward({tokens, count, position, logits, rows,
                                   reinterpret_cast<const std::atomic<int32_t> *>(cancel)}, threads);
  } catch (const std::bad_alloc &) {
    return PHI_NO_MEMORY;
  }
}

void phi_close(PhiEngine *engine) { delete engine; }

int32_t phi_product(const char *kernels, const uint8_t *blocks, int32_t type, int32_t rows, int32_t columns,
                    const float *x, int32_t tokens, float *y, int32_t repeat) {
  const Kernels *k = find_kernels(kernels);
  if (!k || !blocks || !x || !y || (type != Q4_0 && type != Q8_0) || rows < 1 || rows % kPanelRows || columns < 64 ||
      columns % 64 || tokens < 1)
    return PHI_INVALID;
  try {
    size_t pair = type == Q4_0 ? kPair4 : kPair8, panel = pair * size_t(columns / 64);
    Array<uint8_t> packed;
    Array<ActivationBlock> activations;
    packed.allocate(panel * size_t(rows / kPanelRows));
    activations.allocate(size_t(tokens) * size_t(columns / kBlock));
    for (int row = 0; row < rows; row++, blocks += row_bytes(type, columns)) {
      uint8_t *to = &packed[size_t(row / kPanelRows) * panel];
      if (type == Q4_0)
        pack_row4(blocks, columns, to, row % kPanelRows, 0);
      else
        pack_row8(type, blocks, columns, nullptr, to, row % kPanelRows, 0);
    }
    const Activations quantized(activations.get(), tokens, columns / kBlock);
    for (int token = 0; token < tokens; token++)
      k->quantize(x + size_t(token) * columns, quantized.blocks, quantized.at(token, 0), quantized.stride(token));
    Matrix matrix{packed.get(), columns / 64, pair, type == Q4_0 ? k->product4 : k->product8};
    for (int i = 0; i < repeat; i++) matrix.multiply(0, rows / kPanelRows, quantized, y, size_t(rows));
    return PHI_OK;
  } catch (const std::bad_alloc &) {
    return PHI_NO_MEMORY;
  }
}
