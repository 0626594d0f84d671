// The tensors of PyTorch files: what torch.save and TorchScript write since PyTorch 1.6 (a zip
// archive). Read as data; nothing of theirs is run (see torch_pickle.h).
#pragma once

#include <filesystem>
#include <span>

#include "opencloc/checkpoint/file/stored_tensors.h"

namespace opencloc {

// Begins like one of PyTorch's formats, the old one (before 1.6) included.
bool looks_like_torch_file(std::span<const std::byte> start);

// A state dict {"NAME": tensor}, one within {"state_dict": {...}} (open_clip's training
// checkpoints; also "model_state_dict", "model", "module", or the only one there is), or a
// TorchScript module (OpenAI's archives), whose parameters and buffers are named by their path.
// What lies beside (optimizers, numbers of numpy, argparse.Namespace) is passed over. "module."
// (DistributedDataParallel) and "_orig_mod." (torch.compile) are taken off the names. Tensors are
// windows into the mapped file.
// Error (input) for the old format, for a file without tensors or with several models, for tensors
// of types that are not read, for names that reach out of a pickle, and for damage.
StoredTensors open_torch_checkpoint(const std::filesystem::path& path);

}  // namespace opencloc
