// Pictures of what a masked autoencoder restores, for the report.
#pragma once

#include <vector>

#include "opencloc/data/load/loader_store.h"
#include "opencloc/train/config.h"
#include "opencloc/train/report.h"
#include "opencloc/train/setup.h"

namespace opencloc {

// Appends config.report_pictures pictures of `store`, each the picture, what is seen of it and what
// is restored, side by side, with the errors of the restored patches below: the model's, and that
// of the mean colour of what is seen.
void add_reconstructions(const SampleStore& store, TrainedParts& parts,
                         const SelfSupervisionHeads& heads, const TrainConfig& config,
                         std::vector<ReportPicture>& pictures);

}  // namespace opencloc
