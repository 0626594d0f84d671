// Names of tensors as training code leaves them: "module." (DistributedDataParallel), "_orig_mod."
// (torch.compile), "model." (Lightning), "student.", and one inside the other.
#pragma once

#include <initializer_list>
#include <string_view>

#include "opencloc/checkpoint/file/stored_tensors.h"

namespace opencloc {

// The tensors without what stands before every name of the model. `anchors`: names of one tensor
// that every model of the layout has, the first that is found decides; the part before it ends
// with a dot. Tensors without that part are left out, with a note, but for logit_scale. Error
// (input) when several models lie in the file ("student.", "teacher.").
StoredTensors without_wrappers(const StoredTensors& weights,
                               std::initializer_list<std::string_view> anchors);

// Is one of `anchors` there, wrapped or not?
bool has_wrapped(const StoredTensors& weights, std::initializer_list<std::string_view> anchors);

}  // namespace opencloc
