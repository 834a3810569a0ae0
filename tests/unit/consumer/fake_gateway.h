// tests/unit/consumer/fake_gateway.h -- a master and one worker in the test's own process: the
// control socket is answered by a thread, the worker's side is driven by the test.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "protocol/message.h"
#include "shm/attach.h"
#include "shm/channel_layer.h"
#include "tests/support/segment_fixture.h"

namespace sluice::tests {

// A reply as the worker found it, copied.
struct SeenReply {
  ReplyAddress about{};
  shm::BlockIndex answered_block = shm::kNoBlock;
  uint64_t answered_generation = 0;
  std::vector<std::byte> bytes;
  [[nodiscard]] MessageView fields() const { return MessageView::parse(bytes).value(); }
};

class FakeGateway final : private shm::ArenaSource {
 public:
  explicit FakeGateway(shm::Geometry geometry = small_geometry());
  ~FakeGateway() { hang_up(); }

  [[nodiscard]] const std::string& path() const { return path_; }
  // Refuses whoever attaches from now on.
  void refuse(shm::RefusedWhy why) { refusing_ = why; }
  // Closes the control socket, for all that are attached too.
  void hang_up();
  // Marks a consumer dead, and a reader no more, as recovery does first.
  void bury(uint32_t number);

  // -- the worker's side
  shm::ChannelLayer& worker() { return *layer_; }
  shm::ConnectionSlots& slots() { return *slots_; }
  shm::Segment& segment() { return segment_; }
  // A message on a channel, about an exchange; rung.
  shm::Sent send(std::string_view channel, const ReplyAddress& about, Fields fields,
                 bool ring = true);
  // A message to a consumer's inbox.
  shm::Sent send_to(uint32_t number, std::string_view channel, const ReplyAddress& about,
                    Fields fields);
  [[nodiscard]] ReplyAddress open_connection(uint32_t ordinal);
  // The next reply, waiting for it up to five seconds.
  [[nodiscard]] SeenReply reply();
  [[nodiscard]] std::optional<SeenReply> try_reply();  // never waits
  [[nodiscard]] bool any_reply() { return slots_->any_ready(); }
  [[nodiscard]] shm::Progress progress(const shm::Sent& sent) const;

 private:
  void serve();
  bool answer(int fd);
  [[nodiscard]] shm::Fd fetch(shm::ProcessIndex process, uint32_t incarnation) noexcept override;

  std::string path_;
  shm::Fd listener_;
  shm::Fd stop_;  // written to end serve()
  shm::Segment segment_;
  shm::ProcessTable processes_;
  std::mutex mutex_;  // of what follows
  std::map<std::pair<uint32_t, uint32_t>, shm::Fd> arenas_;
  std::map<uint32_t, shm::ProcessName> consumers_;  // by number
  std::vector<shm::Fd> attached_;
  std::atomic<shm::RefusedWhy> refusing_{};
  uint32_t last_number_ = 0;
  std::thread thread_;

  shm::ProcessName worker_{};
  std::optional<shm::Arenas> worker_arenas_;
  std::optional<shm::Doorbell> worker_bell_;
  std::optional<shm::ChannelLayer> layer_;
  std::optional<shm::ConnectionSlots> slots_;
};

}  // namespace sluice::tests
