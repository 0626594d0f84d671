// What the parts of a reader make of given tensors: reader_parts MODEL IN.safetensors
// OUT.safetensors
//
// IN: "tokens" [B, N, D] of the tower, "ids" [B, L] int64 with N places for a picture each, and
// where they name regions "region_image" [R] int64 and "clouds" [R, P, 2]. OUT: "embedded" [B, L,
// H], what the language model reads, and "logits" [B, L, V], what it says. bench/drop_in.py
// compares both with other programs' modules.
#include <cstdio>
#include <exception>

#include <torch/utils.h>

#include "opencloc/checkpoint/file/safetensors.h"
#include "opencloc/mllm/mllm_model.h"

int main(int argc, char** argv) {
  using namespace opencloc;
  if (argc != 4) {
    std::fprintf(stderr, "usage: reader_parts MODEL IN.safetensors OUT.safetensors\n");
    return 2;
  }
  try {
    const torch::NoGradGuard no_grad;
    MllmModel model = load_mllm(argv[1]);
    const SafetensorsFile in(argv[2]);
    MllmRegions regions;
    if (in.find("clouds") != nullptr) {
      regions.image_index = in.tensor("region_image");
      regions.points = in.tensor("clouds");
    }
    const auto embedded = model.reader->embed(in.tensor("ids"), in.tensor("tokens"), regions);
    const auto logits =
        model.reader->language_model->logits(model.reader->language_model(embedded));
    write_safetensors(argv[3], {{"embedded", embedded}, {"logits", logits}});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "reader_parts: %s\n", error.what());
    return 1;
  }
}
