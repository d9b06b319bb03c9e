#include "data/formats/npy.hpp"

#include "base/error.hpp"

#include <bit>

namespace octet {

static_assert(std::endian::native == std::endian::little, "<f4 is written as it lies in memory");

namespace {

Bytes npy_header(int64_t n, int64_t d) {
  std::string text = format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", n, d);
  constexpr size_t kBefore = 10;  // magic, version, size of the text
  while ((kBefore + text.size() + 1) % 64) text += ' ';
  text += '\n';
  Bytes out("\x93NUMPY\x01\x00", 8);
  out += static_cast<char>(text.size() & 255);
  out += static_cast<char>(text.size() >> 8);
  return out + text;
}

}  // namespace

NpyWriter::NpyWriter(FileWriter& out, int64_t n, int64_t d) : out_(out), n_(n), d_(d) {
  OCTET_ASSERT(n >= 0 && d >= 0);
  out_.write(npy_header(n, d));
}

void NpyWriter::add(std::span<const float> rows) {
  const auto size = std::ssize(rows);
  OCTET_ASSERT(d_ > 0 ? size % d_ == 0 && n_written_ + size / d_ <= n_ : size == 0);
  n_written_ += d_ > 0 ? size / d_ : 0;
  out_.write({reinterpret_cast<const char*>(rows.data()), rows.size_bytes()});
}

void NpyWriter::finish() const { OCTET_ASSERT(d_ == 0 || n_written_ == n_); }

void write_npy(FileWriter& out, std::span<const float> values, int64_t n, int64_t d) {
  NpyWriter writer(out, n, d);
  writer.add(values);
  writer.finish();
}

}  // namespace octet
