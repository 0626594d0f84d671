// Changes of colour and sharpness that leave everything in its place, for the two views of SimCLR
// and SLIP (Chen et al., 2020; Mu et al., 2022). Deterministic: all chance comes from the Rng.
#pragma once

#include "opencloc/base/rng.h"
#include "opencloc/image/image.h"

namespace opencloc {

// Defaults are SLIP's.
struct PhotometricOptions {
  // Factors are drawn from [1 - x, 1 + x], not below 0; the hue moves by up to `hue` of a circle.
  double brightness = 0.4, contrast = 0.4, saturation = 0.4, hue = 0.1;
  double jitter_probability = 0.8;  // of the four together, in a random order
  double grey_probability = 0.2;
  double blur_probability = 0.5;
  double blur_min = 0.1, blur_max = 2.0;  // standard deviation of the Gaussian, pixels
};

// Each by torchvision's formula for tensors (adjust_brightness, ...), on values in [0, 1] that are
// clamped after each step and rounded once at the end.
void change_colours(Image& image, const PhotometricOptions& options, Rng& rng);

// The single steps. Factor 1 (hue 0) changes nothing; brightness 0 is black, contrast 0 the mean
// grey, saturation 0 is grey.
struct ColourFactors {
  double brightness = 1, contrast = 1, saturation = 1, hue = 0;
};
void adjust_colours(Image& image, const ColourFactors& factors);
// A Gaussian of this standard deviation > 0, up to three of them away; edges are mirrored.
void blur(Image& image, double deviation);

}  // namespace opencloc
