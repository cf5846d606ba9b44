// Countdown, long poll and copy button. When what it shows changes, the page loads itself anew, so that the
// server renders it. A click always wins: nothing moves while a pointer is down, and a link that leads away ends the poll.
(() => {
  "use strict";
  const main = document.querySelector("main");
  const { status, channel, weakCall, left } = main.dataset;
  if (status !== "pending") return;
  const clock = document.getElementById("left");
  const offline = document.getElementById("offline");
  // A page that waits for a code has no state: the code is typed elsewhere.
  const state = document.getElementById("state");
  const copy = document.getElementById("copy");
  const shortest = 1000, longest = 15000;
  // The server answers at once if too many polls of this page or address wait. Slow down after such early answers.
  const early = 3000, unheld = 5000;
  // The server holds a poll for up to 25 s. A poll without an answer after `lost` is asked anew.
  const lost = 35000;
  // A tap's click comes after its release. A release is missed where a menu or another window opens.
  const tap = 350, longestPress = 5000;
  const success = 1200, longestLoad = 60000;
  let ends = Date.now() + 1000 * Number(left);
  let pause = shortest, timer = 0;
  let poll = null, leaving = false, loading = false;
  let released = Promise.resolve();

  const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
  const load = () => {
    if (leaving) return;
    loading = true;
    location.replace(location.href);
  };
  const tick = () => {
    const seconds = Math.max(0, Math.ceil((ends - Date.now()) / 1000));
    clock.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  };
  const setOffline = (isOffline) => {
    main.classList.toggle("offline", isOffline);
    offline.textContent = isOffline ? offline.dataset.text : "";
  };
  const succeed = async () => {
    if (!state) return load();
    loading = true;
    document.querySelector("h1").textContent = main.dataset.confirmed;
    state.textContent = main.dataset.leading;
    main.dataset.status = "verified";
    await wait(success);
    load();
  };
  const show = (now) => {
    setOffline(false);
    if (now.status === "verified") succeed();
    else if (now.status !== status || now.channel !== channel || String(now.weak_call) !== weakCall) load();
    else ends = Date.now() + 1000 * now.expires_in;
  };
  const ask = async () => {
    clearTimeout(timer);
    if (poll || leaving || loading) return;
    const asked = Date.now();
    // While the page says that there is no connection, the first answer must come at once.
    const held = main.classList.contains("offline") ? 0 : 25;
    const own = poll = new AbortController();
    const alarm = setTimeout(() => own.abort(), lost);
    let now = null;
    try {
      const answer = await fetch(`${location.pathname}/status?wait=${held}&channel=${channel}&weak_call=${weakCall}`, { cache: "no-store", signal: own.signal });
      // The server's own page says that the verification is gone.
      now = answer.status === 404 ? { status: "gone" } : answer.ok ? await answer.json() : null;
    } catch { /* the connection is lost */ }
    clearTimeout(alarm);
    await released;
    poll = null;
    if (leaving) return;
    if (now === null) {
      setOffline(true);
      pause = Math.min(2 * pause, longest);
    } else {
      show(now);
      if (loading) return;
      pause = held && Date.now() - asked < early ? Math.min(2 * pause, unheld) : shortest;
    }
    timer = setTimeout(ask, pause);
  };

  addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const interrupted = loading;
    if (interrupted) window.stop();
    released = new Promise((done) => {
      for (const name of ["pointerup", "pointercancel"]) addEventListener(name, () => setTimeout(done, tap), { once: true });
      setTimeout(done, longestPress);
    });
    if (interrupted) released.then(load);
  }, true);
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href]");
    const elsewhere = event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey;
    // tel: and sms: open another app and leave the page as it is.
    if (!link || elsewhere || !link.protocol.startsWith("http")) return;
    leaving = true;
    clearTimeout(timer);
    if (poll) poll.abort();
    // If the link's page never arrives, go on here.
    timer = setTimeout(() => { leaving = false; ask(); }, longestLoad);
  });
  if (copy && navigator.clipboard) {
    copy.hidden = false;
    copy.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(copy.value);
      } catch {
        return getSelection().selectAllChildren(document.getElementById("shown"));
      }
      const before = copy.textContent;
      copy.textContent = copy.dataset.copied;
      await wait(2000);
      copy.textContent = before;
    });
  }
  addEventListener("offline", async () => {
    if (poll) poll.abort();
    await released;
    setOffline(!navigator.onLine);
  });
  addEventListener("online", ask);
  addEventListener("pageshow", (event) => event.persisted && location.replace(location.href));
  document.addEventListener("visibilitychange", () => document.hidden || ask());
  setInterval(tick, 500);
  tick();
  timer = setTimeout(ask, 300);
})();
