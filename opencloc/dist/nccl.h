// Groups over NCCL, NVIDIA's library of exchanges between GPUs, by its C interface. It and the CUDA
// runtime are loaded when they are first asked for, so that one binary runs with and without them.
// Private to opencloc/dist.
#pragma once

#include <memory>
#include <string>

#include "opencloc/dist/gloo.h"
#include "opencloc/dist/group.h"

namespace opencloc::dist {

// Why NCCL cannot be used here: this build was made without its header, or its library or the CUDA
// runtime does not load. Empty: it can.
std::string why_no_nccl();
// "2.28.9"; empty where why_no_nccl() has something to say.
std::string nccl_version();

// Tensors of GPU number `device` go over NCCL, those of main memory to `host`. Every process has a
// GPU of its own. Calls leave their work on the GPU and do not wait for it. Where it does not end
// within the job's timeout, or another process failed, it is broken off, and the next call throws.
std::unique_ptr<Group> make_nccl_group(std::shared_ptr<Job> job, std::unique_ptr<Group> host,
                                       int device, const std::string& name);

}  // namespace opencloc::dist
