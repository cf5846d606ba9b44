// Polls our own server, which asks waitcall. If a code must be sent, this submits the form for it. On any other change it reloads the page.
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
  // Stop polling when the person submits a form. Otherwise the poll would notice the change and reload the page during the submit.
  addEventListener("submit", () => left.abort());
  ask();
})();
