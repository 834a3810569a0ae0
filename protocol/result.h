// protocol/result.h -- what an operation that may be refused returns, and every reason there is.
// Nothing here allocates or throws; a lower folder names the condition, a higher one decides what a
// client or a binding makes of it (house rule: only worker/backpressure turns these into statuses).
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>
#include <variant>

namespace sluice {

// Every error a call of ours can return. `describe()` gives the words for a log line.
enum class Error : uint8_t {
  kChannelFull,         // capacity reached; the caller still has the message
  kChannelNameInvalid,  // not in the grammar of protocol/channel_name.h
  kChannelTableFull,    // no room for another name
  kMessageMalformed,    // not the MessagePack of a map with text keys, or a key of the wrong type
  kMessageTooLarge,     // beyond the limit of its channel or of the space it is written to
  kOutOfBlocks,         // the sender's arena has no block of the class left
  kConnectionGone,      // the reply address names a connection or exchange that is over
  kTimedOut,            // the caller's own deadline passed
  kExpired,             // lay unread longer than its channel's expiry
  kReaderGone,          // the process a message was meant for is dead or detached
  kSegmentCorrupt,      // something in shared memory is not what it can be
  kLayoutMismatch,      // another version of the layout, or not a segment at all
  kRefused,             // the gateway said no: rights, or no room for another process
  kDetached,            // the gateway is gone, or we left it
  kFormMalformed,       // a form, query or its content type that Django would refuse, too
  kTooManyFields,       // more fields or files in a form or query than limits.h allows
  kFormTooLarge,        // a form's fields take more bytes than limits.h allows
  kChannelHasReader,    // a single-reader channel that another process reads
  kLimitOutOfRange,     // a channel's capacity or expiry is beyond what the gateway was made for
};

[[nodiscard]] constexpr std::string_view describe(Error error) noexcept {
  switch (error) {
    case Error::kChannelFull:
      return "channel full";
    case Error::kChannelNameInvalid:
      return "invalid channel name";
    case Error::kChannelTableFull:
      return "channel table full";
    case Error::kMessageMalformed:
      return "malformed message";
    case Error::kMessageTooLarge:
      return "message too large";
    case Error::kOutOfBlocks:
      return "out of blocks";
    case Error::kConnectionGone:
      return "connection gone";
    case Error::kTimedOut:
      return "timed out";
    case Error::kExpired:
      return "expired";
    case Error::kReaderGone:
      return "reader gone";
    case Error::kSegmentCorrupt:
      return "segment corrupt";
    case Error::kLayoutMismatch:
      return "layout mismatch";
    case Error::kRefused:
      return "refused";
    case Error::kDetached:
      return "detached";
    case Error::kFormMalformed:
      return "malformed form";
    case Error::kTooManyFields:
      return "too many form fields";
    case Error::kFormTooLarge:
      return "form too large";
    case Error::kChannelHasReader:
      return "channel has a reader";
    case Error::kLimitOutOfRange:
      return "limit out of range";
  }
  return "unknown error";
}

// A broken invariant is our bug: say where and abort. Never used on what a client or another
// process could have caused.
#define CHECK(condition)                                                                  \
  do {                                                                                    \
    if (!(condition)) [[unlikely]] {                                                      \
      std::fprintf(stderr, "CHECK failed: %s (%s:%d)\n", #condition, __FILE__, __LINE__); \
      std::abort();                                                                       \
    }                                                                                     \
  } while (false)

// A value or the reason there is none.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) noexcept
      : held_(std::in_place_index<0>, std::move(value)) {}                // NOLINT(*-explicit-*)
  Result(Error error) noexcept : held_(std::in_place_index<1>, error) {}  // NOLINT(*-explicit-*)
  // The value made in its place, of these.
  template <class... Parts>
  explicit Result(std::in_place_t, Parts&&... parts) noexcept
      : held_(std::in_place_index<0>, std::forward<Parts>(parts)...) {}

  [[nodiscard]] bool ok() const noexcept { return held_.index() == 0; }
  explicit operator bool() const noexcept { return ok(); }

  // CHECKs that there is a value: ask ok() first.
  [[nodiscard]] T& value() & noexcept {
    CHECK(ok());
    return *std::get_if<0>(&held_);
  }
  [[nodiscard]] const T& value() const& noexcept {
    CHECK(ok());
    return *std::get_if<0>(&held_);
  }
  [[nodiscard]] T&& value() && noexcept {
    CHECK(ok());
    return std::move(*std::get_if<0>(&held_));
  }
  [[nodiscard]] T& operator*() & noexcept { return value(); }
  [[nodiscard]] const T& operator*() const& noexcept { return value(); }
  [[nodiscard]] T* operator->() noexcept { return &value(); }
  [[nodiscard]] const T* operator->() const noexcept { return &value(); }
  [[nodiscard]] Error error() const noexcept {
    CHECK(!ok());
    return *std::get_if<1>(&held_);
  }

 private:
  std::variant<T, Error> held_;
};

// Done, or the reason it was not.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() noexcept = default;
  Result(Error error) noexcept : error_(error), ok_(false) {}  // NOLINT(*-explicit-*)
  [[nodiscard]] bool ok() const noexcept { return ok_; }
  explicit operator bool() const noexcept { return ok_; }
  [[nodiscard]] Error error() const noexcept {
    CHECK(!ok_);
    return error_;
  }

 private:
  Error error_{};
  bool ok_ = true;
};

}  // namespace sluice
