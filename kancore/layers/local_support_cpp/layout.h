// How a layer's inputs, parameters and outputs lie in memory, for all of the kernels.
//
// A dense product of a layer multiplies all G + k + 1 functions of an input with their weights, of
// which k + 2 matter: the k + 1 splines around it and the base activation. The kernels touch only
// these. To do so they sort the examples of a batch, input by input, by the interval of the grid that
// they lie in. This is the plan; for one interval the same k + 2 rows of weights serve all its
// examples and stay in registers.
//
//   input 0         input 1         ...     inputs - 1
//   +--------------+---------------+-----+------------+
//   | cell 0       | cell 1        |     |            |  block 0: examples 0 to 255
//   +--------------+---------------+-----+------------+
//   | cell inputs  |               |     |            |  block 1: examples 256 to 511 ...
//   +--------------+---------------+-----+------------+
//     A cell is one input of one block of one network's batch; the networks of a stack share one plan
//     where they have the same inputs. It holds `entries`, examples whose input is not background:
//
//     order    | interval 0 | interval 1 | ... | interval G - 1 | beyond |   sorted, one word an entry:
//              ^ spans[0]   ^ spans[1]                          ^ spans[G]   example << 16 | entry
//     values   spline 0    [entry 0, entry 1, ..., padded to whole vectors]
//              ...
//              spline k    [...]          of the k + 1 splines that are not zero on the interval
//              activation  [...]
//     slopes   the same of their derivatives by the input, where the input's gradient is wanted
//
//     Inputs `beyond` the extended grid have no spline at all, only the activation. Inputs that equal
//     the background (the black of an image, the absence of a word) are in no cell: they contribute
//     one row for each input, whatever the example.
//
//   Parameters lie by network, input and row, a row holding one number for each output:
//
//     coefficients [networks, inputs, G + k, outputs]     rows g to g + k serve interval g
//     base, scale  [networks, inputs, outputs]
//
//   Outputs are done in tiles of a few vectors, whose rows of weights fit the registers:
//
//     outputs of network 0                | outputs of network 1 ...
//     | tile 0        | tile 1    | tile 2| tile 3        | ...
//     While a tile is done, its results [examples, tile's width] lie side by side, in whole vectors.
//
// A file each: plan.h (from inputs to a plan), tiles.h (what the passes share), panels.h (how they
// read and update parameters), forward.h, gradients.h (by parameters, and by inputs), library.cpp
// (what is called from outside). Operations on vectors and the optimizers' steps are in compiled_cpp,
// for all kernels. They are compiled once for each width of vectors, by compiler flags alone;
// kancore.layers.compiled chooses at run time. Results do not depend on the number of threads.
#pragma once

#include <algorithm>
#include <cstdint>

#include "../compiled_cpp/vectors.h"

namespace {

// Examples are planned in blocks, so that a block's rows of outputs stay in the nearest cache.
constexpr int64_t BLOCK = 256;

}  // namespace

// The shape of a plan, and the memory that it lies in; mirrored by local_support.py. A cell is one input
// of one block of one network's batch, number (network * blocks + block) * inputs + input; the networks
// of a stack share one plan where `networks` is 1.
struct Planned {
  int64_t networks, batch, inputs, grid_size, degree;
  int64_t has_slopes, has_background;
  char* memory;
};

// A plan's arrays, where they lie in that memory; found anew for each pass, as memory may be moved.
struct Plan : Planned {
  int64_t* offsets;  // [cells + 1] where a cell's entries begin; padded to whole vectors
  float* values;     // cell: [k + 2, padded entries]: k + 1 splines, then the activation
  float* slopes;     // the same for their derivatives by the input, or null
  uint32_t* order;   // cell: [padded entries]: example of the block << 16 | entry, span by span
  uint16_t* spans;   // [cells, G + 2] where each interval's part of `order` begins, then where
                     // that of inputs beyond the extended grid does, whose splines are all zero
  float* background;          // [inputs] the values left out, or null
  float* background_values;   // [inputs, k + 2] what they give
  int32_t* background_spans;  // [inputs] the interval they lie in
};

// The parameters of all edges, or what belongs to them: gradients, an optimizer's buffers; mirrored
// by local_support.py. A row holds one number for each output. An input's row of weights of spline m
// is scale * coefficients[m]; where the scale is folded into the coefficients, `scale` is null.
struct Edges {
  float* coefficients;  // [networks, inputs, G + k, outputs]
  float* base;          // [networks, inputs, outputs]
  float* scale;         // [networks, inputs, outputs], or null

  // Those of one input, counted through all networks, from one output on.
  Edges of(int64_t input, int64_t splines, int64_t outputs, int64_t output) const {
    const int64_t row = input * outputs + output;
    return {coefficients ? coefficients + input * splines * outputs + output : nullptr,
            base ? base + row : nullptr, scale ? scale + row : nullptr};
  }
};

namespace {

INLINE int64_t blocks_of(const Plan& p) { return (p.batch + BLOCK - 1) / BLOCK; }
INLINE int64_t examples_of(const Plan& p, int64_t block) {
  return std::min(BLOCK, p.batch - block * BLOCK);
}

}  // namespace
