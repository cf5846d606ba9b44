// Asks our own server, which asks waitcall. When a code is due, its form is sent; on any other change the page is loaded anew.
(() => {
  "use strict";
  const { state, step } = document.getElementById("poll").dataset;
  const left = new AbortController();
  let pause = 1000;
  const ask = async () => {
    try {
      const answer = await fetch(`${state}?step=${step}`, { cache: "no-store", signal: left.signal });
      if (!answer.ok) throw new Error(answer.status);
      const now = (await answer.json()).step;
      if (left.signal.aborted) return;
      if (now === "send") return document.getElementById("send").requestSubmit();
      if (now !== step) return location.reload();
      pause = 1000;
    } catch {
      if (left.signal.aborted) return;
      pause = Math.min(2 * pause, 15000);
    }
    setTimeout(ask, pause);
  };
  // Whoever clicks goes first: what the click changes would otherwise be heard here, and the page loaded anew under it.
  addEventListener("submit", () => left.abort());
  ask();
})();
