"use strict";
// Shows the cases that match the three lists and the words of the search. Without it, the page shows all of them.
const filter = document.getElementById("filter");
if (filter) {
  const cases = [...document.querySelectorAll(".case")];
  const metric = document.getElementById("filter-metric");
  const outcome = document.getElementById("filter-outcome");
  const group = document.getElementById("filter-group");
  const words = document.getElementById("filter-words");
  const shown = document.getElementById("filter-shown");
  const texts = cases.map((one) => one.textContent.toLowerCase());
  const matches = (one, place) => {
    const [column, ...value] = (group?.value ?? "").split("=");
    return (!metric.value || one.dataset.metric === metric.value)
      && (!outcome.value || one.dataset.outcome.split(" ").includes(outcome.value))
      && (!column || one.getAttribute("data-group-" + column) === value.join("="))
      && words.value.toLowerCase().split(/\s+/).every((word) => texts[place].includes(word));
  };
  const update = () => {
    cases.forEach((one, place) => { one.hidden = !matches(one, place); });
    const number = cases.filter((one) => !one.hidden).length;
    shown.textContent = `${number} of the ${cases.length} cases on this page match.`;
  };
  filter.addEventListener("input", update);
  document.getElementById("filter-all").addEventListener("click", () => {
    for (const field of filter.querySelectorAll("select, input")) field.value = "";
    update();
  });
  filter.hidden = false;
  update();
}
