#include "data/formats/compressed.hpp"

#include "base/error.hpp"

#include <zlib.h>
#include <zstd.h>
#include <algorithm>
#include <climits>
#include <memory>

namespace octet {

namespace {

// Makes room for more output, up to a byte beyond the limit; that byte used is the sign of too much.
void make_room(Bytes& out, size_t used, std::string_view what, int64_t limit) {
  OCTET_CHECK(bad_file, static_cast<int64_t>(used) <= limit, "{}: unpacks to more than {} bytes", what, limit);
  constexpr size_t kLeast = 1 << 14;
  if (out.size() - used >= kLeast) return;
  out.resize(std::min(static_cast<size_t>(limit) + 1, out.size() + std::max(out.size(), 4 * kLeast)));
}

Bytes gunzip(ByteView packed, std::string_view what, int64_t limit) {
  z_stream z{};
  OCTET_CHECK(resource, inflateInit2(&z, 16 + MAX_WBITS) == Z_OK, "{}: no memory to unpack", what);
  const std::unique_ptr<z_stream, int (*)(z_stream*)> guard(&z, inflateEnd);
  Bytes out;
  size_t at = 0, used = 0;
  bool inside = true;  // of a member
  while (inside || at < packed.size()) {
    if (!inside) inflateReset(&z);
    const auto n_in = static_cast<uInt>(std::min<size_t>(packed.size() - at, INT_MAX));
    z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data() + at));
    z.avail_in = n_in;
    make_room(out, used, what, limit);
    const auto n_out = static_cast<uInt>(std::min<size_t>(out.size() - used, INT_MAX));
    z.next_out = reinterpret_cast<Bytef*>(out.data() + used);
    z.avail_out = n_out;
    const int status = inflate(&z, Z_NO_FLUSH);
    OCTET_CHECK(bad_file, status == Z_OK || status == Z_STREAM_END || status == Z_BUF_ERROR,
                "{}: not valid gzip at byte {}: {}", what, at, z.msg ? z.msg : "damaged");
    const size_t eaten = n_in - z.avail_in, made = n_out - z.avail_out;
    at += eaten, used += made;
    inside = status != Z_STREAM_END;
    OCTET_CHECK(bad_file, !inside || eaten || made, "{}: gzip data ends early, at byte {}", what, at);
  }
  OCTET_CHECK(bad_file, static_cast<int64_t>(used) <= limit, "{}: unpacks to more than {} bytes", what, limit);
  out.resize(used);
  return out;
}

Bytes unzstd(ByteView packed, std::string_view what, int64_t limit) {
  const std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context(ZSTD_createDCtx(), ZSTD_freeDCtx);
  OCTET_CHECK(resource, context, "{}: no memory to unpack", what);
  Bytes out;
  ZSTD_inBuffer in{packed.data(), packed.size(), 0};
  size_t used = 0, missing = 1;  // missing: 0 exactly at the end of a frame
  while (missing || in.pos < in.size) {
    make_room(out, used, what, limit);
    ZSTD_outBuffer piece{out.data() + used, out.size() - used, 0};
    const size_t before = in.pos;
    missing = ZSTD_decompressStream(context.get(), &piece, &in);
    OCTET_CHECK(bad_file, !ZSTD_isError(missing), "{}: not valid zstd at byte {}: {}", what, before,
                ZSTD_getErrorName(missing));
    used += piece.pos;
    OCTET_CHECK(bad_file, !missing || in.pos > before || piece.pos, "{}: zstd data ends early, at byte {}", what,
                in.pos);
  }
  OCTET_CHECK(bad_file, static_cast<int64_t>(used) <= limit, "{}: unpacks to more than {} bytes", what, limit);
  out.resize(used);
  return out;
}

}  // namespace

Compression compression_of(std::string_view path) {
  return path.ends_with(".gz") ? Compression::gzip : path.ends_with(".zst") ? Compression::zstd : Compression::none;
}

std::string_view without_compression(std::string_view path) {
  const size_t ending[] = {0, 3, 4};
  return path.substr(0, path.size() - ending[static_cast<int>(compression_of(path))]);
}

Bytes decompress(Compression compression, ByteView packed, std::string_view what, int64_t limit) {
  if (compression == Compression::gzip) return gunzip(packed, what, limit);
  if (compression == Compression::zstd) return unzstd(packed, what, limit);
  return Bytes(packed);
}

}  // namespace octet
