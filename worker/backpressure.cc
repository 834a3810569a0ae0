// worker/backpressure.cc -- conditions to statuses and close codes; see backpressure.h.
#include "worker/backpressure.h"

namespace sluice {
namespace {

// A second: long enough for a consumer to come back, short enough for a person to wait.
constexpr std::string_view kRetryAfter = "Retry-After: 1\r\n";

constexpr uint16_t kGoingAway = 1001;
constexpr uint16_t kInternalError = 1011;
constexpr uint16_t kTooBig = 1009;
constexpr uint16_t kTryAgainLater = 1013;

}  // namespace

Verdict verdict_on(Trouble trouble) noexcept {
  switch (trouble) {
    case Trouble::kNoConsumer:
    case Trouble::kUnread:
    case Trouble::kSlowClient:
    case Trouble::kTooManyConnections: return {503, kRetryAfter, kTryAgainLater};
    case Trouble::kUnanswered: return {504, {}, kTryAgainLater};
    case Trouble::kTakerDied:
    case Trouble::kBadAnswer: return {502, {}, kInternalError};
    case Trouble::kLeaving: return {503, kRetryAfter, kGoingAway};
  }
  return {500, {}, kInternalError};
}

Verdict verdict_on(Error error) noexcept {
  switch (error) {
    case Error::kMessageTooLarge:
    case Error::kFormTooLarge: return {413, {}, kTooBig, describe(error)};
    case Error::kChannelFull:
    case Error::kOutOfBlocks:
    case Error::kReaderGone:
    case Error::kExpired:
    case Error::kTimedOut:
    case Error::kChannelTableFull:
    case Error::kSegmentCorrupt: return {503, kRetryAfter, kTryAgainLater};
    default: return {400, {}, kInternalError, describe(error)};  // the query or the form was refused
  }
}

Counter counter_of(Error error) noexcept {
  switch (error) {
    case Error::kOutOfBlocks: return Counter::kOutOfBlocks;
    case Error::kMessageTooLarge: return Counter::kMessageTooLarge;
    case Error::kChannelFull:
    case Error::kReaderGone:
    case Error::kSegmentCorrupt: return Counter::kChannelFull;
    default: return Counter::kRefusedForms;
  }
}

}  // namespace sluice
