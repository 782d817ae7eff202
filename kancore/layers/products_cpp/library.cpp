// What kancore.layers.products calls; passes.h says how it is done. The inputs `x` are of all
// networks, [examples, inputs], if they are `shared`, or else [networks, examples, inputs]; outputs
// and gradients by them are [networks, examples, outputs].
#include "passes.h"

extern "C" {

// Digest of these files, so that a library of another version is told.
const char* kancore_source() { return KANCORE_SOURCE; }

// y is what the `activation` gives, and its slopes by what it takes are written to `slopes`; see
// passes.h.
void kancore_forward(const float* x, int shared, const Affine* own, int64_t stack,
                     int64_t examples, int64_t inputs, int64_t outputs, int activation, float* y,
                     float* slopes, int threads) {
  product_all<true>(x, shared, own->weight, own->bias, stack, examples, inputs, outputs, y,
                    {activation, slopes}, threads);
}

void kancore_input_gradient(const float* y, const Affine* own, int64_t stack, int64_t examples,
                            int64_t inputs, int64_t outputs, float* gradient, int threads) {
  product_all<false>(y, false, own->weight, nullptr, stack, examples, outputs, inputs, gradient,
                     {}, threads);
}

// Writes the gradients by the parameters to `to`, from those by the outputs y.
void kancore_gradient(const float* y, const float* x, int shared, const Affine* own,
                      int64_t stack, int64_t examples, int64_t inputs, int64_t outputs,
                      const Affine* to, int threads) {
  parameters_all(y, x, shared, *own, stack, examples, inputs, outputs, to, nullptr, 0, threads);
}

// Updates the parameters of each network, for the time number `steps`, in place of a gradient.
void kancore_update(const float* y, const float* x, int shared, const Affine* own, int64_t stack,
                    int64_t examples, int64_t inputs, int64_t outputs, const Update* updates,
                    double steps, int threads) {
  parameters_all(y, x, shared, *own, stack, examples, inputs, outputs, nullptr, updates, steps,
                 threads);
}
}
