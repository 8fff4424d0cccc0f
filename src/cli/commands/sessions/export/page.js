
"use strict";
const find = document.getElementById("find");
const words = document.getElementById("words");
const found = document.getElementById("found");
const turns = Array.from(document.querySelectorAll("article"), (turn) => ({ turn, text: null }));
let wait = 0;
function filter() {
  const asked = words.value.toLowerCase().split(/\s+/).filter((word) => word !== "");
  let count = 0;
  for (const each of turns) {
    if (each.text === null) each.text = each.turn.textContent.toLowerCase();
    const fits = asked.every((word) => each.text.includes(word));
    each.turn.hidden = !fits;
    if (fits) count += 1;
  }
  found.textContent = asked.length === 0 ? "" : count + " of " + turns.length + " turns";
}
words.addEventListener("input", () => {
  clearTimeout(wait);
  wait = setTimeout(filter, 120);
});
find.hidden = false;
