"use strict";
// Shows the cases that match the lists and the words, a few at a time. Without this script, the page shows all of them.
const filter = document.getElementById("filter");
if (filter) {
  const atOnce = 30;
  const cases = [...document.querySelectorAll(".case")];
  const texts = cases.map((one) => one.textContent.toLowerCase());
  const [metric, outcome, group, words, shown, more, clear] = ["metric", "outcome", "group", "words", "shown", "more", "clear"]
    .map((name) => document.getElementById("filter-" + name));
  let most = atOnce;
  const matches = (one, place) => {
    const [column, ...value] = (group?.value ?? "").split("=");
    return (!metric.value || one.dataset.metric === metric.value)
      && (!outcome.value || one.dataset.outcome.split(" ").includes(outcome.value))
      && (!column || one.getAttribute("data-group-" + column) === value.join("="))
      && words.value.toLowerCase().split(/\s+/).every((word) => texts[place].includes(word));
  };
  const update = () => {
    const found = new Set(cases.filter(matches));
    const first = new Set([...found].slice(0, most));
    for (const one of cases) one.hidden = !first.has(one);
    more.hidden = first.size === found.size;
    shown.textContent = `${found.size} of the ${cases.length} cases on this page match`
      + (more.hidden ? "." : `; the first ${first.size} are shown.`);
  };
  filter.addEventListener("input", () => { most = atOnce; update(); });
  more.addEventListener("click", () => { most += atOnce; update(); });
  clear.addEventListener("click", () => {
    for (const field of filter.querySelectorAll("select, input")) field.value = "";
    most = atOnce;
    update();
  });
  filter.hidden = false;
  update();
}
