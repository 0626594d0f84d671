// What the C library does with memory that requests have freed.
#pragma once

namespace opencloc::serve {

// For a process that answers for months: large blocks go back to the system at once, and small ones
// come from one heap, which is cut when its end is free. By itself the C library has a heap for
// each thread, keeps blocks of up to 32 MiB after the first that was freed, and so grows with every
// odd size of a request. To be called before threads are started; for the whole process.
void keep_little_freed_memory();

}  // namespace opencloc::serve
