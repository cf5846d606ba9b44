// A person who comes back to the first page by the browser's Back button leaves the reset, so this cancels it.
addEventListener("pageshow", (event) => {
  if (event.persisted || performance.getEntriesByType("navigation")[0].type === "back_forward")
    document.getElementById("again").requestSubmit();
});
