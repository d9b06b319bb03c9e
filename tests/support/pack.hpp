// Packed bytes for tests of readers.
#pragma once
#include "base/bytes.hpp"
#include "base/error.hpp"

#include <zlib.h>
#include <zstd.h>

namespace octet::test {

inline Bytes gzip(ByteView text) {
  z_stream z{};
  OCTET_ASSERT(deflateInit2(&z, 1, Z_DEFLATED, 16 + MAX_WBITS, 9, Z_DEFAULT_STRATEGY) == Z_OK);
  Bytes out(deflateBound(&z, text.size()) + 64, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  z.avail_in = static_cast<uInt>(text.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  OCTET_ASSERT(deflate(&z, Z_FINISH) == Z_STREAM_END);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

inline Bytes zstd(ByteView text) {
  Bytes out(ZSTD_compressBound(text.size()), '\0');
  const size_t n = ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3);
  OCTET_ASSERT(!ZSTD_isError(n));
  out.resize(n);
  return out;
}

}  // namespace octet::test
