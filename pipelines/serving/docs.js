"use strict";

const ways = document.getElementById("ways");
const base = new URL(".", location.href).href.replace(/\/$/, "");

function element(tag, text, ...inside) {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  made.append(...inside);
  return made;
}

function list(title, rows) {
  if (!rows.length) return [];
  const made = element("dl");
  rows.forEach(([name, text]) => made.append(element("dt", name), element("dd", text)));
  return [element("h3", title), made];
}

function parameter(told) {
  const { schema } = told;
  const preset = schema.default === undefined ? "" : " Where left out: " + schema.default + ".";
  return [told.name, schema.type + ". " + (told.description ?? "") + preset];
}

function command(method, path, told) {
  if (method === "get") return "curl " + base + path;
  const kinds = Object.keys(told.responses["200"].content ?? {});
  const out = kinds.includes("image/png") ? " -o restored.png" : "";
  if (told.requestBody.content["multipart/form-data"]) return "curl -F image=@a.jpg -F image=@b.jpg " + base + path;
  return "curl --data-binary @image.jpg " + base + path + out;
}

// The fields of an answer; those of the objects in a list stand below the list, as "models[].name".
function inside(schema, components, before) {
  const made = components[schema?.$ref?.split("/").pop()]?.properties ?? {};
  return Object.entries(made).flatMap(([key, value]) => [
    [before + key, value.description ?? ""],
    ...(value.items?.$ref ? inside(value.items, components, before + key + "[].") : []),
  ]);
}

function fields(told, components) {
  const schema = told.responses["200"].content?.["application/json"]?.schema;
  const kinds = Object.keys(told.responses["200"].content ?? {}).filter((kind) => kind !== "application/json");
  return [
    ...inside(schema, components, ""),
    ...kinds.map((kind) => [kind, told.responses["200"].description]),
  ];
}

function way(path, method, told, components) {
  const title = element("h2", "", element("span", method.toUpperCase()), " " + path);
  const made = element("section", "", title, element("p", told.description));
  made.className = "way";
  made.append(element("h3", "Example"), element("pre", command(method, path, told)));
  if (told.requestBody) made.append(...list("Body", [[told.requestBody.content["multipart/form-data"] ? "form" : "bytes", told.requestBody.description]]));
  made.append(...list("Parameters", (told.parameters ?? []).map(parameter)));
  made.append(...list("Answer", fields(told, components)));
  const failures = Object.entries(told.responses).filter(([status]) => status !== "200");
  made.append(...list("Failures", failures.map(([status, each]) => [status, each.description])));
  return made;
}

async function begin() {
  const told = await (await fetch("openapi.json")).json();
  document.getElementById("version").textContent = told.info.version;
  for (const [path, methods] of Object.entries(told.paths))
    for (const [method, each] of Object.entries(methods))
      ways.append(way(path, method, each, told.components.schemas));
}

begin()
  .catch(() => ways.append(element("p", "The server does not answer.")))
  .finally(() => ways.removeAttribute("aria-busy"));
