// Countdown and long poll. If the status or the channel changes, reload the page, so that the server renders it.
(() => {
  "use strict";
  const { status, channel, left } = document.querySelector("main").dataset;
  if (status !== "pending") return;
  const clock = document.getElementById("left");
  const offline = document.getElementById("offline");
  const shortest = 1000, longest = 15000;
  // The server answers at once if too many polls of this page or address wait. Slow down after such early answers.
  const early = 3000, unheld = 5000;
  let ends = Date.now() + 1000 * Number(left);
  let pause = shortest, timer = 0, asking = false;

  const reload = () => location.replace(location.href);
  const tick = () => {
    const seconds = Math.max(0, Math.ceil((ends - Date.now()) / 1000));
    clock.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  };
  const ask = async () => {
    clearTimeout(timer);
    if (asking) return;
    asking = true;
    const asked = Date.now();
    try {
      const answer = await fetch(`${location.pathname}/status?wait=25&channel=${channel}`, { cache: "no-store" });
      if (answer.status === 404) return reload();
      if (!answer.ok) throw new Error(answer.status);
      const now = await answer.json();
      if (now.status !== status || now.channel !== channel) return reload();
      ends = Date.now() + 1000 * now.expires_in;
      offline.textContent = "";
      pause = Date.now() - asked < early ? Math.min(2 * pause, unheld) : shortest;
    } catch {
      offline.textContent = offline.dataset.text;
      pause = Math.min(2 * pause, longest);
    } finally {
      asking = false;
    }
    timer = setTimeout(ask, pause);
  };

  setInterval(tick, 500);
  tick();
  timer = setTimeout(ask, 300);
  addEventListener("online", ask);
  addEventListener("pageshow", (event) => event.persisted && reload());
  document.addEventListener("visibilitychange", () => document.hidden || ask());
})();
