// A short tone for a ring; off unless it is turned on.

/** @type {AudioContext | null} */
let context = null;

export function soundOn() {
  try {
    return localStorage.getItem("sound") === "on";
  } catch {
    return false;
  }
}

/** @param {boolean} on */
export function setSound(on) {
  try {
    localStorage.setItem("sound", on ? "on" : "off");
  } catch {
    // Without storage the choice cannot be kept.
  }
}

/** Two short notes. A browser that has seen no click yet stays silent. */
export function tone() {
  context ??= new AudioContext();
  const start = context.currentTime;
  [660, 880].forEach((frequency, index) => {
    if (!context) return;
    const [note, volume] = [context.createOscillator(), context.createGain()];
    const from = start + index * 0.18;
    note.frequency.value = frequency;
    volume.gain.setValueAtTime(0.0001, from);
    volume.gain.exponentialRampToValueAtTime(0.15, from + 0.02);
    volume.gain.exponentialRampToValueAtTime(0.0001, from + 0.16);
    note.connect(volume).connect(context.destination);
    note.start(from);
    note.stop(from + 0.17);
  });
}
