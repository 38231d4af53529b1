import assert from "node:assert/strict";
import { test } from "node:test";

import { Tail } from "../../static/js/admin/tail.js";

/** A tail, and what its view was told. */
function followed(...rows) {
  const told = [];
  const tail = new Tail({
    patch: (row) => told.push(`patch ${row.id} ${row.outcome}`),
    waiting: (count, more) => told.push(more ? `${count} and more` : `${count} wait`),
  });
  tail.begin(rows);
  told.length = 0;
  return { tail, told };
}
const row = (id, outcome = "applied") => ({ id, outcome });

test("a row that is shown changes in its place, and one that has not changed is left alone", () => {
  const { tail, told } = followed(row("2", "parked"), row("1"));
  tail.hear(row("2", "parked"));
  tail.hear(row("2", "applied"));
  tail.hear(row("2", "applied"));
  assert.deepEqual(told, ["patch 2 applied"]);
});

test("new rows wait until they are asked for, each once and as it is then, newest first", () => {
  const { tail, told } = followed(row("1"));
  for (const one of [row("3", "parked"), row("2"), row("3", "applied")]) tail.hear(one);
  assert.deepEqual(told, ["1 wait", "2 wait", "2 wait"]);
  assert.deepEqual(tail.take(), [row("3", "applied"), row("2")]);
  tail.hear(row("3", "discarded"));
  assert.deepEqual(told.slice(3), ["0 wait", "patch 3 discarded"]);
});

test("while it is paused nothing changes, and afterwards nothing is missing", () => {
  const { tail, told } = followed(row("1", "parked"));
  tail.pause(true);
  tail.hear(row("1", "applied"));
  tail.hear(row("2", "parked"));
  tail.hear(row("2", "applied"));
  assert.deepEqual(told, []);
  tail.pause(false);
  assert.deepEqual(told, ["patch 1 applied", "1 wait"]);
  assert.deepEqual(tail.take(), [row("2", "applied")]);
});

test("one that is meant no more waits no longer", () => {
  const { tail, told } = followed(row("1"));
  tail.hear(row("2"));
  tail.hear(row("3"));
  tail.drop("2");
  tail.drop("9");
  assert.deepEqual(told, ["1 wait", "2 wait", "1 wait"]);
  assert.deepEqual(tail.take(), [row("3")]);
});

test("what may have been missed is told, and neither during a pause nor by moving anything", () => {
  const { tail, told } = followed(row("1"));
  tail.pause(true);
  tail.lose();
  assert.deepEqual(told, []);
  tail.pause(false);
  assert.deepEqual(told, ["0 and more"]);
  assert.equal(tail.more, true);
});

test("more than are kept are told as more, also when they came during a pause", () => {
  for (const paused of [false, true]) {
    const { tail, told } = followed();
    tail.pause(paused);
    for (let number = 0; number < 501; number += 1) tail.hear(row(String(number).padStart(3, "0")));
    tail.pause(false);
    assert.equal(told.at(-1), "500 and more");
    assert.equal(tail.more, true);
    tail.begin([]);
    assert.equal(tail.more, false);
  }
});
