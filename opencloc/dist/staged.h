// A group of processes whose tensors may lie on devices, over one that knows main memory only: what
// lies on a device is exchanged by way of page-locked memory. For several processes on one GPU,
// which NCCL refuses, and where there is no NCCL. Private to opencloc/dist.
#pragma once

#include <memory>

#include "opencloc/dist/group.h"

namespace opencloc::dist {

// Tensors of main memory go to `host` as they are. Each call with a device's tensor waits for it.
std::unique_ptr<Group> make_staged_group(std::unique_ptr<Group> host);

}  // namespace opencloc::dist
