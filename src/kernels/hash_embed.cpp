#include "kernels/hash_embed.hpp"

#include "base/error.hpp"
#include "kernels/hash_embed_kernels.hpp"

#include <algorithm>
#include <numeric>

namespace octet::kernels {

namespace {

constexpr int64_t kColumnGrain = 16;  // a cache line of a row
constexpr int64_t kBlock = 256;       // positions whose gradient rows stay in cache while all tables take them

void scatter(float* table, const int32_t* rows, const float* x, float scale, int64_t N, int64_t D, int64_t from,
             int64_t to) {
  (has_avx512() ? avx512::scatter_add : generic::scatter_add)(table, rows, x, scale, N, D, from, to);
}

}  // namespace

void hash_embed(const HashIndex& index, const float* token, std::span<const float* const> tables, float* out,
                Threads& threads) {
  OCTET_ASSERT(std::ssize(tables) == index.tables);
  threads.split(index.N, 16, [&](int64_t begin, int64_t end) {
    (has_avx512() ? avx512::hash_embed_rows : generic::hash_embed_rows)(index, token, tables.data(), out, begin, end);
  });
}

void hash_embed_backward(const HashIndex& index, const float* d_out, float* d_token, std::span<float* const> d_tables,
                         Threads& threads) {
  OCTET_ASSERT(std::ssize(d_tables) == index.tables);
  const int64_t D = index.D;
  threads.split(D, kColumnGrain, [&](int64_t from, int64_t to) {
    for (int64_t i = 0; i < index.N; i += kBlock) {
      const int64_t n = std::min(kBlock, index.N - i);
      const float* x = d_out + i * D;
      if (d_token) scatter(d_token, index.ids + i, x, index.scale, n, D, from, to);
      for (int64_t t = 0; t < index.tables; ++t) {
        float* table = d_tables[static_cast<size_t>(t)];
        if (table) scatter(table, index.rows + t * index.N + i, x, index.scale, n, D, from, to);
      }
    }
  });
}

SparseGradient::SparseGradient(int64_t rows, int64_t D) : D_(D), slots_(static_cast<size_t>(rows), -1) {
  OCTET_ASSERT(rows >= 0 && D >= 1);
}

void SparseGradient::clear() {
  for (const int64_t row : rows_) slots_[static_cast<size_t>(row)] = -1;
  std::fill_n(values_.begin(), size() * D_, 0.f);
  rows_.clear();
}

int32_t SparseGradient::slot(int64_t row) {
  int32_t& s = slots_[static_cast<size_t>(row)];
  if (s < 0) {
    s = static_cast<int32_t>(rows_.size());
    rows_.push_back(row);
  }
  return s;
}

void SparseGradient::grow() {
  const auto needed = static_cast<size_t>(size() * D_);
  if (needed > values_.size()) values_.resize(std::max(needed, values_.size() + values_.size() / 2));
}

void SparseGradient::add(const int32_t* rows, int64_t N, const float* d_out, float scale, Threads& threads) {
  places_.resize(static_cast<size_t>(N));
  for (size_t i = 0; i < places_.size(); ++i) places_[i] = slot(rows[i]);
  grow();
  threads.split(D_, kColumnGrain, [&](int64_t from, int64_t to) {
    scatter(values_.data(), places_.data(), d_out, scale, N, D_, from, to);
  });
}

void SparseGradient::add(const SparseGradient& other, Threads& threads) {
  OCTET_ASSERT(other.D_ == D_ && other.slots_.size() == slots_.size() && &other != this);
  places_.resize(other.rows_.size());
  for (size_t i = 0; i < places_.size(); ++i) places_[i] = slot(other.rows_[i]);
  grow();
  threads.split(D_, kColumnGrain, [&](int64_t from, int64_t to) {
    scatter(values_.data(), places_.data(), other.values(), 1, other.size(), D_, from, to);
  });
}

void SparseGradient::sort() {
  std::vector<int32_t> order(rows_.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, {}, [&](int32_t s) { return rows_[static_cast<size_t>(s)]; });
  std::vector<float> values(values_.size());
  std::vector<int64_t> rows(rows_.size());
  for (size_t i = 0; i < order.size(); ++i) {
    const auto from = static_cast<size_t>(order[i]);
    rows[i] = rows_[from];
    slots_[static_cast<size_t>(rows[i])] = static_cast<int32_t>(i);
    std::copy_n(values_.begin() + static_cast<int64_t>(from) * D_, D_, values.begin() + static_cast<int64_t>(i) * D_);
  }
  rows_.swap(rows), values_.swap(values);
}

void hash_embed_ref(const HashIndex& index, const float* token, std::span<const float* const> tables, float* out) {
  for (int64_t i = 0; i < index.N; ++i) {
    for (int64_t d = 0; d < index.D; ++d) {
      double sum = token[index.ids[i] * index.D + d];
      for (size_t t = 0; t < tables.size(); ++t) {
        sum += tables[t][index.rows[static_cast<int64_t>(t) * index.N + i] * index.D + d];
      }
      out[i * index.D + d] = static_cast<float>(sum * index.scale);
    }
  }
}

void hash_embed_backward_ref(const HashIndex& index, const float* d_out, float* d_token,
                             std::span<float* const> d_tables) {
  for (int64_t i = 0; i < index.N; ++i) {
    for (int64_t d = 0; d < index.D; ++d) {
      const double g = double(index.scale) * d_out[i * index.D + d];
      float& token = d_token[index.ids[i] * index.D + d];
      token = static_cast<float>(token + g);
      for (size_t t = 0; t < d_tables.size(); ++t) {
        float& y = d_tables[t][index.rows[static_cast<int64_t>(t) * index.N + i] * index.D + d];
        y = static_cast<float>(y + g);
      }
    }
  }
}

}  // namespace octet::kernels
