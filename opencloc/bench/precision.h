// The precisions `bench` runs models in, and what the machine can do in each at best.
#pragma once

#include <vector>

#include "opencloc/bench/figure.h"
#include "opencloc/model/cloc/cloc.h"
#include "opencloc/ops/precision.h"

namespace opencloc::bench {

struct BenchPrecision {
  const char* name;
  Precision products;      // of what is not changed by `prepare`
  double (*peak)();        // 10^9 operations a second on all threads, measured once a run
  void (*prepare)(Cloc&);  // after the model is made; null: nothing, and the model can be trained
};
// Of options.precisions; all of them where it is empty.
std::vector<BenchPrecision> precisions_of(const BenchOptions& options);

// Makes a new model one of that precision.
void apply(const BenchPrecision& precision, Cloc& model);

// The device to measure on. Error (input) for a GPU where there is none.
torch::Device device_of(const BenchOptions& options);
// Waits until all that was queued on the device of `t` is computed.
void wait_for(const torch::Tensor& t);
// What 10^9 operations a second a product of large squares reaches there, in the type of the
// precision's products, measured once a run; on the CPU precision.peak().
double peak_of(const BenchPrecision& precision, torch::Device device);

double measured_peak_bf16();
double measured_peak_int8();
double measured_peak_fp32();

}  // namespace opencloc::bench
