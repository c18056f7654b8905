// From GGUF's blocks to panels, without loss for Q4_0 and Q8_0.
//
// GGUF keeps a matrix row by row. A product wants sixteen rows beside one another, one in each lane of a register, so
// that one activation (broadcast) meets sixteen weights and no sum ever has to be taken across lanes. A panel is
// sixteen rows; it runs along the columns in pairs of blocks of 32:
//
//   4 bits, 576 bytes a pair                         8 bits, 1088 bytes a pair
//   [16 scales of block 0][16 scales of block 1]     the same: float16, 64 bytes
//   block 0: 4 lines of 64 bytes                     block 0: 8 lines of 64 bytes
//   block 1: 4 lines of 64 bytes                     block 1: 8 lines of 64 bytes
//
//   line j, bytes 4r..4r+3 are row r:                line j, bytes 4r..4r+3 are row r:
//     low nibbles:  columns 8j   .. 8j+3  (0..15)      columns 4j .. 4j+3  (int8)
//     high nibbles: columns 8j+4 .. 8j+7  (0..15)
//
// Four columns of a row are the four bytes that one dot-product instruction sums up. Line by line this is the size of
// the file's own blocks, 18 and 34 bytes for 32 weights.
#include "packing.h"

#include <cmath>
#include <cstring>
#include <new>

namespace edge_phi {
namespace {

constexpr int kLayerTensors = 10, kLastTensors = 5;
constexpr int kHeadParts = 8;  // the output head is as large as several layers

size_t aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

size_t panel_bytes(int64_t columns, int32_t bits) { return size_t(columns / 64) * (bits == 4 ? kPair4 : kPair8); }

int64_t panels(int64_t rows) { return (rows + kPanelRows - 1) / kPanelRows; }

bool in_bounds(const PhiGeometry &g) {
  auto within = [](int32_t value, int32_t limit) { return value >= 1 && value <= limit; };
  if (!within(g.layers, 1 << 10) || !within(g.width, 1 << 16) || !within(g.heads, 1 << 10) ||
      !within(g.inner, 1 << 18) || !within(g.vocabulary, 1 << 24) || !within(g.context, 1 << 20))
    return false;
  if (g.width % 64 || g.inner % 64 || g.width % g.heads || (g.bits != 4 && g.bits != 8)) return false;
  int32_t head = g.width / g.heads;
  // Blocks of 32 must not lie across two heads, or two pairs of heads.
  if (head % 16 || (head % 32 && g.heads % 2) || head > 512) return false;
  if (!within(g.rotary, head) || g.rotary % 2) return false;
  return g.epsilon > 0 && std::isfinite(g.epsilon) && g.theta > 0 && std::isfinite(g.theta) &&
         row_bytes(g.embedding_type, g.width) > 0;
}

// A tensor that is known to be what it should be, and to lie inside the file.
const uint8_t *checked(const PhiTensor &t, int64_t rows, int64_t columns, const uint8_t *file, uint64_t file_bytes) {
  uint64_t bytes = row_bytes(t.type, columns);
  if (t.rows != rows || t.columns != columns || !bytes || t.bytes != bytes * uint64_t(rows)) return nullptr;
  if (t.offset > file_bytes || t.bytes > file_bytes - t.offset) return nullptr;
  return file + t.offset;
}

struct Source {
  const PhiGeometry &geometry;
  const Plan &plan;
  const PhiTensor *tensors;
  const uint8_t *file;
  uint64_t file_bytes;
  uint8_t *packed;
  float *scratch;  // of the longest row

  bool floats(const PhiTensor &t, int64_t count, size_t at) const {
    const uint8_t *data = checked(t, 1, count, file, file_bytes);
    if (!data || t.type != F32) return false;
    std::memcpy(packed + at, data, size_t(count) * 4);
    return true;
  }

