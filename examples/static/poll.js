// Asks our own server, which asks waitcall; whatever changes, the page is loaded anew.
(() => {
  "use strict";
  const { state, step } = document.getElementById("poll").dataset;
  let pause = 1000;
  const ask = async () => {
    try {
      const answer = await fetch(`${state}?step=${step}`, { cache: "no-store" });
      if (!answer.ok) throw new Error(answer.status);
      if ((await answer.json()).step !== step) return location.reload();
      pause = 1000;
    } catch {
      pause = Math.min(2 * pause, 15000);
    }
    setTimeout(ask, pause);
  };
  ask();
})();
