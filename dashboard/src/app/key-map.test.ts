import { expect, test } from "vitest";
import { ranked } from "./commands";
import { GO_TO, KEYS, nameOf, sequence } from "./key-map";
import { PLACES } from "./navigation";

test("no two keys are the same", () => {
  const all = KEYS.map((key) => key.keys);
  expect(new Set(all).size).toBe(all.length);
});

test("no key alone is the first of a sequence", () => {
  const first = new Set(KEYS.filter((key) => key.keys.includes(" ")).map((key) => key.keys.split(" ")[0]));
  expect(KEYS.filter((key) => first.has(key.keys))).toEqual([]);
});

test("the keys go to pages that are there", () => {
  expect(GO_TO.filter(([, path]) => !PLACES.some((place) => place.path === path))).toEqual([]);
});

test("key presses have the names of the map", () => {
  const press = { ctrlKey: false, metaKey: false, altKey: false };
  expect(nameOf({ ...press, key: "K", ctrlKey: true })).toBe("Ctrl+k");
  expect(nameOf({ ...press, key: "?" })).toBe("?");
  expect(nameOf({ ...press, key: "g", altKey: true })).toBe("");
  expect([sequence("g", "b"), sequence("", "b")]).toEqual(["g b", "b"]);
});

test("commands that begin with a text come before those that contain it", () => {
  const entries = [
    { name: "Dead letters", words: "messages" },
    { name: "Templates", words: "saved" },
    { name: "Audit", words: "log" },
  ];
  expect(ranked(entries, "te").map((entry) => entry.name)).toEqual(["Templates", "Dead letters"]);
  expect(ranked(entries, "log").map((entry) => entry.name)).toEqual(["Audit"]);
});
