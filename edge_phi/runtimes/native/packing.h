// Packed weights: where everything lies, and how it gets there from a GGUF file.
#pragma once

#include "engine.h"

#include <cstddef>
#include <cstdint>

namespace edge_phi {

constexpr int32_t kFormat = 1;  // to be raised with every change of the layout

enum Type : int32_t { F32 = 0, F16 = 1, Q4_0 = 2, Q8_0 = 8, Q6_K = 14 };

constexpr int kBlock = 32;       // weights that share a scale
constexpr int kPanelRows = 16;   // output rows of a panel
constexpr size_t kPair4 = 576, kPair8 = 1088;  // bytes of a panel for two blocks of its columns

// Offsets in bytes from the start of the packed weights; all multiples of 64.
struct Plan {
  // of a layer, from its start
  size_t first;        // panels [q | k | v | MLP up] of `width` columns
  size_t second;       // panels of `width` rows and the columns [attention output | MLP down]
  size_t norm_weight, norm_bias, first_bias, second_bias;  // second_bias: that of both products
  size_t layer_bytes;
  // of the model
  size_t head;         // panels of 8 bits
  size_t head_bias;    // padded with zeros to whole panels
  size_t last_norm_weight, last_norm_bias;
  size_t embedding;    // rows as they are in the file
  size_t total;
};

// False if the geometry is out of bounds or not supported.
bool make_plan(const PhiGeometry &geometry, Plan &plan);

// Bytes of a row of `columns` weights, 0 if the type is not supported or has no such rows.
uint64_t row_bytes(int32_t type, int64_t columns);

// One row as floats.
void decode_row(int32_t type, const uint8_t *row, int64_t columns, float *out);

// Blocks of one row into line `row` of a panel of 4 bits (from Q4_0) or 8 bits (from any type), from column block
// `first_block` of the panel on. `scratch` holds `columns` floats.
void pack_row4(const uint8_t *blocks, int64_t columns, uint8_t *panel, int row, int64_t first_block);
void pack_row8(int32_t type, const uint8_t *data, int64_t columns, float *scratch, uint8_t *panel, int row,
               int64_t first_block);

float half_to_float(uint16_t half);
uint16_t float_to_half(float value);  // to the nearest, ties to even

}  // namespace edge_phi
