// Included last: the table of everything above.
#pragma once

#include "opencloc/kernels/isa/kernel_table.h"

namespace opencloc::kernels {
namespace {

constexpr KernelTable kTable = {
    .gelu_forward = gelu_forward_range,
    .gelu_backward = gelu_backward_range,
    .bias_gelu_forward = bias_gelu_range,
    .add_bias = add_bias_range,
    .column_sums = column_sums_range,
    .layer_norm_forward = layer_norm_forward_range,
    .layer_norm_backward = layer_norm_backward_range,
    .attention_forward = attention_forward_pair,
    .attention_backward = attention_backward_pair,
    .attention_scratch = attention_scratch_floats,
    .attention_forward_bf16 = attention_forward_pair_bf16,
    .attention_backward_bf16 = attention_backward_pair_bf16,
    .attention_scratch_bf16 = attention_scratch_floats_bf16,
    .adamw = adamw_range,
    .sum_of_squares = sum_of_squares_range,
    .similarity_sums = similarity_sums,
    .similarity_gradient = similarity_gradient,
    .pack_rows = pack_rows,
    .pack_columns = pack_columns,
    .transpose_tile = transpose_tile,
    .begin_blocks = begin_blocks,
    .end_blocks = end_blocks,
    .block = block,
    .block_rows = block_rows,
    .finish_bias = finish_bias,
    .finish_gelu = finish_gelu,
    .finish_gelu_backward = finish_gelu_backward,
    .finish_gelu_sums = finish_gelu_sums,
    .gelu_backward_rows = gelu_backward_rows,
    .block_rows_fp32 = block_rows_fp32,
    .finish_gelu_fp32 = finish_gelu_fp32,
    .quantize_rows = quantize_rows,
    .block_int8 = block_int8,
    .finish_int8 = finish_int8,
    .finish_int8_gelu = finish_int8_gelu,
    .scan_rows = scan_rows,
    .scan_bins = scan_bins,
};

}  // namespace
}  // namespace opencloc::kernels
