// The explorer of items. What comes from a run reaches the page as text nodes alone (`make`, `shown`).

const byId = (id) => document.getElementById(id);
const MARKS = { r: ["✓", "right"], w: ["✗", "wrong"], i: ["∅", "no answer found"], "-": ["", ""] };
const NARROW = 900; // pixels: as in the style

/** Return an element; children are elements or texts, and null is left out. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined)
      element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Return a text with its control characters as pictures, so that none acts and all are seen. */
function shown(text) {
  return String(text).replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, (character) =>
    character === "\u007f" ? "\u2421" : String.fromCharCode(0x2400 + character.charCodeAt(0)),
  );
}

/** Return a paragraph of a run's text in its own direction, with its own lines. */
const prose = (text) => make("div", { class: "prose", dir: "auto" }, shown(text));

/** Unpack a block of the page. */
async function unpack(id) {
  const packed = atob(byId(id).textContent);
  const bytes = new Uint8Array(packed.length);
  for (let place = 0; place < packed.length; place += 1) bytes[place] = packed.charCodeAt(place);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

const facts = await unpack("facts");
const table = document.querySelector("regular-table");
const form = document.querySelector("#filters form");
const aside = byId("item");
let part = 0; // which data set and student
let head = null; // its columns
let columns = []; // of the table
let arranged = []; // the same in the order in which they are drawn
let order = []; // the items that are listed, by their number in the columns
let active = 0; // the row that the keys are at
let sorted = { column: null, down: false };
let open = null; // the item that is looked at
let haystacks = null; // what is searched, in lower case
let links = new Map();
let blocks = new Map();

// What models and teachers did with an item

/** How many seeds were asked an item, and how many of them were right. */
function tally(way, item) {
  let asked = 0;
  let right = 0;
  for (const { outcomes } of way.seeds) {
    if (outcomes[item] !== "-") asked += 1;
    if (outcomes[item] === "r") right += 1;
  }
  return { asked, right };
}

/** 1 if most of a model's seeds are right, -1 if most are wrong, 0 for a tie or no answer. */
function verdict(way, item) {
  const { asked, right } = tally(way, item);
  return Math.sign(2 * right - asked);
}

function share(way, item) {
  const { asked, right } = tally(way, item);
  return asked ? right / asked : null;
}

const coded = (column, item) => (column.codes[item] < 0 ? null : column.values[column.codes[item]]);

function mark(letter) {
  const [sign, meaning] = MARKS[letter];
  return make(
    "span",
    { class: meaning.split(" ")[0], role: sign ? "img" : null, "aria-label": meaning || null },
    sign,
  );
}

function markOf(way, item) {
  if (way.seeds.length === 1) return mark(way.seeds[0].outcomes[item]);
  const { asked, right } = tally(way, item);
  if (!asked) return "";
  const kind = { 1: "right", 0: "tie", "-1": "wrong" }[verdict(way, item)];
  return make("span", { class: kind }, `${right}/${asked}`);
}

function nameOf(way) {
  const checkpoints = new Set(head.ways.map((one) => one.checkpoint));
  return `${way.strategy} ${way.mode}${checkpoints.size > 1 ? ` ${way.checkpoint}` : ""}`;
}

// The table

function describeColumns() {
  const plain = (group, name, value, cell, kind) => ({ group, name, value, cell, kind });
  const short = (text) => shown(text.slice(0, 160)).replace(/\s+/g, " ");
  const facet = (one) =>
    plain(
      "item",
      one.name,
      (item) => coded(one, item),
      (item) => short(coded(one, item) ?? ""),
      "short",
    );
  const facets = head.facets.filter((one) => one.values.length);
  columns = [
    plain(
      "item",
      "question",
      (item) => head.questions[item],
      (item) => short(head.questions[item]),
      "long",
    ),
    plain(
      "item",
      "gold",
      (item) => head.gold[item],
      (item) => short(head.gold[item]),
      "short",
    ),
    ...facets.filter((one) => one.name !== "category").map(facet),
    ...head.ways.map((way) => ({
      ...plain(
        way.strategy,
        nameOf(way).slice(way.strategy.length + 1) + (way.trained ? "*" : ""),
        (item) => share(way, item),
        (item) => markOf(way, item),
        "mark",
      ),
      way,
    })),
    ...head.metrics.map(({ name, values }) =>
      plain(
        "metric",
        name,
        (item) => values[item],
        (item) => (values[item] === null ? "" : values[item].toFixed(3)),
        "number",
      ),
    ),
    ...facets.filter((one) => one.name === "category").map(facet),
  ];
  for (const column of columns) {
    column.button = make("button", { type: "button" }, column.name);
    column.button.addEventListener("click", () => sortBy(column));
  }
}

function linkTo(item) {
  let link = links.get(item);
  if (!link) {
    link = make("a", { href: addressOf(item), tabindex: "-1" }, shown(head.ids[item]));
    links.set(item, link);
  }
  return link;
}

function slice(x0, y0, x1, y1) {
  const rows = order.slice(y0, y1);
  const drawn = arranged.slice(x0, x1);
  return {
    num_rows: order.length,
    num_columns: arranged.length,
    num_row_headers: 1,
    num_column_headers: 2,
    row_headers: rows.map((item) => [linkTo(item)]),
    column_headers: drawn.map((column) => [column.group, column.button]),
    data: drawn.map((column) => rows.map((item) => column.cell(item))),
    merge_headers: "column",
  };
}

let focused = false; // a link of the table has the focus, which a draw takes from it
table.addEventListener("focusin", (event) => {
  focused = event.target.closest?.("tbody a") !== null;
});
document.addEventListener("focusin", (event) => {
  if (!table.contains(event.target)) focused = false;
});

table.addStyleListener(() => {
  const inner = table.querySelector("table");
  inner.setAttribute("aria-label", "Items");
  inner.setAttribute("aria-rowcount", order.length + 2);
  const rows = [...table.querySelectorAll("tbody tr")];
  const drawn = rows.map((row) => table.getMeta(row.querySelector("th"))?.y);
  const current = drawn.includes(active) ? active : drawn[0];
  rows.forEach((row, place) => {
    const item = order[drawn[place]];
    row.setAttribute("aria-rowindex", drawn[place] + 3);
    row.classList.toggle("open", item !== undefined && item === open);
    const link = row.querySelector("th a");
    link?.setAttribute("tabindex", drawn[place] === current ? "0" : "-1");
    row.querySelector("th")?.setAttribute("scope", "row");
    if (focused && drawn[place] === active && document.activeElement !== link)
      link.focus({ preventScroll: true });
  });
  for (const cell of table.querySelectorAll("tbody td"))
    cell.className = arranged[table.getMeta(cell).x]?.kind ?? "";
  const [groups, names] = table.querySelectorAll("thead tr");
  for (const cell of groups?.children ?? []) cell.setAttribute("scope", "colgroup");
  for (const corner of table.querySelectorAll("thead .rt-group-corner span:first-child"))
    corner.textContent = corner.closest("tr") === names ? "id" : "item";
  for (const cell of names?.children ?? []) {
    const meta = table.getMeta(cell);
    const column = arranged[meta?.x];
    cell.setAttribute("scope", "col");
    cell.className =
      `${cell.className.replace(/\b(long|short|number|mark)\b/g, "")} ${column?.kind ?? ""}`.trim();
    if (!column) continue;
    const direction = sorted.column !== column ? "none" : sorted.down ? "descending" : "ascending";
    cell.setAttribute("aria-sort", direction);
  }
});

table.addEventListener("click", (event) => {
  const cell = event.target.closest?.("tbody td");
  const y = cell && table.getMeta(cell)?.y;
  if (order[y] !== undefined && !getSelection().toString()) location.hash = addressOf(order[y]);
});

table.addEventListener("keydown", (event) => {
  if (!event.target.closest?.("tbody")) return;
  const page = Math.max(1, table.querySelectorAll("tbody tr").length - 2);
  const steps = {
    ArrowDown: 1,
    ArrowUp: -1,
    PageDown: page,
    PageUp: -page,
    Home: -Infinity,
    End: Infinity,
  };
  const step = steps[event.key];
  if (step === undefined) return;
  event.preventDefault();
  moveTo(Math.min(order.length - 1, Math.max(0, active + step)));
});

async function moveTo(row) {
  active = row;
  focused = true;
  const drawn = [...table.querySelectorAll("tbody th")].map((cell) => table.getMeta(cell)?.y);
  const seen = drawn.slice(0, -2); // the last ones may be cut off
  if (!seen.includes(row)) {
    const first = row < (drawn[0] ?? 0) ? row : Math.max(0, row - seen.length + 1);
    await table.scrollToCell(0, first, arranged.length, order.length);
  }
  await table.draw({ throttle: false });
}

function sortBy(column) {
  sorted = { column, down: sorted.column === column ? !sorted.down : column.kind === "number" };
  list();
}

// Filters

function choice(name, label, options, any = "any") {
  const select = make("select", { name, "aria-label": label }, make("option", { value: "" }, any));
  for (const [value, text] of options) select.append(make("option", { value }, shown(text)));
  return select;
}

const labelled = (label, control) => make("label", {}, make("span", {}, label), control);

function describeFilters() {
  const facets = head.facets.map((facet, place) => {
    const texts = facet.several
      ? [...new Set(facet.values.flatMap((value) => value.split(" + ")))].sort()
      : facet.values;
    const options = texts.map((text) => [text, text]);
    return texts.length
      ? labelled(facet.name, choice(`facet-${place}`, facet.name, options))
      : null;
  });
  const ways = head.ways.map((way, place) => [String(place), nameOf(way)]);
  const outcomes = [
    ["1", "right"],
    ["-1", "wrong"],
  ];
  const pair = (letter) =>
    make(
      "fieldset",
      {},
      make("legend", {}, `Model ${letter}`),
      choice(`way-${letter}`, `model ${letter}`, ways, "any model"),
      choice(`is-${letter}`, `answer of model ${letter}`, outcomes, "right or wrong"),
    );
  const parts = facts.parts.map((one, place) => [String(place), `${one.dataset}, ${one.student}`]);
  const chooser = choice("part", "data set and student", parts);
  chooser.querySelector("option").remove();
  chooser.value = String(part);
  const search = labelled(
    "text",
    make("input", {
      type: "search",
      name: "text",
      placeholder: "question, options, gold answer or id",
      autocomplete: "off",
    }),
  );
  search.className = "search";
  form.replaceChildren(
    ...[
      parts.length > 1 ? labelled("data set, student", chooser) : null,
      search,
      ...facets,
      pair("A"),
      pair("B"),
      make("button", { type: "reset" }, "Show all"),
    ].filter(Boolean),
  );
}

function textsToSearch() {
  haystacks ??= head.questions.map((question, item) =>
    [head.ids[item], question, ...(head.options[item] ?? []), head.gold[item]]
      .join("\n")
      .toLowerCase(),
  );
  return haystacks;
}

/** Return tests of an item, one for each filter that is set. */
function tests() {
  const given = new FormData(form);
  const found = [];
  const text = (given.get("text") ?? "").trim().toLowerCase();
  if (text) {
    const searched = textsToSearch();
    found.push((item) => searched[item].includes(text));
  }
  head.facets.forEach((facet, place) => {
    const wanted = given.get(`facet-${place}`);
    if (!wanted) return;
    const fits = facet.values.map((value) =>
      facet.several ? value.split(" + ").includes(wanted) : value === wanted,
    );
    found.push((item) => fits[facet.codes[item]] === true);
  });
  for (const letter of ["A", "B"]) {
    const way = head.ways[given.get(`way-${letter}`) || -1];
    const wanted = given.get(`is-${letter}`);
    if (way)
      found.push((item) =>
        wanted ? verdict(way, item) === Number(wanted) : tally(way, item).asked > 0,
      );
  }
  return found;
}

function compare(one, other) {
  if (typeof one === "number") return one - other;
  return one < other ? -1 : one > other ? 1 : 0;
}

/** Put the columns of the models that the filters name behind the question. */
function arrange() {
  const chosen = ["A", "B"].map((letter) => head.ways[form.elements[`way-${letter}`].value || -1]);
  const place = (column) =>
    column.kind === "long" ? -1 : chosen.includes(column.way) && column.way ? 0 : 1;
  return [...columns].sort((one, other) => place(one) - place(other));
}

/** List the items that pass the filters, sorted; what has no value comes last. */
async function list() {
  const passed = tests();
  const items = head.ids
    .map((_, item) => item)
    .filter((item) => passed.every((test) => test(item)));
  if (sorted.column) {
    const values = head.ids.map((_, item) => sorted.column.value(item));
    const sign = sorted.down ? -1 : 1;
    items.sort((one, other) => {
      const missing = (values[one] === null) - (values[other] === null);
      return (
        missing ||
        (values[one] === null ? 0 : sign * compare(values[one], values[other])) ||
        one - other
      );
    });
  }
  order = items;
  const before = arranged;
  arranged = arrange();
  // The widths that the table remembers are those of other columns then.
  if (arranged.some((column, place) => column !== before[place])) table.resetAutoSize();
  active = 0;
  table.scrollTop = 0;
  byId("count").textContent =
    `${order.length.toLocaleString("en")} of ${head.ids.length.toLocaleString("en")} items`;
  await table.draw({ throttle: false });
}

form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("input", (event) => {
  if (event.target.name === "part") show(Number(event.target.value));
  else list();
});
form.addEventListener("reset", () => setTimeout(list));

// One item

function addressOf(item) {
  const place =
    facts.parts.length > 1 ? `&of=${facts.parts[part].dataset}/${facts.parts[part].student}` : "";
  return `#item=${encodeURIComponent(head.ids[item])}${place}`;
}

async function textsOf(item) {
  const block = Math.floor(item / facts.together);
  const name = `part-${part}-texts-${block}`;
  if (!blocks.has(name)) blocks.set(name, unpack(name));
  return (await blocks.get(name))[item % facts.together];
}

function factsList(pairs) {
  const rows = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return make(
    "dl",
    {},
    ...rows.map(([name, value]) =>
      make(
        "div",
        {},
        make("dt", {}, name),
        make("dd", {}, value instanceof Node ? value : shown(value)),
      ),
    ),
  );
}

const folded = (title, text) =>
  text ? make("details", {}, make("summary", {}, title), prose(text)) : null;
const named = (names, row) => Object.fromEntries(names.map((name, place) => [name, row[place]]));

function optionsOf(item) {
  const options = head.options[item];
  if (!options) return null;
  return make(
    "ol",
    { class: "options", type: "A" },
    ...options.map((text, place) => {
      const gold = String.fromCharCode(65 + place) === head.gold[item];
      return make(
        "li",
        { class: gold ? "gold" : null, dir: "auto" },
        shown(text),
        gold ? make("span", { class: "right" }, " ✓ gold") : null,
      );
    }),
  );
}

function boughtCard(answer) {
  const state = answer.accepted ? "accepted" : `rejected: ${answer.reason ?? "unknown"}`;
  const cost = answer.cost_usd === null ? "unknown" : `${answer.cost_usd} USD`;
  return make(
    "article",
    { class: answer.accepted ? "card good" : "card bad" },
    make(
      "h4",
      {},
      `${answer.teacher}, sample ${answer.sample}: `,
      make("span", { class: answer.accepted ? "right" : "wrong" }, state),
    ),
    answer.error ? prose(answer.error) : null,
    prose(answer.text ?? ""),
    folded("Its reasoning", answer.reasoning),
    factsList([
      ["answer", answer.parsed],
      ["used for training", answer.selected ? "yes" : "no"],
      ["cost", cost],
      ["tokens", `${answer.prompt_tokens ?? "?"} + ${answer.completion_tokens ?? "?"}`],
      ["seconds", answer.seconds?.toFixed(2)],
      ["ended", answer.finish_reason],
      ["answered by", answer.answered_by],
      ["imported", answer.imported ? "yes" : null],
    ]),
  );
}

function answerCard(way, seed, letter, answer, chosen) {
  const title = `${nameOf(way)}${way.trained ? "*" : ""}${way.seeds.length > 1 ? `, seed ${seed.seed}` : ""}`;
  return make(
    "article",
    { class: `card ${chosen ? "chosen" : ""} ${letter === "r" ? "good" : "bad"}` },
    make(
      "h4",
      {},
      chosen ? make("span", { class: "letter" }, chosen) : null,
      mark(letter),
      ` ${title}`,
    ),
    factsList([["answer", answer.parsed]]),
    prose(answer.text ?? ""),
    folded("Its thought", answer.thought),
    factsList([
      ["tokens", answer.new_tokens],
      ["of them thought", answer.thought_tokens || null],
      ["ended", answer.finish_reason],
    ]),
  );
}

/** The answers to an item; those of the models that the filters name come first. */
function answerCards(item, texts) {
  const cards = [];
  let run = 0;
  head.ways.forEach((way, place) => {
    const letters = ["A", "B"]
      .filter((one) => form.elements[`way-${one}`]?.value === String(place))
      .join("");
    for (const seed of way.seeds) {
      const answer = named(head.answer, texts.answers[run]);
      const letter = seed.outcomes[item];
      if (letter !== "-")
        cards.push([letters || "Z", answerCard(way, seed, letter, answer, letters)]);
      run += 1;
    }
  });
  return cards.sort(([one], [other]) => compare(one, other)).map(([, card]) => card);
}

function trainedOn(item) {
  const rows = head.stages
    .filter((stage) => coded(stage, item) !== null)
    .map((stage) =>
      make(
        "li",
        {},
        stage.stage
          ? `${stage.strategy}, stage ${stage.stage}: ${coded(stage, item)}, ${stage.epochs} epochs, seed ${stage.seeds.join(", ")}`
          : `${stage.strategy}: ${coded(stage, item)}`,
      ),
    );
  return rows.length ? make("ul", {}, ...rows) : make("p", {}, "No stage trained on this item.");
}

function section(title, ...children) {
  return make("section", {}, make("h3", {}, title), ...children);
}

async function showItem(item) {
  const texts = await textsOf(item);
  open = item;
  const bought = texts.bought.map((row) => boughtCard(named(head.bought, row)));
  const cards = answerCards(item, texts);
  const close = make("button", { type: "button", class: "close" }, "Close");
  close.addEventListener("click", closeItem);
  aside.replaceChildren(
    make(
      "div",
      { class: "bar" },
      make("h2", {}, "Item ", make("a", { href: addressOf(item) }, shown(head.ids[item]))),
      close,
    ),
    factsList(head.facets.map((facet) => [facet.name, coded(facet, item)])),
    section(
      "Question",
      prose(head.questions[item]),
      optionsOf(item),
      factsList([
        ["gold answer", head.gold[item]],
        ["source", texts.source],
        ["its id there", texts.source_id],
      ]),
    ),
    folded("Rationale of the data set", texts.reference) ?? "",
    section(
      "Complexity",
      factsList(
        head.metrics.map(({ name, values }, place) => [
          name,
          values[item] ?? `none: ${texts.reasons[place] ?? "unknown"}`,
        ]),
      ),
    ),
    section("Trained on it", trainedOn(item)),
    section(
      "What the teacher wrote",
      bought.length
        ? make("div", { class: "cards" }, ...bought)
        : make("p", {}, "No teacher was asked."),
    ),
    section(
      "Answers of the models",
      cards.length
        ? make("div", { class: "cards" }, ...cards)
        : make("p", {}, "No model was asked: the item is not in the reported split."),
    ),
  );
  const first = aside.hidden;
  aside.hidden = false;
  document.body.classList.add("looking");
  aside.scrollTop = 0;
  if (first || innerWidth < NARROW) aside.focus({ preventScroll: true });
  await table.draw({ throttle: false });
}

function closeItem() {
  location.hash = "";
  focused = true;
}

function hideItem() {
  open = null;
  aside.hidden = true;
  aside.replaceChildren();
  document.body.classList.remove("looking");
  if (order.length) table.draw({ throttle: false });
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, select");
  if (event.key === "Escape" && open !== null && !typing) closeItem();
  if (event.key === "/" && !typing) {
    event.preventDefault();
    byId("filters").open = true;
    form.elements.text.focus();
  }
});