  // Rows `from`..`to` of a matrix into the panels at `at`, from their row `first_row` and column block on.
  bool matrix(const PhiTensor &t, int64_t rows, int64_t columns, size_t at, int64_t panel_columns, int32_t bits,
              int64_t first_row, int64_t first_block, int64_t from, int64_t to) const {
    const uint8_t *data = checked(t, rows, columns, file, file_bytes);
    if (!data || (bits == 4 && t.type != Q4_0)) return false;
    uint64_t bytes = row_bytes(t.type, columns);
    for (int64_t row = from; row < to; row++) {
      int64_t target = first_row + row;
      uint8_t *panel = packed + at + size_t(target / kPanelRows) * panel_bytes(panel_columns, bits);
      int lane = int(target % kPanelRows);
      if (bits == 4)
        pack_row4(data + bytes * uint64_t(row), columns, panel, lane, first_block);
      else
        pack_row8(t.type, data + bytes * uint64_t(row), columns, scratch, panel, lane, first_block);
    }
    return true;
  }

  bool layer(int index) const {
    const PhiGeometry &g = geometry;
    const PhiTensor *t = tensors + index * kLayerTensors;
    for (int matrix = 2; matrix <= 8; matrix += 2)  // any other type would lose something on its way into a panel
      if (t[matrix].type != Q4_0 && t[matrix].type != Q8_0) return false;
    size_t at = plan.layer_bytes * size_t(index);
    int64_t both = int64_t(g.width) + g.inner;
    if (!(floats(t[0], g.width, at + plan.norm_weight) && floats(t[1], g.width, at + plan.norm_bias) &&
          matrix(t[2], 3 * int64_t(g.width), g.width, at + plan.first, g.width, g.bits, 0, 0, 0, 3 * g.width) &&
          floats(t[3], 3 * int64_t(g.width), at + plan.first_bias) &&
          matrix(t[4], g.width, g.width, at + plan.second, both, g.bits, 0, 0, 0, g.width) &&
          floats(t[5], g.width, at + plan.second_bias) &&
          matrix(t[6], g.inner, g.width, at + plan.first, g.width, g.bits, 3 * int64_t(g.width), 0, 0, g.inner) &&
          floats(t[7], g.inner, at + plan.first_bias + size_t(g.width) * 12) &&
          matrix(t[8], g.width, g.inner, at + plan.second, both, g.bits, 0, g.width / kBlock, 0, g.width)))
      return false;
    const uint8_t *bias = checked(t[9], 1, g.width, file, file_bytes);
    if (!bias || t[9].type != F32) return false;
    for (int i = 0; i < g.width; i++) {
      float a, b;
      std::memcpy(&a, packed + at + plan.second_bias + size_t(i) * 4, 4);
      std::memcpy(&b, bias + size_t(i) * 4, 4);
      a += b;
      std::memcpy(packed + at + plan.second_bias + size_t(i) * 4, &a, 4);
    }
    return true;
  }

