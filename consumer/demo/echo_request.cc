// consumer/demo/echo_request.cc -- see echo_request.h.
#include "consumer/demo/echo_request.h"

#include "consumer/demo/json.h"

namespace sluice::demo {

void EchoRequest::Body::add(Bytes piece) {
  digest.process_bytes(piece.data(), piece.size());
  bytes += piece.size();
}

std::string EchoRequest::Body::hex() {
  boost::uuids::detail::sha1::digest_type words;
  digest.get_digest(words);
  std::string text;
  for (const unsigned word : words) {
    for (int shift = 28; shift >= 0; shift -= 4) text += "0123456789abcdef"[word >> shift & 15];
  }
  return text;
}

void EchoRequest::request(Message message) {
  Body body;
  body.add(message.fields().text_or_bytes("body"));
  if (!message.fields().boolean("more_content")) {
    answer(message, body);
    return;
  }
  const ReplyAddress address = message.address();
  streaming_.insert_or_assign(address, Streaming{std::move(message), body});
}

void EchoRequest::body(const Message& chunk) {
  const auto found = streaming_.find(chunk.address());
  if (found == streaming_.end()) return;
  found->second.body.add(chunk.fields().text_or_bytes("content"));
  if (chunk.fields().boolean("more_content")) return;
  answer(found->second.message, found->second.body);
  streaming_.erase(found);
}

void EchoRequest::answer(const Message& message, Body& body) {
  const MessageView& fields = message.fields();
  json_.clear();
  Json json(json_);
  const auto copy = [&](std::string_view key) {
    if (const auto value = fields.find(key)) json.key(key).value(*value);
  };
  json.begin_object();
  copy("method");
  copy("path");
  json.key("query").latin1(fields.bytes("query_string"));
  copy("headers");
  json.key("body_len").integer(static_cast<int64_t>(body.bytes));
  json.key("body_sha1").text(body.hex());
  for (const std::string_view key :
       {"path_info", "GET", "POST", "COOKIES", "META", "response_channel", "raw_path", "root_path",
        "scheme", "http_version", "client", "server"}) {
    copy(key);
  }
  if (const auto files = fields.find("FILES")) {
    json.key("FILES").begin_array();
    for (const ValueView file : *files) {
      Body content;
      if (const auto bytes = file.find("content")) content.add(bytes->bytes().value_or(Bytes{}));
      json.begin_object();
      for (const std::string_view key : {"name", "filename", "content_type"}) {
        if (const auto value = file.find(key)) json.key(key).value(*value);
      }
      json.key("content_len").integer(static_cast<int64_t>(content.bytes));
      json.key("content_sha1").text(content.hex()).end_object();
    }
    json.end_array();
  }
  json.end_object();
  json_ += '\n';
  // A client that went away meanwhile is no trouble of ours.
  static_cast<void>(consumer_.reply(
      message, {{"status_code", 200}, {"content_type", "application/json"}, {"content", json_}}));
}

}  // namespace sluice::demo
