// tests/unit/worker/websocket_client.cc -- writes masked frames, reads a server's.
#include "tests/unit/worker/websocket_client.h"

#include <array>
#include <cstdlib>
#include <utility>

namespace sluice::test {
namespace {

constexpr std::array<unsigned char, 4> kMask = {0x37, 0xfa, 0x21, 0x3d};

std::string big_endian(uint64_t value, size_t bytes) {
  std::string out;
  for (size_t i = bytes; i-- > 0;) out.push_back(static_cast<char>(value >> (8 * i)));
  return out;
}

uint64_t from_big_endian(std::string_view bytes) {
  uint64_t value = 0;
  for (const char c : bytes) value = value << 8 | static_cast<unsigned char>(c);
  return value;
}

// A server's frame, and the bytes it takes: 0 when it is not all there.
struct ServerFrame {
  uint8_t opcode = 0;
  bool deflated = false;
  bool broken = false;  // no server sends such
  std::string payload;
};
size_t read_frame(std::string_view bytes, ServerFrame& frame) {
  if (bytes.size() < 2) return 0;
  const auto head = static_cast<unsigned char>(bytes[0]);
  uint64_t size = static_cast<unsigned char>(bytes[1]);
  size_t header = 2;
  frame.broken = (head & 0xb0) != 0x80 || size > 127;  // not final, reserved bits, or masked
  if (size == 126 || size == 127) {
    header = size == 126 ? 4 : 10;
    if (bytes.size() < header) return 0;
    const uint64_t shortest = size == 126 ? 126 : 65536;
    size = from_big_endian(bytes.substr(2, header - 2));
    frame.broken |= size < shortest;
  }
  if (bytes.size() - header < size) return 0;
  frame.payload = bytes.substr(header, size);
  frame.opcode = head & 0xf;
  frame.deflated = (head & 0x40) != 0;
  frame.broken |= frame.opcode == 0 || (frame.opcode > 2 && frame.opcode < 8) || frame.opcode > 10;
  frame.broken |= frame.opcode >= 8 && (size > 125 || frame.deflated);
  return header + size;
}

}  // namespace

std::string frame(uint8_t opcode, std::string_view payload, FrameBits bits) {
  std::string out;
  out.push_back(static_cast<char>((bits.fin ? 0x80 : 0) | bits.reserved << 4 | opcode));
  const int mask_bit = bits.masked ? 0x80 : 0;
  if (payload.size() < 126) {
    out.push_back(static_cast<char>(mask_bit | static_cast<int>(payload.size())));
  } else if (payload.size() < 65536) {
    out.push_back(static_cast<char>(mask_bit | 126));
    out += big_endian(payload.size(), 2);
  } else {
    out.push_back(static_cast<char>(mask_bit | 127));
    out += big_endian(payload.size(), 8);
  }
  if (!bits.masked) return out.append(payload);
  for (const unsigned char byte : kMask) out.push_back(static_cast<char>(byte));
  for (size_t i = 0; i < payload.size(); ++i) {
    out.push_back(static_cast<char>(static_cast<unsigned char>(payload[i]) ^ kMask[i % 4]));
  }
  return out;
}

std::string close(uint16_t code, std::string_view reason) {
  return frame(0x8, code == 0 ? std::string() : big_endian(code, 2).append(reason));
}

Zlib::Zlib() {
  if (deflateInit2(&deflate_, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK ||
      inflateInit2(&inflate_, -15) != Z_OK) {
    std::abort();
  }
}

Zlib::~Zlib() {
  deflateEnd(&deflate_);
  inflateEnd(&inflate_);
}

void Zlib::forget() {
  deflateReset(&deflate_);
  inflateReset(&inflate_);
}

std::string Zlib::deflate(std::string_view content) {
  std::string out(content.size() + content.size() / 100 + 100, '\0');
  deflate_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  deflate_.avail_in = static_cast<uInt>(content.size());
  deflate_.next_out = reinterpret_cast<Bytef*>(out.data());
  deflate_.avail_out = static_cast<uInt>(out.size());
  ::deflate(&deflate_, Z_SYNC_FLUSH);
  if (deflate_.avail_in != 0 || deflate_.avail_out == 0) std::abort();
  out.resize(out.size() - deflate_.avail_out - 4);
  return out;
}

std::optional<std::string> Zlib::inflate(std::string payload) {
  payload += std::string("\0\0\xff\xff", 4);
  std::string out;
  char piece[4096];
  inflate_.next_in = reinterpret_cast<Bytef*>(payload.data());
  inflate_.avail_in = static_cast<uInt>(payload.size());
  do {
    inflate_.next_out = reinterpret_cast<Bytef*>(piece);
    inflate_.avail_out = sizeof piece;
    const int said = ::inflate(&inflate_, Z_SYNC_FLUSH);
    if (said != Z_OK && said != Z_BUF_ERROR) return std::nullopt;
    out.append(piece, sizeof piece - inflate_.avail_out);
  } while (inflate_.avail_out == 0);
  return inflate_.avail_in == 0 ? std::optional(std::move(out)) : std::nullopt;
}

std::string from_hex(std::string_view hex) {
  std::string out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    out.push_back(static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  }
  return out;
}

std::string EchoServer::lines() {
  read_output();
  std::string lines = std::exchange(broken_, std::string());
  return lines += std::exchange(lines_, std::string());
}

void EchoServer::say(std::string_view line) {
  lines_ += line;
  lines_ += '\n';
}

void EchoServer::broken(std::string_view promise) {
  broken_.append("broken: ").append(promise) += '\n';
}

// The line for one frame, empty when no server sends such.
std::string EchoServer::said_of(uint8_t opcode, bool deflated, std::string payload) {
  if (opcode == 8) {
    if (payload.size() < 2) return "close";
    close_frame_reason = payload.substr(2);
    return "close " + std::to_string(from_big_endian(std::string_view(payload).substr(0, 2)));
  }
  const std::string kind = opcode == 1 ? "text " : opcode == 2 ? "binary " : opcode == 9 ? "ping " : "pong ";
  if (!deflated) return kind + payload;
  if (!terms_) return {};
  std::optional<std::string> content = client_.inflate(std::move(payload));
  if (!terms_->server_keeps_context) client_.forget();
  return content ? "deflated " + kind + *content : std::string();
}

void EchoServer::read_output() {
  std::string_view rest = output_;
  ServerFrame frame;
  while (const size_t size = read_frame(rest, frame)) {
    rest.remove_prefix(size);
    if (close_seen_) broken("a frame after the close frame");
    close_seen_ |= frame.opcode == 8;
    const std::string line =
        frame.broken ? std::string() : said_of(frame.opcode, frame.deflated, std::move(frame.payload));
    if (line.empty()) {
      broken("a frame no server sends");
    } else {
      say(line);
    }
  }
  output_.erase(0, output_.size() - rest.size());
}

void EchoServer::on_message(Bytes content, bool is_binary) noexcept {
  if (session.closed() || session.close_sent()) broken("a message after the end");
  if (session.paused()) broken("a message while paused");
  if (content.size() > limits_.message_bytes) broken("a message beyond its bound");
  if (!is_binary && !valid_utf8(as_text(content))) broken("a text that is none");
  messages.emplace_back(as_text(content));
  session.send(content, is_binary);
  if (messages.size() == pause_after) session.pause();
  if (messages.size() == close_after) session.close(1000, "enough");
}

void EchoServer::on_output(Bytes bytes) noexcept {
  if (session.closed()) broken("output after the end");
  ++outputs;
  output_ += as_text(bytes);
}

void EchoServer::on_closed(uint16_t code, std::string_view reason) noexcept {
  read_output();
  if (!output_.empty()) broken("half a frame before the end");
  if (std::exchange(closed_seen_, true)) broken("a second end");
  say("closed " + std::to_string(code));
  closed_reason = reason;
}

std::string talk(std::string_view bytes, const WebSocketLimits& limits, size_t close_after,
                 const std::optional<DeflateTerms>& terms) {
  struct Way {
    size_t piece;
    bool pausing;
  };
  std::string whole;
  for (const Way& way : {Way{bytes.size(), false}, Way{1, false}, Way{2, false}, Way{3, false},
                         Way{997, false}, Way{bytes.size(), true}, Way{5, true}}) {
    EchoServer server(limits, terms);
    server.close_after = close_after;
    for (size_t at = 0; at < bytes.size(); at += way.piece) {
      if (way.pausing) server.pause_after = server.messages.size() + 1;
      server.feed(bytes.substr(at, way.piece));
      while (server.session.paused()) {
        server.pause_after = server.messages.size() + 1;
        server.session.resume();
      }
    }
    const std::string lines = server.lines();
    if (way.piece == bytes.size() && !way.pausing) whole = lines;
    if (lines == whole) continue;
    return "broken: whole\n" + whole + "in pieces of " + std::to_string(way.piece) +
           (way.pausing ? ", pausing\n" : "\n") + lines;
  }
  return whole;
}

}  // namespace sluice::test