  bool head(int slice) const {
    const PhiGeometry &g = geometry;
    const PhiTensor *t = tensors + g.layers * kLayerTensors;
    int64_t rows = panels(g.vocabulary) * kPanelRows;
    int64_t from = rows / kPanelRows * slice / kHeadParts * kPanelRows;
    int64_t to = rows / kPanelRows * (slice + 1) / kHeadParts * kPanelRows;
    size_t bytes = panel_bytes(g.width, 8);
    std::memset(packed + plan.head + size_t(from / kPanelRows) * bytes, 0, size_t((to - from) / kPanelRows) * bytes);
    if (!matrix(t[3], g.vocabulary, g.width, plan.head, g.width, 8, 0, 0, from, to < g.vocabulary ? to : g.vocabulary))
      return false;
    if (slice) return true;
    std::memset(packed + plan.head_bias, 0, size_t(rows) * 4);
    const uint8_t *embedding = checked(t[0], g.vocabulary, g.width, file, file_bytes);
    if (!embedding || t[0].type != g.embedding_type) return false;
    std::memcpy(packed + plan.embedding, embedding, t[0].bytes);
    return floats(t[1], g.width, plan.last_norm_weight) && floats(t[2], g.width, plan.last_norm_bias) &&
           floats(t[4], g.vocabulary, plan.head_bias);
  }
};

// The codes of a block of Q4_0 or Q8_0; returns its scale.
uint16_t read_block(int32_t type, const uint8_t *block, int8_t codes[kBlock]) {
  uint16_t scale;
  std::memcpy(&scale, block, 2);
  if (type == Q8_0) std::memcpy(codes, block + 2, kBlock);
  for (int i = 0; type == Q4_0 && i < 16; i++) {
    codes[i] = int8_t((block[2 + i] & 15) - 8);
    codes[i + 16] = int8_t((block[2 + i] >> 4) - 8);
  }
  return scale;
}

// 32 floats rounded to int8; returns their scale.
uint16_t round_block(const float *x, int8_t codes[kBlock]) {
  float top = 0;
  for (int k = 0; k < kBlock; k++) top = std::fabs(x[k]) > top ? std::fabs(x[k]) : top;
  uint16_t scale = float_to_half(top / 127);
  float used = half_to_float(scale);
  for (int k = 0; k < kBlock; k++) {
    float code = used > 0 ? x[k] / used : 0;
    code = code > 127 ? 127 : code >= -127 ? code : code < -127 ? -127 : 0;  // the last: not a number
    codes[k] = int8_t(std::nearbyint(code));
  }
  return scale;
}

void decode_q6_k(const uint8_t *block, float *out) {
  uint16_t half;
  std::memcpy(&half, block + 208, 2);
  float scale = half_to_float(half);
  // 256 weights: 128 bytes of low nibbles, 64 bytes of upper pairs of bits, 16 int8 scales. Each half of 128 weights
  // is four runs of 32 that share their bytes of upper bits.
  for (int part = 0; part < 2; part++)
    for (int run = 0; run < 4; run++)
      for (int i = 0; i < 32; i++) {
        uint8_t low = block[part * 64 + (run % 2) * 32 + i];
        uint8_t high = block[128 + part * 32 + i];
        int code = (run < 2 ? low & 15 : low >> 4) | ((high >> (2 * run)) & 3) << 4;
        int8_t sub = int8_t(block[192 + part * 8 + run * 2 + i / 16]);
        out[part * 128 + run * 32 + i] = scale * float(sub) * float(code - 32);
      }
}

}  // namespace

bool make_plan(const PhiGeometry &g, Plan &plan) {
  if (!in_bounds(g)) return false;
  size_t width = size_t(g.width), inner = size_t(g.inner), words = size_t(panels(g.vocabulary)) * kPanelRows;
  size_t at = 0;
  auto place = [&at](size_t bytes) {
    size_t start = at;
    at += aligned(bytes);
    return start;
  };
  plan.first = place((3 * width + inner) / kPanelRows * panel_bytes(g.width, g.bits));
  plan.second = place(width / kPanelRows * panel_bytes(g.width + g.inner, g.bits));
  plan.norm_weight = place(width * 4);
  plan.norm_bias = place(width * 4);
  plan.first_bias = place((3 * width + inner) * 4);
  plan.second_bias = place(width * 4);
  plan.layer_bytes = at;
  at *= size_t(g.layers);
  plan.head = place(words / kPanelRows * panel_bytes(g.width, 8));
  plan.head_bias = place(words * 4);
  plan.last_norm_weight = place(width * 4);
  plan.last_norm_bias = place(width * 4);
  plan.embedding = place(size_t(g.vocabulary) * row_bytes(g.embedding_type, g.width));
  plan.total = at;
  return true;
}

uint64_t row_bytes(int32_t type, int64_t columns) {
  auto blocks = [columns](int64_t size, uint64_t bytes) {
    return columns < 1 || columns % size ? 0 : uint64_t(columns / size) * bytes;
  };
  switch (type) {
    case F32: return blocks(1, 4);
    case F16: return blocks(1, 2);
    case Q4_0: return blocks(32, 18);
    case Q8_0: return blocks(32, 34);
    case Q6_K: return blocks(256, 210);
    default: return 0;
  }
}

void decode_row(int32_t type, const uint8_t *row, int64_t columns, float *out) {
  uint16_t half;
  switch (type) {
    case F32: std::memcpy(out, row, size_t(columns) * 4); break;
    case F16:
      for (int64_t i = 0; i < columns; i++) {
        std::memcpy(&half, row + i * 2, 2);
        out[i] = half_to_float(half);
      }
      break;
    case Q4_0:
    case Q8_0:
      for (; columns > 0; columns -= kBlock, row += row_bytes(type, kBlock), out += kBlock) {
        int8_t codes[kBlock];
        float scale = half_to_float(read_block(type, row, codes));
        for (int i = 0; i < kBlock; i++) out[i] = scale * float(codes[i]);
      }
      break;
    case Q6_K:
      for (; columns > 0; columns -= 256, row += 210, out += 256) decode_q6_k(row, out);
      break;
  }
}

void pack_row4(const uint8_t *blocks, int64_t columns, uint8_t *panel, int row, int64_t first_block) {
  for (int64_t b = first_block; b < first_block + columns / kBlock; b++, blocks += 18) {
    uint8_t *pair = panel + size_t(b / 2) * kPair4;
    std::memcpy(pair + (b % 2) * 32 + row * 2, blocks, 2);
    uint8_t *lines = pair + 64 + (b % 2) * 256 + row * 4;
    // Byte i of the file holds columns i and i + 16; a line's byte holds columns that are four apart.
    const uint8_t *codes = blocks + 2;
    for (int t = 0; t < 4; t++) {
      lines[t] = uint8_t((codes[t] & 15) | codes[4 + t] << 4);
      lines[64 + t] = uint8_t((codes[8 + t] & 15) | codes[12 + t] << 4);
      lines[128 + t] = uint8_t(codes[t] >> 4 | (codes[4 + t] & 0xf0));
      lines[192 + t] = uint8_t(codes[8 + t] >> 4 | (codes[12 + t] & 0xf0));
    }
  }
}

void pack_row8(int32_t type, const uint8_t *data, int64_t columns, float *scratch, uint8_t *panel, int row,
               int64_t first_block) {
  bool decoded = type != Q4_0 && type != Q8_0;
  uint64_t bytes = row_bytes(type, kBlock);
  if (decoded) decode_row(type, data, columns, scratch);
  for (int64_t i = 0; i < columns / kBlock; i++) {
    int8_t codes[kBlock];
    uint16_t scale = decoded ? round_block(scratch + i * kBlock, codes) : read_block(type, data + i * bytes, codes);
    int64_t b = first_block + i;
    uint8_t *pair = panel + size_t(b / 2) * kPair8;
    std::memcpy(pair + (b % 2) * 32 + row * 2, &scale, 2);
    for (int j = 0; j < 8; j++) std::memcpy(pair + 64 + (b % 2) * 512 + j * 64 + row * 4, codes + j * 4, 4);
  }
}

float half_to_float(uint16_t half) {
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

uint16_t float_to_half(float value) {
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

}  // namespace edge_phi

using namespace edge_phi;

int32_t phi_format() { return kFormat; }

int64_t phi_packed_bytes(const PhiGeometry *geometry) {
  Plan plan;
  return geometry && make_plan(*geometry, plan) ? int64_t(plan.total) : -1;
}

int32_t phi_pack_parts(const PhiGeometry *geometry) { return geometry->layers + kHeadParts; }

int32_t phi_pack(const PhiGeometry *geometry, const PhiTensor *tensors, int32_t tensor_count, const uint8_t *file,
                 uint64_t file_bytes, uint8_t *packed, uint64_t packed_bytes, int32_t part) {
  Plan plan;
  if (!geometry || !tensors || !file || !packed || !make_plan(*geometry, plan) || packed_bytes != plan.total ||
      uintptr_t(packed) % 64 || part < 0 || part >= phi_pack_parts(geometry) ||
      tensor_count != geometry->layers * kLayerTensors + kLastTensors)
    return PHI_INVALID;
  float *scratch = new (std::nothrow) float[size_t(geometry->width) + size_t(geometry->inner)];
  if (!scratch) return PHI_NO_MEMORY;
  Source source{*geometry, plan, tensors, file, file_bytes, packed, scratch};
  bool done = part < geometry->layers ? source.layer(part) : source.head(part - geometry->layers);
  delete[] scratch;
  return done ? PHI_OK : PHI_INVALID;
}