/** Go where the address leads. */
async function follow() {
  const given = new URLSearchParams(location.hash.slice(1));
  if (!given.has("item")) return hideItem();
  const place = facts.parts.findIndex((one) => `${one.dataset}/${one.student}` === given.get("of"));
  if (place >= 0 && place !== part) await show(place);
  const item = head.ids.indexOf(given.get("item"));
  if (item >= 0) {
    const row = order.indexOf(item);
    if (row >= 0) active = row;
    return showItem(item);
  }
  hideItem();
  byId("count").textContent = `There is no item ${shown(given.get("item"))} here.`;
}

/** Show a data set and student. */
async function show(place) {
  hideItem();
  part = place;
  head = await unpack(`part-${part}-head`);
  [haystacks, links, blocks, sorted] = [null, new Map(), new Map(), { column: null, down: false }];
  describeColumns();
  describeFilters();
  table.setDataListener(slice);
  await list();
}

byId("cut").textContent =
  `Texts of more than ${facts.longest} characters are shown without their middles; the tables of the run have all of them.`;
if (innerWidth < NARROW) byId("filters").open = false;
await show(0);
addEventListener("hashchange", follow);
await follow();
document.body.dataset.ready = "yes";
(window.requestIdleCallback ?? setTimeout)(textsToSearch);
