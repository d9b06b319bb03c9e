// The levels of hash_embed.hpp, on one thread.
#pragma once
#include "kernels/cpu.hpp"
#include "kernels/hash_embed.hpp"

namespace octet::kernels {

OCTET_KERNEL_LEVELS(
    /// out[i] for begin <= i < end.
    void hash_embed_rows(const HashIndex& index, const float* token, const float* const* tables, float* out,
                         int64_t begin, int64_t end);
    /// Columns [from, to) of table row rows[i] += scale * x[i], i < N in order. table [*,D], x [N,D].
    void scatter_add(float* table, const int32_t* rows, const float* x, float scale, int64_t N, int64_t D, int64_t from,
                     int64_t to);)

}  // namespace octet::kernels
