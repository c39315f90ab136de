"use strict";
const [main, gone, since] = ["live", "gone", "since"].map(id => document.getElementById(id));
const named = () => { document.title = main.querySelector("h1").dataset.title; };
async function next() {
  try {
    const answer = await fetch("live", { cache: "no-store", signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(answer.status);
    main.innerHTML = await answer.text();
    named();
    gone.hidden = true;
  } catch {
    if (gone.hidden) since.textContent = new Date().toLocaleTimeString();
    gone.hidden = false;
  }
  setTimeout(next, 2000);
}
named();
setTimeout(next, 2000);
