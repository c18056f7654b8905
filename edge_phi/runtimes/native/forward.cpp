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
#include "pool.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <utility>
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
constexpr int kPagePadding = 8192 + 128;  // bytes

bool in_bounds(const PhiGeometry &g) {
  auto within = [](int32_t value, int32_t limit) { return value >= 1 && value <= limit; };
  if (!within(g.layers, 1 << 10) || !within(g.width, 1 << 16) || !within(g.heads, 1 << 10) ||
      !within(g.inner, 1 << 18) || !within(g.vocabulary, 1 << 24) || !within(g.context, 1 << 20))
    return false;
  if (g.width % 64 || g.inner % 64 || g.width % g.heads || (g.bits != 4 && g.bits != 8) ||
      (g.cache_bits != 16 && g.cache_bits != 8))
    return false;
  int32_t head = g.width / g.heads;
  // Blocks of 32 must not lie across two heads, or two pairs of heads.
  if (head % 16 || (head % 32 && g.heads % 2) || head > 512) return false;
  if (!within(g.rotary, head) || g.rotary % 2) return false;
  return g.epsilon > 0 && std::isfinite(g.epsilon) && g.theta > 0 && std::isfinite(g.theta);
}

// Of one head in a page of the cache.
size_t head_bytes(const PhiGeometry &g) {
  const size_t both = size_t(2 * PHI_PAGE), dimension = size_t(g.width / g.heads);
  return both * (g.cache_bits == 16 ? dimension * sizeof(uint16_t) : dimension + sizeof(float));
}

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
  int pairs;  // of blocks in a row
  size_t pair_bytes;
  Product product;

  Matrix(const uint8_t *panels_, int columns, int bits, const Kernels &kernels)
      : panels(panels_), pairs(columns / 64), pair_bytes(bits == 4 ? kPair4 : kPair8),
        product(bits == 4 ? kernels.product4 : kernels.product8) {}

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
  float *x;  // the residual stream [token][width]
  int count;
  int position;
  const int32_t *pages;
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
  Engine(const PhiGeometry &geometry, const PhiPlan &plan, const uint8_t *packed, uint8_t *cache, int page_count,
         const Kernels &kernels)
      : g_(geometry), plan_(plan), packed_(packed), cache_(cache), page_count_(page_count), k_(kernels),
        cached_(geometry.cache_bits == 16 ? kernels.float16 : kernels.int8), head_width_(geometry.width / geometry.heads),
        together_(head_width_ % kBlock ? 2 : 1), padded_context_((geometry.context + kLanes - 1) / kLanes * kLanes),
        head_(packed + plan.head, geometry.width, 8, kernels) {
    for (int l = 0; l < g_.layers; l++) {
      size_t at = plan_.layer_bytes * size_t(l);
      layers_.push_back({{packed_ + at + plan_.first, g_.width, g_.bits, k_},
                         {packed_ + at + plan_.second, g_.width + g_.inner, g_.bits, k_},
                         floats(at + plan_.norm_weight), floats(at + plan_.norm_bias), floats(at + plan_.first_bias),
                         floats(at + plan_.second_bias)});
    }
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
    for (int i = 0; i * PHI_PAGE < all.position + all.count; i++)
      if (all.pages[i] < 0 || all.pages[i] >= page_count_) return PHI_INVALID;
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
      part.x += size_t(done) * size_t(g_.width);
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
    for (int l = 0; l < g_.layers; l++) {
      const Layer &layer = layers_[size_t(l)];
      // Of the last layer, tokens without logits leave nothing behind but their keys and values.
      int from = l == g_.layers - 1 ? c.count - c.rows : 0;
      const Activations normal(normal_.get(), c.count, g_.width / kBlock);
      const Activations last(last_.get(), c.count - from, g_.width / kBlock);
      const Activations inner(inner_.get(), c.count - from, (g_.width + g_.inner) / kBlock);
      step(c.count, [&](int token) {
        k_.normalize(c.x + size_t(token) * g_.width, layer.norm_weight, layer.norm_bias, g_.width, g_.epsilon, scratch);
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
          k_.accumulate(c.x + size_t(from + token) * g_.width + item * kNarrow, y + token * kNarrow,
                        layer.second_bias + item * kNarrow, kNarrow);
      });
    }
    const Activations last(last_.get(), c.rows, g_.width / kBlock);
    step(c.rows, [&](int row) {
      k_.normalize(c.x + size_t(c.count - c.rows + row) * g_.width, floats(plan_.last_norm_weight),
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
    for (int h = 0; h < together_; h++, q += head_width_, k += head_width_, v += head_width_) {
      const Attention a{cache_ + (size_t(layer) * g_.heads + size_t(head + h)) * head_bytes(g_),
                        c.pages, plan_.page_bytes, head_width_, c.position + from, live.tokens, q, size_t(stride),
                        out + h * head_width_, size_t(columns), scores, size_t(padded_context_)};
      for (int token = 0; token < c.count; token++) {
        rotate(k + size_t(token) * stride, c.position + token, 1.0f);
        cached_.remember(a, c.position + token, k + size_t(token) * stride, v + size_t(token) * stride);
      }
      for (int token = from; token < c.count; token++)
        rotate(q + size_t(token - from) * stride, c.position + token, 1.0f / std::sqrt(float(head_width_)));
      cached_.attend(a);
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
  const PhiPlan plan_;
  const uint8_t *packed_;
  uint8_t *cache_;  // [page][layer][head][...]: see Attention
  const int page_count_;
  const Kernels &k_;
  const CacheKernels &cached_;
  const int head_width_;
  const int together_;  // heads in an item: as many as fill whole blocks
  const int padded_context_;
  std::vector<Layer> layers_;
  Matrix head_;
  Array<float> cosines_, sines_;   // [position][pair]
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

int32_t phi_plan(const PhiGeometry *geometry, PhiPlan *plan) {
  if (!geometry || !plan || !in_bounds(*geometry)) return PHI_INVALID;
  const PhiGeometry &g = *geometry;
  uint64_t width = uint64_t(g.width), inner = uint64_t(g.inner), at = 0;
  uint64_t words = (uint64_t(g.vocabulary) + kPanelRows - 1) / kPanelRows * kPanelRows;
  auto place = [&at](uint64_t bytes) { return std::exchange(at, at + (bytes + 63) / 64 * 64); };
  auto panels = [&place](uint64_t rows, uint64_t columns, int bits) {
    return place(rows / kPanelRows * (columns / 64) * (bits == 4 ? kPair4 : kPair8));
  };
  plan->first = panels(3 * width + inner, width, g.bits);
  plan->second = panels(width, width + inner, g.bits);
  plan->norm_weight = place(width * 4);
  plan->norm_bias = place(width * 4);
  plan->first_bias = place((3 * width + inner) * 4);
  plan->second_bias = place(width * 4);
  plan->layer_bytes = at;
  at *= uint64_t(g.layers);
  plan->head = panels(words, width, 8);
  plan->head_bias = place(words * 4);
  plan->last_norm_weight = place(width * 4);
  plan->last_norm_bias = place(width * 4);
  plan->total = at;
  // No multiple of 4096, or a head's parts of all pages would compete for the same lines of the processor's cache.
  plan->page_bytes = uint64_t(g.layers) * uint64_t(g.heads) * head_bytes(g) + kPagePadding;
  return PHI_OK;
}

PhiEngine *phi_open(const PhiGeometry *geometry, const uint8_t *packed, uint64_t packed_bytes, uint8_t *cache,
                    int32_t page_count, const char *kernels) {
  PhiPlan plan;
  const Kernels *chosen = find_kernels(kernels);
  if (!chosen || phi_plan(geometry, &plan) != PHI_OK || !packed || packed_bytes != plan.total || !cache ||
      page_count < 1 || uintptr_t(packed) % 64 || uintptr_t(cache) % 64)
    return nullptr;
  try {
    return new PhiEngine{{*geometry, plan, packed, cache, page_count, *chosen}};
  } catch (const std::bad_alloc &) {
    return nullptr;
  }
}

int32_t phi_forward(PhiEngine *engine, float *x, int32_t count, int32_t position, const int32_t *pages, float *logits,
                    int32_t rows, int32_t threads, const int32_t *cancel) {
  if (!engine || !x || !pages || count < 1 || position < 0 || rows < 0 || rows > count || (rows && !logits) ||
      threads < 1)
    return PHI_INVALID;
  static_assert(sizeof(std::atomic<int32_t>) == sizeof(int32_t), "a caller's flag is read in place");
  try {
    return engine->engine.forward({x, count, position, pages, logits, rows,
                                   reinterpret_cast<const std::atomic<int32_t> *>(cancel)}, threads);
  } catch (const std::bad_alloc &) {
    return PHI_NO_MEMORY;
  }
}

void phi_close(PhiEngine *engine) { delete engine; }

int32_t phi_product(const char *kernels, const uint8_t *panels, int32_t bits, int32_t rows, int32_t columns,
                    const float *x, int32_t tokens, float *y, int32_t repeat) {
  const Kernels *k = find_kernels(kernels);
  if (!k || !panels || uintptr_t(panels) % 64 || !x || !y || (bits != 4 && bits != 8) || rows < 1 ||
      rows % kPanelRows || columns < 64 || columns % 64 || tokens < 1)
    return PHI_INVALID;
  try {
    Array<ActivationBlock> activations;
    activations.allocate(size_t(tokens) * size_t(columns / kBlock));
    const Activations quantized(activations.get(), tokens, columns / kBlock);
    for (int token = 0; token < tokens; token++)
      k->quantize(x + size_t(token) * columns, quantized.blocks, quantized.at(token, 0), quantized.stride(token));
    const Matrix matrix(panels, columns, bits, *k);
    for (int i = 0; i < repeat; i++) matrix.multiply(0, rows / kPanelRows, quantized, y, size_t(rows));
    return PHI_OK;
  } catch (const std::bad_alloc &) {
    return PHI_NO_MEMORY;
  }
}
