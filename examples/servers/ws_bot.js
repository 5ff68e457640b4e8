// A voice bot for Twilio Media Streams, as one writes it with Node and the package ws.
//
//     npm install ws
//     PORT=5000 node ws_bot.js
//
// /listen is for one-way streams: it counts what it hears. /bot is for bidirectional ones: it greets, stops when
// the caller speaks, says goodbye, and closes when that has been heard.
"use strict";

const http = require("http");
const WebSocket = require("ws");

const GREETING = Buffer.alloc(8000, 0x90); // a second of mu-law each; yours is speech
const GOODBYE = Buffer.alloc(4000, 0xa0);

const server = http.createServer((request, response) => response.end("a server for streams\n"));
const wss = new WebSocket.Server({ server });

wss.on("connection", (ws, request) => {
  if (request.url === "/listen") listen(ws);
  else bot(ws);
});

function listen(ws) {
  const heard = {};
  ws.on("message", (data) => {
    const msg = JSON.parse(data);
    switch (msg.event) {
      case "media": {
        const { track, payload } = msg.media;
        heard[track] = (heard[track] || 0) + Buffer.from(payload, "base64").length;
        break;
      }
      case "stop":
        console.log(`heard ${JSON.stringify(heard, Object.keys(heard).sort())}`);
        break;
    }
  });
}

function bot(ws) {
  let streamSid;
  let goodbye = false;
  const marks = [];
  const send = (event, more) => ws.send(JSON.stringify({ event, streamSid, ...more }));
  const say = (audio, name) => {
    send("media", { media: { payload: audio.toString("base64") } });
    send("mark", { mark: { name } });
  };

  ws.on("message", (data) => {
    const msg = JSON.parse(data);
    switch (msg.event) {
      case "start":
        streamSid = msg.start.streamSid;
        for (let number = 0; number < 20; number++) say(GREETING, `greeting ${number}`);
        break;
      case "media": {
        // A real bot asks a voice activity detector.
        const loudest = Math.max(...Buffer.from(msg.media.payload, "base64").map((code) => ~code & 0x7f));
        if (!goodbye && marks.length > 0 && loudest > 60) {
          goodbye = true;
          send("clear");
          say(GOODBYE, "goodbye");
        }
        break;
      }
      case "mark":
        marks.push(msg.mark.name);
        if (msg.mark.name === "goodbye") {
          console.log(`marks ${JSON.stringify(marks)}`);
          ws.close(1000);
        }
        break;
    }
  });
}

server.listen(Number(process.env.PORT || 5000), "127.0.0.1", () => {
  console.log(`listening on ${server.address().port}`);
});
