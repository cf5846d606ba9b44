"use strict";
const of = (id) => document.getElementById(id);
const sent = of("sent"), cli = of("cli"), did = of("did"), received = of("received");
const digits = (text) => text.replace(/[^0-9+]/g, "");

// Tones of Russian networks (ITU-T E.180): frequency in Hz, then seconds of sound and of silence.
const TONES = {
  ringing: [[425, 0.8, 3.2]],
  busy: [[425, 0.4, 0.4]],
  blocked: [[950, 0.33, 0], [1400, 0.33, 0], [1800, 0.33, 1]],
};
const ENDINGS = { busy: "You hear a busy tone.", blocked: "You hear “This number is blocked”." };
const RINGING_SECONDS = 3, ENDING_SECONDS = 3;
let audio = null, ringing = 0;

function silence() {
  if (audio) audio.close();
  audio = null;
}

function play(tone, seconds) {
  silence();
  if (!of("sound").checked) return;
  audio = new AudioContext();
  const level = new GainNode(audio, { gain: 0.1 });
  level.connect(audio.destination);
  for (let at = audio.currentTime, end = at + seconds; at < end;) {
    for (const [frequency, on, off] of TONES[tone]) {
      const oscillator = new OscillatorNode(audio, { frequency });
      oscillator.connect(level);
      oscillator.start(at);
      oscillator.stop(Math.min(at + on, end));
      at += on + off;
    }
  }
}

// Show the phase of the call, and move the focus to the button that the person needs next.
function show(phase, words) {
  of("line").dataset.phase = phase;
  of("phase").textContent = words;
  of("call").hidden = phase === "ringing";
  of("hang-up").hidden = phase !== "ringing";
  (phase === "ringing" ? of("hang-up") : of("call").querySelector("button")).focus();
}

async function report(path, order) {
  sent.textContent = "…";
  const body = JSON.stringify(order);
  const answer = await (await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body })).json();
  if (answer.error) sent.textContent = answer.error;
  else if (order.hidden && !answer.sent.length) sent.textContent = "Nothing. Your number was hidden, so the call proves no number.";
  else if (answer.reported === false) sent.textContent = "Nothing. No order waits for a call from your number to this number.";
  else if (!answer.sent.length) sent.textContent = "The report is on its way.";
  else sent.textContent = answer.sent.map((s) => `${s.method} ${s.url}\n${s.body}\n→ ${s.status} ${s.answer}`).join("\n\n");
}

function dropped(order) {
  const ending = of("ending").value;
  show("ended", `The other side ended the call.\n${ENDINGS[ending]}`);
  play(ending, ENDING_SECONDS);
  report("/dial", order).catch((error) => { sent.textContent = String(error); });
}

of("call").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!cli.reportValidity()) return;
  const order = { cli: digits(cli.value), did: digits(did.value), hidden: of("hidden").checked, attestation: of("attestation").value };
  show("ringing", `Calling ${did.value}\nIt rings.`);
  play("ringing", RINGING_SECONDS);
  ringing = setTimeout(dropped, RINGING_SECONDS * 1000, order);
});

of("hang-up").addEventListener("click", () => {
  clearTimeout(ringing);
  silence();
  show("ended", "You hung up before the other side did.");
  sent.textContent = "Nothing. The simulator does not report a call that you end first.";
});

of("text").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!cli.reportValidity()) return;
  const form = event.target.elements;
  report("/text", { cli: digits(cli.value), to: digits(form.to.value), text: form.text.value })
    .catch((error) => { sent.textContent = String(error); });
});

let shown = "", listed = "";
async function look() {
  const phone = encodeURIComponent(digits(cli.value));
  const orders = (await (await fetch(`/orders?phone=${phone}`)).json()).numbers;
  const latest = orders.length ? `+${orders[orders.length - 1]}` : "";
  // Fill in each new number once, so that what the person types afterwards stays.
  if (latest && latest !== shown) did.value = latest;
  shown = latest;
  const texts = (await (await fetch(`/messages?phone=${phone}`)).json()).messages.map((message) => message.text);
  if (texts.join("\n") === listed) return;
  listed = texts.join("\n");
  received.replaceChildren(...(texts.length ? texts : ["None yet."]).map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  }));
}
setInterval(() => document.hidden || look().catch(() => undefined), 1000);

// The examples' links to the handset lead back to this window.
window.name = "handset";
// On a wide screen an example opens in a window beside this one, else in a tab.
for (const link of document.querySelectorAll(".examples a")) {
  link.addEventListener("click", (event) => {
    link.search = new URLSearchParams({ phone: cli.value });
    if (screen.availWidth < 900) return;
    event.preventDefault();
    const width = Math.min(560, Math.floor(screen.availWidth / 2));
    const where = `popup,width=${width},height=${screen.availHeight},left=${screen.availWidth - width},top=0`;
    window.open(link.href, link.target, where);
  });
}
