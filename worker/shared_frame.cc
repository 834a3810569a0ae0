// worker/shared_frame.cc -- see shared_frame.h.
#include "worker/shared_frame.h"

#include "protocol/limits.h"
#include "worker/deflate.h"
#include "worker/frame_writer.h"

namespace sluice {
namespace {

// Gives the size of the header.
size_t make_frame(std::vector<std::byte>& frame, bool binary, bool deflated, Bytes payload) {
  std::array<std::byte, kFrameHeaderBytes> header{};
  const size_t size =
      write_frame_header(binary ? Opcode::kBinary : Opcode::kText, deflated, payload.size(), header);
  frame.assign(header.begin(), header.begin() + static_cast<std::ptrdiff_t>(size));
  frame.insert(frame.end(), payload.begin(), payload.end());
  return size;
}

}  // namespace

bool SharedFrame::assign(Bytes content, bool binary) {
  binary_ = binary;
  header_bytes_ = make_frame(plain_, binary, false, content);
  for (std::vector<std::byte>& form : deflated_) form.clear();
  // The copy is looked at: its writer may change what it shared.
  return binary || valid_utf8(as_text(this->content()));
}

Bytes SharedFrame::content() const noexcept { return Bytes(plain_).subspan(header_bytes_); }

Bytes SharedFrame::deflated(uint8_t window_bits) {
  if (content().size() < limits::kDeflateLeastBytes) return plain_;
  std::vector<std::byte>& form = deflated_[window_bits];
  if (form.empty()) {
    const Bytes payload = Deflater::deflate_alone(content(), window_bits);
    if (payload.size() < content().size()) {
      make_frame(form, binary_, true, payload);
    } else {
      form = plain_;
    }
  }
  return form;
}

void SharedFrame::forget_large() noexcept {
  if (plain_.capacity() <= limits::kSpareMessageBytes) return;
  plain_ = {};
  deflated_ = {};
}

}  // namespace sluice
