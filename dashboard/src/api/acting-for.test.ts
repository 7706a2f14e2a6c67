import { afterEach, expect, test } from "vitest";
import { actingFor, forOwner, linkFor } from "./acting-for";

const BATCH = "/api/v1/batches/01a22dab-1019-7182-b5f5-69507578385d";

afterEach(() => actingFor.set(null));

test("an operator names the owner of batches, and of nothing else", () => {
  actingFor.set("ann");
  expect(forOwner("/api/v1/batches")).toBe("/api/v1/batches?owner=ann");
  expect(forOwner(`${BATCH}/results?limit=5`)).toBe(`${BATCH}/results?limit=5&owner=ann`);
  expect(forOwner(`${BATCH}/pause`, "POST")).toBe(`${BATCH}/pause?owner=ann`);
  expect(forOwner("/api/v1/batches", "POST")).toBe("/api/v1/batches");
  expect(forOwner("/api/v1/workloads")).toBe("/api/v1/workloads");
});

test("the own batches need no name", () => {
  expect(forOwner("/api/v1/batches")).toBe("/api/v1/batches");
});

test("a link names the owner whose batches are shown, and keeps one that it names", () => {
  expect(linkFor("/batches?status=running", "ann lee")).toBe("/batches?status=running&owner=ann%20lee");
  expect(linkFor("/batches/1", "ann")).toBe("/batches/1?owner=ann");
  expect(linkFor("/batches/1?owner=bob", "ann")).toBe("/batches/1?owner=bob");
  expect(linkFor("/batches", null)).toBe("/batches");
});
