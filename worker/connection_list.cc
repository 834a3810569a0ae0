// worker/connection_list.cc -- see connection_list.h.
#include "worker/connection_list.h"

#include "protocol/limits.h"
#include "protocol/websocket.h"
#include "worker/connection_table.h"

namespace sluice {
namespace {

constexpr size_t kEntryBytes = 160;  // its map, both keys, and the name of a reply channel
constexpr size_t kOtherBytes = 160;

}  // namespace

void ConnectionList::begin_turn() noexcept {
  answered_ = false;
  if (busy()) answer_with_next();
}

bool ConnectionList::take(const shm::Delivery& message) noexcept {
  if (message.header().channel != place_.channels.websocket_list) return false;
  const Result<MessageView> question = MessageView::parse(message.content());
  if (!question.ok() || check(*question, kWebSocketList)) {
    place_.counters.add(Counter::kMalformedAnswers);
    return true;
  }
  asker_ = {message.header().sender, static_cast<uint32_t>(question->integer("incarnation"))};
  request_ = question->integer("request");
  connections_.for_each([this](Connection& connection) {
    if (!connection.ending() && connection.conversation().lasts()) {
      listed_.push_back(connection.address(0));
    }
  });
  answer_with_next();
  return true;
}

// What goes into the next answer, from next_ on; gives the bytes it needs at most.
size_t ConnectionList::gather() noexcept {
  size_t bytes = kOtherBytes;
  entries_.clear();
  for (; next_ < listed_.size() && entries_.size() < limits::kListedPerAnswer; ++next_) {
    Connection* const connection = connections_.find(listed_[next_]);
    if (connection == nullptr || connection->ending() || !connection->conversation().lasts()) continue;
    const std::string_view path = connection->conversation().path();
    const size_t more = kEntryBytes + path.size();
    if (!entries_.empty() && bytes + more > limits::kListedBytes) break;
    bytes += more;
    entries_.push_back({listed_[next_], path});
  }
  return bytes;
}

void ConnectionList::answer_with_next() noexcept {
  answered_ = true;
  // Who asks again and again and reads nothing has no more of our blocks than this.
  const bool reads = place_.layer.segment().inbox(asker_.index).depth() < limits::kListAnswersUnread;
  Result<shm::Claim> claim = reads ? place_.layer.claim(gather()) : Result<shm::Claim>(Error::kChannelFull);
  bool sent = false;
  if (claim.ok()) {
    Encoder encoder(claim->space());
    encoder.begin_map().key("request").integer(request_).key("connections").begin_list();
    for (const Entry& entry : entries_) {
      encoder.begin_map().key("reply_channel");
      encoder.text(ReplyChannelName::websocket_send(entry.address).view());
      encoder.key("path").text(entry.path).end_map();
    }
    encoder.end_list().key("more_content").boolean(next_ < listed_.size()).end_map();
    const Result<Bytes> answer = encoder.finish();
    CHECK(answer.ok());  // the room above is enough
    sent = place_.layer
               .send_to(asker_, *claim, answer->size(), {.channel = place_.channels.websocket_list})
               .ok();
  }
  if (!sent) place_.counters.add(Counter::kListAnswersLost);  // whoever asked has a deadline
  if (!sent || next_ == listed_.size()) {
    listed_.clear();
    next_ = 0;
  }
}

}  // namespace sluice
