// tests/unit/shm/recovery_test.cc -- what the dead held comes back, to whom it belongs, when it may.
#include "tests/unit/shm/recovery_bench.h"

namespace {

using namespace sluice;
using namespace sluice::shm;
using sluice::tests::blocks_used;
using sluice::tests::blocks_waiting_free;
using sluice::tests::Member;
using sluice::tests::RecoveryBench;

TEST_CASE("a request in the hands of the dead comes back to its worker as taken") {
  RecoveryBench b;
  const Sent sent = b.worker.send(b.channel, "request").value();

  const ProcessName dead = b.dies([&](Member& me) {
    me.layer.start_reading(b.channel);
    REQUIRE(me.layer.try_receive()->keep() == sent.block);
  });
  ProcessIndex taker = kNobody;
  CHECK(b.worker.layer.progress(sent, taker) == Progress::kTaken);
  CHECK(taker == dead.index);
  b.recovery.on_death(dead);

  CHECK(b.worker.layer.progress(sent, taker) == Progress::kOver);
  auto back = b.worker.layer.try_receive();
  REQUIRE(back);
  CHECK(back->returned() == Returned::kTaken);
  CHECK(back->block() == sent.block);
  CHECK(back->header().generation == sent.payload_generation);
  CHECK(Member::text(*back) == "request");
  back->release();
  CHECK_FALSE(b.worker.layer.has_reader(b.channel));
  CHECK_FALSE(b.worker.layer.try_receive());
  CHECK(b.recovery.totals().returned == 1);
  b.check_sound();
}

TEST_CASE("everything the dead had of its own is free again, and its row is given out anew") {
  RecoveryBench b;
  const ProcessName dead = b.dies([&](Member& me) {
    std::vector<Claim> claims;
    for (const size_t bytes : {10, 500, 1500, 3000, 50'000, 900'000}) {
      claims.push_back(std::move(me.layer.claim(bytes).value()));
    }
    auto* keep = new std::vector<Claim>(std::move(claims));
    static_cast<void>(keep);
  });

  b.recovery.on_death(dead);
  b.workers_see_deaths();
  const auto freed = b.settle();

  REQUIRE(freed.size() == 1);
  CHECK(freed[0] == dead);
  CHECK_FALSE(b.recovery.busy());
  b.check_all_free(dead.index);
  b.check_sound();
  const ProcessName next = b.world.join(Role::kConsumer, 2);
  CHECK(next.index == dead.index);
  Member member(b.world, next);
  for (uint32_t i = 0; i < 256; ++i) REQUIRE(member.send_to(next, "x").ok() == (i < 16));
}

TEST_CASE("a row given out again has an arena as if never used, what came home to it included") {
  RecoveryBench b;
  const ProcessName dead = b.dies([&](Member& me) {
    REQUIRE(me.send_to(b.master.layer.me(), "one that comes home").ok());
    REQUIRE(me.send_to(b.master.layer.me(), std::string(kClassBytes[kClasses - 1] + 1, 'x')).ok());
    static_cast<void>(me.layer.claim(10).value().put_aside());
  });
  REQUIRE(b.master.receive() == "one that comes home");
  REQUIRE(b.master.receive());
  REQUIRE(blocks_waiting_free(b.world.segment(), dead.index) == 3);

  b.recovery.on_death(dead);
  b.workers_see_deaths();
  REQUIRE(b.settle().size() == 1);

  CHECK(blocks_used(b.world.segment(), dead.index) == 0);
  CHECK(blocks_waiting_free(b.world.segment(), dead.index) == 0);
  b.check_sound();
  const ProcessName next = b.world.join(Role::kConsumer, 2);
  REQUIRE(next.index == dead.index);
  Member member(b.world, next);
  CHECK(member.layer.pool().try_claim(10) == b.world.segment().block_at(next.index, 0, 0));
}

TEST_CASE("a block of the dead that a scribbler keeps from being free costs the row its class, and no other") {
  RecoveryBench b;
  const Segment& segment = b.world.segment();
  const ProcessName dead = b.dies([&](Member& me) {
    for (const size_t bytes : {10, 900}) static_cast<void>(me.layer.claim(bytes).value().put_aside());
  });
  b.recovery.on_death(dead);
  // A link, says its stamp, of a head that is free.
  const BlockIndex block = segment.block_at(dead.index, 0, 0);
  segment.envelope(block)->head = block + 1;
  segment.envelope(block)->stamp = Stamp::of(500, b.master.layer.me().index, BlockState::kLinked).word;
  b.workers_see_deaths();

  CHECK(b.settle().size() == 1);

  CHECK(segment.process(dead.index)->used_blocks[0] > 0);
  CHECK(segment.process(dead.index)->used_blocks[1] == 0);
}

TEST_CASE("what lay in the dead inbox comes back unread, in order, after the worker saw the death") {
  RecoveryBench b;
  const ProcessName reader = b.world.join(Role::kConsumer, 1);
  for (int i = 0; i < 5; ++i) REQUIRE(b.worker.send_to(reader, std::to_string(i)).ok());
  b.dies_as(reader, [](Member&) {});

  b.recovery.on_death(reader);
  CHECK(b.settle().empty());
  CHECK_FALSE(b.worker.layer.try_receive());
  const uint64_t deaths = b.world.segment().header().deaths.load();
  ProcessRecord& row = *b.world.segment().process(b.worker.layer.me().index);
  CHECK(row.settled_deaths.load() < deaths);

  b.workers_see_deaths();
  CHECK(b.settle().size() == 1);
  CHECK(row.settled_deaths.load() == deaths);
  for (int i = 0; i < 5; ++i) {
    const auto back = b.worker.layer.try_receive();
    REQUIRE(back);
    CHECK(back->returned() == Returned::kUnread);
    CHECK(Member::text(*back) == std::to_string(i));
  }
  CHECK_FALSE(b.worker.layer.try_receive());
  b.check_sound();
}

TEST_CASE("what the master itself sent and the dead had not read is the master's again") {
  RecoveryBench b;
  const ProcessName dead = b.dies([](Member&) {});
  const Sent sent = b.master.send_to(dead, "farewell").value();

  b.recovery.on_death(dead);
  CHECK(b.settle().empty());  // its worker has not seen it yet

  const std::vector<BlockIndex> ours = b.recovery.unread_of_ours();
  REQUIRE(ours == std::vector<BlockIndex>{sent.block});
  CHECK(b.recovery.unread_of_ours().empty());
  const Stamp stamp{b.world.segment().envelope(sent.block)->stamp.load()};
  CHECK(stamp.state() == BlockState::kOwned);
  CHECK(stamp.owner() == b.master.layer.me().index);
  b.master.layer.free_block(sent.block);
  b.workers_see_deaths();
  CHECK(b.settle() == std::vector<ProcessName>{dead});
  b.check_sound();
}

TEST_CASE("messages for a full inbox wait in the master's hands and come when there is room") {
  RecoveryBench b;
  const ProcessName reader = b.world.join(Role::kConsumer, 1);
  for (int i = 0; i < 10; ++i) REQUIRE(b.worker.send_to(reader, std::to_string(i)).ok());
  const ProcessName filler_name = b.world.join(Role::kConsumer, 2);
  Member filler(b.world, filler_name);
  const uint32_t cells = b.world.segment().geometry().inbox_cells;
  for (uint32_t i = 0; i < cells - 3; ++i) REQUIRE(filler.send_to(b.worker.layer.me(), "x").ok());
  b.dies_as(reader, [](Member&) {});

  b.recovery.on_death(reader);
  b.workers_see_deaths();
  CHECK(b.settle().empty());
  std::vector<std::string> back;
  for (uint32_t i = 0; i < cells + 10; ++i) {
    const auto delivery = b.worker.layer.try_receive();
    if (delivery && delivery->returned() == Returned::kUnread) back.push_back(Member::text(*delivery));
    static_cast<void>(b.recovery.advance());
  }

  CHECK(back.size() == 10);
  CHECK(std::is_sorted(back.begin(), back.end()));
  CHECK_FALSE(b.recovery.busy());
  b.check_sound();
}

TEST_CASE("a message published by the dead is still delivered, and its row waits for it") {
  RecoveryBench b;
  const ProcessName dead = b.dies([&](Member& me) {
    REQUIRE(me.send_to(b.worker.layer.me(), "last words").ok());
  });
  b.recovery.on_death(dead);
  b.workers_see_deaths();
  CHECK(b.settle().empty());

  {
    const auto delivery = b.worker.layer.try_receive();
    REQUIRE(delivery);
    CHECK(Member::text(*delivery) == "last words");
    CHECK(b.settle().empty());  // in the worker's hands
  }

  CHECK(b.settle().size() == 1);
  b.check_all_free(dead.index);
  b.check_sound();
}

TEST_CASE("a dead worker's requests are withdrawn, its connections closed, its replies given back") {
  RecoveryBench b;
  const ProcessName reader = b.world.join(Role::kConsumer, 1);
  Member consumer(b.world, reader);
  consumer.layer.start_reading(b.channel);
  const ProcessName worker = b.world.join(Role::kWorker, 1);
  ReplyAddress about{worker.index, worker.incarnation, 0, 1, 1};
  b.dies_as(worker, [&](Member& me) {
    ConnectionSlots slots(b.world.segment(), worker);
    REQUIRE(slots.open()->generation == 1);
    REQUIRE(me.send(b.channel, "asked").ok());
    REQUIRE(me.send(b.channel, "asked too").ok());
  });
  REQUIRE(consumer.reply(about, "answer").ok());

  b.recovery.on_death(worker);

  CHECK_FALSE(consumer.receive());
  CHECK(consumer.layer.drops().withdrawn == 2);
  CHECK(consumer.reply(about, "late").error() == Error::kConnectionGone);
  b.workers_see_deaths();
  const auto freed = b.settle();
  REQUIRE(freed.size() == 1);
  CHECK(freed[0] == worker);
  b.check_all_free(worker.index);
  b.check_sound();
  const ProcessName next = b.world.join(Role::kWorker, 1);
  ConnectionSlots slots(b.world.segment(), next);
  CHECK(slots.open()->generation == 2);
  CHECK(consumer.reply(about, "late").error() == Error::kConnectionGone);
}

TEST_CASE("a dead worker's owed disconnects are told with the bytes to send, each once") {
  RecoveryBench b;
  const ProcessName owner = b.world.join(Role::kConsumer, 1);
  const ProcessName worker = b.world.join(Role::kWorker, 1);
  b.dies_as(worker, [&](Member& me) {
    ConnectionSlots slots(b.world.segment(), worker);
    std::vector<Claim> kept;
    for (uint32_t slot = 0; slot < 5; ++slot) {
      const auto opened = slots.open().value();
      if (slot == 0) continue;  // HTTP
      auto claim = me.write("constants");
      const Sent sent = me.layer.send_to(b.worker.layer.me(), *claim, 9, {}).value();
      static_cast<void>(sent);
      const ReplyAddress about{worker.index, worker.incarnation, opened.slot, opened.generation, 0};
      kept.push_back(me.write("constants").value());
      me.layer.describe(kept.back(), 9, {.about = about});
      slots.set_constants(opened.slot, kept.back().block());
      if (slot == 1) continue;  // its connect was never taken
      REQUIRE(take_connection(b.world.segment(), about, owner));
      slots.set_order(opened.slot, 10 + slot);
      if (slot >= 3) slots.announce(opened.slot);
      if (slot == 4) slots.disconnect_sent(opened.slot);
    }
  });

  const auto owed = b.recovery.owed_by(worker);

  REQUIRE(owed.size() == 2);
  for (uint32_t i = 0; i < 2; ++i) {
    CHECK(owed[i].about.slot == i + 2);
    CHECK(owed[i].about.worker == worker.index);
    CHECK(owed[i].about.incarnation == worker.incarnation);
    CHECK(owed[i].owner == owner);
    CHECK(owed[i].order == 12 + i);
    REQUIRE(owed[i].constants.size() == sizeof(PayloadHeader) + 9);
    CHECK(std::memcmp(owed[i].constants.data() + sizeof(PayloadHeader), "constants", 9) == 0);
  }
  b.recovery.on_death(worker);
  CHECK(b.recovery.owed_by(worker).empty());
}

TEST_CASE("constants that their worker did not write for this very connection are nobody's") {
  RecoveryBench b;
  const ProcessName owner = b.world.join(Role::kConsumer, 1);
  const ProcessName worker = b.world.join(Role::kWorker, 1);
  b.dies_as(worker, [&](Member& me) {
    ConnectionSlots slots(b.world.segment(), worker);
    std::vector<Claim> kept;
    for (uint32_t slot = 0; slot < 2; ++slot) {
      const auto opened = slots.open().value();
      const ReplyAddress about{worker.index, worker.incarnation, opened.slot, opened.generation, 0};
      kept.push_back(me.write(slot == 0 ? "the first's" : "the second's").value());
      me.layer.describe(kept.back(), 11 + slot, {.about = about});
      slots.set_constants(opened.slot, kept.back().block());
      slots.announce(opened.slot);
      REQUIRE(take_connection(b.world.segment(), about, owner));
    }
  });
  REQUIRE(b.recovery.owed_by(worker).size() == 2);
  ConnectionRecord& first = *b.world.segment().connection(worker.index, 0);

  SUBCASE("another connection's") {
    first.constants = b.world.segment().connection(worker.index, 1)->constants.load();
  }
  SUBCASE("a block of another arena") {
    first.constants = b.world.segment().block_at(b.worker.layer.me().index, 5, 0) + 1;
  }
  SUBCASE("no block") { first.constants = 0xffffffff; }
  SUBCASE("of another generation") {
    first.state = uint64_t{99} << 32 | static_cast<uint32_t>(SlotState::kAnnounced);
  }

  const auto owed = b.recovery.owed_by(worker);
  REQUIRE(owed.size() == 1);
  CHECK(owed[0].about.slot == 1);
  CHECK(owed[0].constants.size() == sizeof(PayloadHeader) + 12);
}

TEST_CASE("a block the dead was giving back is freed, not handed back as a message it had taken") {
  RecoveryBench b;
  const Sent sent = b.worker.send(b.channel, "x").value();
  const Segment& segment = b.world.segment();
  BlockPlace place;
  REQUIRE(segment.place_of(sent.block, place));
  const ProcessName dead = b.dies([&](Member& me) {
    me.layer.start_reading(b.channel);
    static_cast<void>(me.layer.try_receive()->keep());
    // As give_back() leaves it between stamping and publishing.
    Envelope& envelope = *segment.envelope(sent.block);
    envelope.queue = queue_id(QueueKind::kFree, place.arena * 8u + place.size_class);
    envelope.stamp = Stamp{envelope.stamp.load()}.next(me.layer.me().index, BlockState::kQueued).word;
  });

  b.recovery.on_death(dead);

  CHECK_FALSE(b.worker.layer.try_receive());
  CHECK(b.recovery.totals().freed == 1);
  b.check_sound();
}

TEST_CASE("blocks counted as used but never stamped are not lost with the process") {
  RecoveryBench b;
  const ProcessName dead = b.dies([&](Member& me) {
    // As refill() leaves it between counting the batch and stamping its blocks.
    b.world.segment().process(me.layer.me().index)->used_blocks[0] = 32;
  });

  b.recovery.on_death(dead);
  b.workers_see_deaths();

  CHECK(b.settle().size() == 1);
  b.check_all_free(dead.index);
}

TEST_CASE("a message pushed into the dead inbox at the last moment is not left to the next incarnation") {
  RecoveryBench b;
  const ProcessName reader = b.world.join(Role::kConsumer, 1);
  const uint32_t inbox = queue_id(QueueKind::kInbox, reader.index);
  b.dies_as(reader, [](Member&) {});
  b.recovery.on_death(reader);
  static_cast<void>(b.recovery.advance());

  // The worker looked at the row before the death, pushes after it, then sees the death.
  const BlockIndex late = b.worker.layer.pool().try_claim(100).value();
  b.world.segment().envelope(late)->queue = inbox;
  REQUIRE(b.world.segment().inbox(reader.index).try_push(late, b.worker.layer.me().index) ==
          PushOutcome::kPushed);
  b.workers_see_deaths();
  CHECK(b.settle().size() == 1);

  CHECK(b.world.segment().inbox(reader.index).empty());
}

TEST_CASE("half-made channels of the dead are freed, and the name can be made again") {
  RecoveryBench b;
  const ProcessName dead = b.dies([&](Member& me) {
    REQUIRE(me.layer.channels().open("made").ok());
    const uint32_t shown = me.layer.channels().find("made").value();
    Word& truth = b.world.segment().channel(shown)->truth;  // as if it died before saying so
    truth = (truth.load() >> 32 << 32) | uint64_t{me.layer.me().index} << 16 | 1;
  });

  b.recovery.on_death(dead);

  const uint32_t made = b.worker.layer.channels().open("made").value();
  CHECK((b.world.segment().channel(made)->truth.load() & 0xffff) ==
        static_cast<uint64_t>(ChannelState::kKept));
}

TEST_CASE("recovery wakes every sleeper that has work, in poll and in the futex") {
  RecoveryBench b;
  const ProcessName dead = b.dies([&](Member& me) {
    REQUIRE(me.send_to(b.worker.layer.me(), "not rung").ok());
  });
  b.worker.bell.fall_asleep_in_poll();

  b.recovery.on_death(dead);

  CHECK((b.world.segment().process(b.worker.layer.me().index)->doorbell.load() & 1) == 0);
}

TEST_CASE("replies published without a ready bit are found after the death of their writer") {
  RecoveryBench b;
  ConnectionSlots slots(b.world.segment(), b.worker.layer.me());
  const auto opened = slots.open().value();
  const ReplyAddress about{b.worker.layer.me().index, b.worker.layer.me().incarnation, opened.slot,
                           opened.generation, 1};
  const ProcessName dead = b.dies([&](Member& me) {
    REQUIRE(me.reply(about, "answer").ok());
    ReadyBitmap& ready = *b.world.segment().ready(b.worker.layer.me().index);
    ready.top = 0;
    ready.middle[0] = 0;
    ready.bottom[0] = 0;
  });
  CHECK_FALSE(slots.any_ready());

  b.recovery.on_death(dead);

  CHECK(slots.next_ready() == opened.slot);
  CHECK(b.worker.layer.try_receive_reply(opened.slot).has_value());
}

TEST_CASE("recovering the same death twice frees nothing twice") {
  RecoveryBench b;
  REQUIRE(b.worker.send(b.channel, "x").ok());
  const ProcessName dead = b.dies([&](Member& me) {
    me.layer.start_reading(b.channel);
    static_cast<void>(me.layer.try_receive()->keep());
    auto* claim = new Claim(std::move(me.layer.claim(10).value()));
    static_cast<void>(claim);
  });

  b.recovery.on_death(dead);
  Recovery second(b.master.layer);
  second.on_death(dead);

  CHECK(second.totals().freed == 0);
  CHECK(second.totals().returned == 0);
  CHECK(b.worker.layer.try_receive().has_value());
  CHECK_FALSE(b.worker.layer.try_receive());
  b.check_sound();
}

}  // namespace
