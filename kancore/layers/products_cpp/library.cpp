// What kancore.layers.products calls; passes.h says how it is done. The inputs `x` are of all
// networks, [examples, inputs], if they are `shared`, or else [networks, examples, inputs]; outputs
// and gradients by them are [networks, examples, outputs].
#include "passes.h"

extern "C" {

// Digest of these files' tokens, so that a library of another version is told.
const char* kancore_source() { return KANCORE_SOURCE; }

// y is what the `activation` gives, and its slopes by what it takes are written to `slopes`; see
// passes.h.
void kancore_forward(const float* x, int shared, const Affine* own, int64_t stack,
                     int64_t examples, int64_t inputs, int64_t outputs, int activation, float* y,
                     float* slopes, int threads) {
  product_all<true>(x, shared, own->weight, own->bias, stack, examples, inputs, outputs, y,
                    {activation, slopes}, stack * examples * outputs > UNCACHED, threads);
}

// Gradients from those by y: of the inputs to `to_x`, and of the parameters to `to`, or updates of
// them, for the time number `steps`, in place of these; see passes.h.
void kancore_backward(const float* y, const float* slopes, const float* x, int shared,
                      const Affine* own, int64_t stack, int64_t examples, int64_t inputs,
                      int64_t outputs, float* to_x, const Affine* to, const Update* updates,
                      double steps, int threads) {
  backward_all(y, slopes, x, shared, *own, stack, examples, inputs, outputs, to_x, to, updates,
               steps, threads);
}
}
