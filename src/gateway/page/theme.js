// Classic script of the head: sets the theme and the wallboard size before the first paint.
(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");

  const paint = () => {
    let stored = null;
    try {
      stored = localStorage.getItem("theme");
    } catch {
      // Storage is blocked in some private windows; the system's theme is used.
    }
    root.dataset.theme = stored ?? (system.matches ? "dark" : "light");
  };

  paint();
  system.addEventListener("change", paint);
  addEventListener("cordboard:theme", paint);

  if (new URLSearchParams(location.search).has("wall")) {
    root.dataset.wall = "";
  }
})();
