// tests/unit/worker/websocket_client.cc -- writes masked frames, reads a server's.
#include "tests/unit/worker/websocket_client.h"

#include <array>
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

// The line for one frame, empty when no server sends such, and the bytes it takes; 0 when it is not
// all there.
size_t read_frame(std::string_view bytes, std::string& line, std::string& reason) {
  if (bytes.size() < 2) return 0;
  const auto head = static_cast<unsigned char>(bytes[0]);
  uint64_t size = static_cast<unsigned char>(bytes[1]);
  size_t header = 2;
  bool broken = (head & 0xf0) != 0x80 || size > 127;  // not final, reserved bits, or masked
  if (size == 126 || size == 127) {
    header = size == 126 ? 4 : 10;
    if (bytes.size() < header) return 0;
    const uint64_t shortest = size == 126 ? 126 : 65536;
    size = from_big_endian(bytes.substr(2, header - 2));
    broken |= size < shortest;
  }
  if (bytes.size() - header < size) return 0;
  const std::string_view payload = bytes.substr(header, size);
  const int opcode = head & 0xf;
  broken |= opcode == 0 || (opcode > 2 && opcode < 8) || opcode > 10;
  broken |= opcode >= 8 && size > 125;
  if (broken) {
    line.clear();
  } else if (opcode == 8) {
    line = "close";
    if (size >= 2) line += " " + std::to_string(from_big_endian(payload.substr(0, 2)));
    if (size >= 2) reason = payload.substr(2);
  } else {
    line = opcode == 1 ? "text" : opcode == 2 ? "binary" : opcode == 9 ? "ping" : "pong";
    line += " ";
    line += payload;
  }
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

void EchoServer::read_output() {
  std::string_view rest = output_;
  std::string line;
  while (const size_t size = read_frame(rest, line, close_frame_reason)) {
    rest.remove_prefix(size);
    if (close_seen_) broken("a frame after the close frame");
    close_seen_ |= line.starts_with("close");
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

std::string talk(std::string_view bytes, const WebSocketLimits& limits, size_t close_after) {
  struct Way {
    size_t piece;
    bool pausing;
  };
  std::string whole;
  for (const Way& way : {Way{bytes.size(), false}, Way{1, false}, Way{2, false}, Way{3, false},
                         Way{997, false}, Way{bytes.size(), true}, Way{5, true}}) {
    EchoServer server(limits);
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
