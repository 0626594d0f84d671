// Replacing folders, and sets of files in a folder, so that a process may be killed at any moment:
// what is there is the old or the new, whole, or is made so when work starts again.
//
// Disks that exchange two folders in one step (ext4, XFS, btrfs, overlayfs, tmpfs) always have one
// under the name. Where the system cannot (NFS, many Lustre and FUSE mounts), the old folder is
// called ".NAME.replaced" for a moment.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace opencloc {

// Gives the folder `complete` the name `target`. An older folder there is removed. Throws Error
// (failed); the older one is then still there.
void publish_folder(const std::filesystem::path& complete, const std::filesystem::path& target);

// What a killed publish_folder() left: gives ".NAME.replaced" its name back where nothing has it,
// removes it where the new one is in place. For the one process that writes there.
void recover_folder(const std::filesystem::path& target);
// The same for everything in `parent`.
void recover_folders(const std::filesystem::path& parent);

// For readers: `path`, or, where nothing has that name, the folder that was being replaced.
std::filesystem::path current_folder(const std::filesystem::path& path);

// The hidden folder that a new set of files lies in from the moment it counts.
inline constexpr const char* kPublishedSet = ".publishing";

// Moves the files `names` from the folder `staged` into `folder`, where they replace files of these
// names, and removes the files `old_names` there. `staged`, in `folder`, is on the disk already. It
// is renamed to kPublishedSet first: before that the old set counts, afterwards the new one.
void publish_files(const std::filesystem::path& staged, const std::filesystem::path& folder,
                   const std::vector<std::string>& names,
                   const std::vector<std::string>& old_names);

// Ends what a killed publish_files() began. For the one process that writes there.
void finish_publishing(const std::filesystem::path& folder);

// Whether a publish_files() is under way in the folder, or was killed.
bool is_publishing(const std::filesystem::path& folder);
// For readers: where the files of these names are now, new ones included and old ones left out. In
// the order of their names.
std::vector<std::filesystem::path> published_files(const std::filesystem::path& folder,
                                                   std::vector<std::string> names);

}  // namespace opencloc
