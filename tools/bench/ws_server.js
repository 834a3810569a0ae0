// tools/bench/ws_server.js -- npm's ws as a rival: /ws echoes, /all sends each message to everybody there.
//   node ws_server.js PORT
"use strict";
const http = require("http");
const { WebSocketServer } = require("ws");

const server = http.createServer((request, answer) => answer.end("Hello, World!"));
const sockets = new WebSocketServer({ server, perMessageDeflate: false });
const everybody = new Set();

sockets.on("connection", (socket, request) => {
  socket.on("error", () => {}); // a client that is gone
  if (request.url !== "/all") {
    socket.on("message", (message, binary) => socket.send(message, { binary }));
    return;
  }
  everybody.add(socket);
  socket.on("close", () => everybody.delete(socket));
  socket.on("message", (message, binary) => everybody.forEach((each) => each.send(message, { binary })));
});
server.listen({ host: "127.0.0.1", port: Number(process.argv[2]), backlog: 4096 });
